"""Planted bugs of repair: read repair, learners, hints, what fallback replicas write, and restored copies."""

from typing import Any

from crdtkv.crdt.entry import Entry
from crdtkv.hashing import DIGEST_BYTES
from crdtkv.node.enrollment.enrollment import Enrollment
from crdtkv.node.handoff.hint_delivery import _Delivery
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.quorum_calls import read_repair
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.storage import identity
from crdtkv.wire.messages import WriteReplica

from .planting import Bug, replaced


def read_repair_that_supersedes() -> Any:
    """Read repair requests that replicas drop versions older than the newest value it has read."""

    def wrong(number: int, key: bytes, merged: bytes, _: int) -> WriteReplica:
        return WriteReplica(number, key, merged, Entry.from_bytes(merged).state.newest())

    return replaced(read_repair, "WriteReplica", wrong)


def coordinator_supersedes_what_it_has_read() -> Any:
    """A coordinator that merges the answers of a quorum drops older siblings."""
    merge_local = LocalCopy.merge_local

    def wrong(self: LocalCopy, key: Any, entry: Entry, responsibles: Any) -> None:
        if any(responsible.node == self._cluster.node and responsible.is_home for responsible in responsibles):
            self._replica.merge(key, entry, entry.state.newest())
        else:
            merge_local(self, key, entry, responsibles)

    return replaced(LocalCopy, "merge_local", wrong)


def learner_promoted_one_partition_early() -> Any:
    """A learner counts again when all partitions but one are compared."""
    learn = Enrollment._learn

    def wrong(self: Enrollment) -> None:
        if self._learning_from is not None and sum(self._anti_entropy.full_comparisons.values()) <= 1:
            self._enter(is_learner=False)
        else:
            learn(self)

    return replaced(Enrollment, "_learn", wrong)


def learner_promoted_after_the_first_peer() -> Any:
    """A learner counts again when it has compared everything with one of the others."""
    learn = Enrollment._learn

    def wrong(self: Enrollment) -> None:
        peers = self._learning_from
        if peers is not None and len(peers) > 1 and len(self._anti_entropy.full_comparisons) < len(peers):
            self._enter(is_learner=False)
        else:
            learn(self)

    return replaced(Enrollment, "_learn", wrong)


def hint_dropped_on_a_refusal() -> Any:
    """A hint whose target refuses it counts as delivered."""
    return replaced(_Delivery, "refused", lambda self, replica, code: self._end(is_taken=replica == self._hint.target))


def write_of_a_fallback_never_sent_elsewhere() -> Any:
    """A home replica that is handed a fallback's write does not put it into its outbox."""
    accept_hint = LocalCopy.accept_hint

    def wrong(self: LocalCopy, key: Any, target: str, entry: Entry, is_unsent: bool) -> None:
        accept_hint(self, key, target, entry, is_unsent=is_unsent and target != self._cluster.node)

    return replaced(LocalCopy, "accept_hint", wrong)


def fallback_goes_on_under_its_name() -> Any:
    """A fallback coordinator mints dots under the same actor after it has dropped a key: it counts from 1 again."""
    return replaced(LocalCopy, "hint_delivered", lambda self, hint: None)


def entry_adopted_whatever_it_was_made_on() -> Any:
    """A replica stores a coordinator's entry unread although it holds another one than the coordinator had."""
    adopt = Replica.adopt

    def wrong(self: Replica, key: PlacedKey, encoded: bytes, made_on: bytes, newest: int) -> bool:
        held = self._stored(key.storage_key)
        digest = held.digest(key.storage_key) if held is not None else 0
        return adopt(self, key, encoded, digest.to_bytes(DIGEST_BYTES, "big"), newest)

    return replaced(Replica, "adopt", wrong)


def outbox_row_deleted_on_the_first_confirmation() -> Any:
    """One data center's confirmation counts for all."""
    confirm = Outbox.confirm

    def wrong(self: Outbox, datacenter: str, outbox_seqs: Any) -> None:
        numbers = list(outbox_seqs)
        for peer in self._peers:
            confirm(self, peer, numbers)

    return replaced(Outbox, "confirm", wrong)


def restored_copy_whose_incarnation_goes_on() -> Any:
    """A node believes its own directory, whatever number of starts the topology bucket remembers."""
    return replaced(identity, "outlive", lambda record, store, owner, who, remembered, fresh_incarnation: who)


#: Bug: within how many seeds it must be found.
BUGS_OF_REPAIR: dict[Bug, int] = {
    read_repair_that_supersedes: 150,
    coordinator_supersedes_what_it_has_read: 150,
    learner_promoted_one_partition_early: 300,
    learner_promoted_after_the_first_peer: 300,
    hint_dropped_on_a_refusal: 300,
    write_of_a_fallback_never_sent_elsewhere: 300,
    fallback_goes_on_under_its_name: 300,
    entry_adopted_whatever_it_was_made_on: 150,
    outbox_row_deleted_on_the_first_confirmation: 150,
    restored_copy_whose_incarnation_goes_on: 300,
}
#: The class of runs in which they are searched.
CLASSES_OF_REPAIR: dict[Bug, str] = {
    learner_promoted_one_partition_early: "disks",
    learner_promoted_after_the_first_peer: "disks",
    restored_copy_whose_incarnation_goes_on: "disks",
    hint_dropped_on_a_refusal: "fallbacks",
    write_of_a_fallback_never_sent_elsewhere: "fallbacks",
    fallback_goes_on_under_its_name: "fallbacks",
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_REPAIR: dict[Bug, int] = {
    read_repair_that_supersedes: 200_001,
    learner_promoted_one_partition_early: 100_116,
    learner_promoted_after_the_first_peer: 100_015,
    hint_dropped_on_a_refusal: 100_000,
    restored_copy_whose_incarnation_goes_on: 109,
    fallback_goes_on_under_its_name: 100_000,
}
