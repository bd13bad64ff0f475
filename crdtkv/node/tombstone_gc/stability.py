"""`Stability`: whether, as far as this node can see, no version older than a tombstone can come back.

A tombstone may be dropped when all versions that it has seen are gone for good: *causal stability*. No node can
determine that alone, so all nodes of the ring are asked, alive or not, and a tombstone stays as long as one of them
does not agree.

A node *agrees* to a tombstone when

- it is a home replica, and holds exactly these bytes, on disk, for at least `gc_grace_s` of its own wall clock, without
  a dot of the actor that it writes under now (`write_actor`), and without an outbox row for the key;
- or it is no home replica, and stores no entry of the key;
- and it stores no hint for the key, carries its entry in no call, counts as a member, sees no learner among the home
  replicas, and sees that all other data centers have the tombstone, too.

Older versions may still be in transit, in messages, or in calls of nodes that had not been asked yet. So agreement is
only the beginning: the tombstone is *settled* when the node has agreed to it for `settle_s`, which is longer than any
request and the message after it last, and has stored no hint for the key meanwhile. If all nodes are settled at one
time, then, `settle_s` before, all home replicas held the tombstone and no node stored a hint. From then on no node
could read an older version. Calls that had read one have ended since, and their messages have either arrived, at
replicas that have seen more, or are lost.

A node that agrees assigns no timestamp at or below the one of the tombstone. So a new write of an `lww` key by a client
that has not seen the tombstone wins against it, as it would have if the tombstone still existed.

Agreements are kept in memory, under one ring epoch: a restart, or a change of the ring, drops them.

Source: Baquero, Almeida, Shoker, "Pure operation-based CRDTs" (2014), section 5 (causal stability).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from crdtkv.causality.hybrid_clock import HybridTimestamp, from_wall_ms
from crdtkv.errors import ProtocolError
from crdtkv.hashing import DIGEST_BYTES
from crdtkv.node.handoff.hints import Hints
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.node.replica.tombstones import Noted
from crdtkv.ring.token import token_in

#: Longer than any request (10 minutes) and any message between two nodes of a data center, added up.
SETTLE_MAX_S = 900.0
#: Above this number the oldest agreement is dropped; its tombstone settles later.
AGREEMENTS_MAX = 50_000

#: Returns, for a storage key, whether every other data center is known to hold its tombstone, too.
StableElsewhere = Callable[[bytes], bool]


class Question(NamedTuple):
    """A candidate for collection: the digest of the tombstone's bytes, and its timestamp."""

    storage_key: bytes
    digest: bytes
    newest: HybridTimestamp


class Stability:
    """The agreements of one node."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        hints: Hints,
        outbox: Outbox,
        gc_grace_s: float,
        is_stable_elsewhere: StableElsewhere,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._replica = replica
        self._hints = hints
        self._outbox = outbox
        self._gc_grace_ms = int(gc_grace_s * 1000)
        self.settle_s = min(gc_grace_s, SETTLE_MAX_S)
        self.is_stable_elsewhere = is_stable_elsewhere
        #: Whether a tombstone was refused because it has dots of the actor that this node writes under now.
        self.needs_new_actor = False
        self._since: dict[bytes, tuple[bytes, float]] = {}
        self._of_epoch = kernel.cluster.epoch
        hints.on_kept = self._hint_kept

    def judge(self, questions: Sequence[Question]) -> tuple[list[bytes], list[bytes]]:
        """Return the keys to which this node agrees: those that are settled, and those that are not yet."""
        if self._of_epoch != self._cluster.epoch:
            self._of_epoch = self._cluster.epoch
            self._since = {}
        settled: list[bytes] = []
        agreed: list[bytes] = []
        carried = self._calls.storage_keys()
        now_s = self._step.now.monotonic_s
        for question in questions:
            storage_key, digest, newest = question
            known = self._since.get(storage_key)
            is_new = known is None or known[0] != digest
            if not self._agrees(question) or (is_new and storage_key in carried):
                self._since.pop(storage_key, None)
                continue
            if known is not None and not is_new:
                (settled if now_s - known[1] >= self.settle_s else agreed).append(storage_key)
                continue
            self._since.pop(storage_key, None)
            self._since[storage_key] = (digest, now_s)
            self._replica.stay_above(newest)
            agreed.append(storage_key)
            if len(self._since) > AGREEMENTS_MAX:
                del self._since[next(iter(self._since))]
        return settled, agreed

    def dropped(self, storage_key: bytes) -> None:
        """Drop the agreement of a key whose tombstone was collected."""
        self._since.pop(storage_key, None)

    def has_passed_since(self, wall_ms: int) -> bool:
        """Return whether `gc_grace_s` has passed since a wall clock time."""
        return self._step.now.wall_ms - wall_ms >= self._gc_grace_ms

    def is_old_enough(self, storage_key: bytes, noted: Noted) -> bool:
        """Return whether the grace period of a tombstone has passed; a note from the future is dated anew."""
        if noted.noted_ms > self._step.now.wall_ms:
            self._replica.tombstones.note_again(storage_key, noted, self._step.now.wall_ms)
            return False
        return self.has_passed_since(max(noted.noted_ms, noted.over_ms))

    def _agrees(self, question: Question) -> bool:
        storage_key, digest, newest = question
        step = self._step
        homes = self._cluster.ring.replicas_at(token_in(storage_key))
        if self._cluster.is_quarantined or not self._cluster.ring.learners.isdisjoint(homes):
            return False
        if newest > from_wall_ms(step.now.wall_ms) or self._hints.has(storage_key):
            return False
        if self._cluster.node not in homes:
            return self._replica.entry(storage_key) is None
        return self._holds(storage_key, digest) and self.is_stable_elsewhere(storage_key)

    def _holds(self, storage_key: bytes, digest: bytes) -> bool:
        """Return whether this home replica can drop the tombstone."""
        replica = self._replica
        noted = replica.tombstones.get(storage_key)
        if noted is None or noted.digest != digest or not replica.commits.is_durable(storage_key):
            return False
        if not self.is_old_enough(storage_key, noted) or self._outbox.waits_with(storage_key):
            return False
        return not self._names_own_dots(storage_key)

    def _names_own_dots(self, storage_key: bytes) -> bool:
        """Return whether dropping the tombstone would lose this node's dot counter of the key."""
        entry = self._replica.entry(storage_key)
        names = entry is not None and entry.context.highest(self._replica.actor) > 0
        self.needs_new_actor = self.needs_new_actor or names
        return names

    def _hint_kept(self, storage_key: bytes) -> None:
        """Drop an agreement: this node has stored a hint for a target that may have missed the tombstone."""
        self._since.pop(storage_key, None)


def parsed_questions(tombstones: list[object]) -> list[Question]:
    """Parse the tombstones of another node's request.

    Raises:
        ProtocolError: they are malformed.
    """
    questions: list[Question] = []
    for item in tombstones:
        match item:
            case [bytes() as storage_key, bytes() as digest, int() as newest] if len(digest) == DIGEST_BYTES:
                questions.append(Question(storage_key, digest, newest))
            case _:
                raise ProtocolError("a tombstone is [storage key, 16 bytes, timestamp]")
    return questions
