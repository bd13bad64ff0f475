"""Mistakes that stores of this kind have made, as switches that only these tests have.

Each replaces one small piece of the product by a wrong one, for as long as the context manager lasts. `BUGS` names
them all; `python -m tests.simulation.planted_bugs` counts how many seeds it takes to find each, which is the table in
`docs/simulation.md`. Those of parts that are not built yet join with these parts.
"""

import argparse
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt import counter as counters
from crdtkv.crdt.causal import Delta
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register
from crdtkv.crdt.sets import AddWinsSet
from crdtkv.crdt.slots import Slot
from crdtkv.merkle.forest import MerkleForest
from crdtkv.node.dispatch import Dispatch
from crdtkv.node.enrollment.enrollment import Enrollment
from crdtkv.node.geo.replication import GeoReplication
from crdtkv.node.handoff.hint_delivery import HintDelivery
from crdtkv.node.kernel.effects import AckStream, Effects, SendBus
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.quorum_calls.reading import GetCall
from crdtkv.node.repair.anti_entropy import AntiEntropy
from crdtkv.node.repair.tree_comparison import Item
from crdtkv.node.replica.comparison_marks import ComparisonMarks
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.quorum import level
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.quorum.read_call import ReadCall
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import identity_in
from crdtkv.sim.runs.runner import Verdict, run_seed
from crdtkv.sim.world.disk import SimDisk
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.nats import SimNats
from crdtkv.storage import identity
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import Confirm, GeoBatch, WriteReplica

from .planted_in_applying import BUGS_OF_APPLYING, FIRST_SEEDS_OF_APPLYING
from .planted_in_clients import BUGS_OF_CLIENTS, CLASSES_OF_CLIENTS, FIRST_SEEDS_OF_CLIENTS
from .planted_in_collection import (
    collected_counters_reused,
    collection_that_ignores_a_hint,
    collection_with_one_node_unasked,
    tombstones_collected_by_time_only,
    tombstones_collected_without_those_that_are_down,
)
from .planted_in_digest_reads import BUGS_OF_DIGEST_READS, FIRST_SEEDS_OF_DIGEST_READS
from .planted_in_geo_levels import BUGS_OF_GEO_LEVELS, FIRST_SEEDS_OF_GEO_LEVELS
from .planted_in_geo_repair import BUGS_OF_GEO_REPAIR, FIRST_SEEDS_OF_GEO_REPAIR
from .planted_in_group_commit import BUGS_OF_GROUP_COMMIT
from .planted_in_repair import BUGS_OF_REPAIR, CLASSES_OF_REPAIR, FIRST_SEEDS_OF_REPAIR
from .planted_in_retries import (
    begun_after_its_time,
    operations_not_kept,
    retry_done_without_asking,
    session_that_forgets_its_writes,
)
from .planted_in_scans import BUGS_OF_SCANS, CLASSES_OF_SCANS, FIRST_SEEDS_OF_SCANS
from .planted_in_types import BUGS_OF_TYPES, FIRST_SEEDS_OF_TYPES
from .planted_in_watches import BUGS_OF_WATCHES, FIRST_SEEDS_OF_WATCHES, watchers_told_by_a_learner
from .planting import Bug, replaced


def ack_before_flush() -> Any:
    """The client gets its acknowledgment before the fsync."""
    carry_out = SimNode._carry_out

    def wrong(self: SimNode, effects: Effects) -> None:
        for peer in [peer for peer in effects.held if isinstance(peer, int)]:
            effects.at_once.setdefault(peer, []).extend(effects.held.pop(peer))
        carry_out(self, effects)

    return replaced(SimNode, "_carry_out", wrong)


def dot_sent_before_flush() -> Any:
    """Replicas are sent a write before its coordinator's own fsync."""
    when_durable = Effects.send_when_durable

    def wrong(self: Effects, peer: Any, message: Any) -> None:
        if isinstance(message, WriteReplica):
            self.send(peer, message)
        else:
            when_durable(self, peer, message)

    return replaced(Effects, "send_when_durable", wrong)


def incarnation_reused_after_a_wipe() -> Any:
    """A node's actor is its name: it begins to count anew after its disk was wiped."""

    def wrong(record: Any, store: Any, owner: Any, fresh_incarnation: int) -> identity.Identity:
        return identity.Identity(1, 1, None)

    return replaced(identity, "establish", wrong)


def counter_skipped_instead_of_a_new_incarnation() -> Any:
    """In doubt a node keeps its actor, and continues after the highest counter that another node shows."""
    establish = identity.establish

    def wrong(record: Any, store: Any, owner: Any, fresh_incarnation: int) -> identity.Identity:
        recorded = record.read()
        if recorded:
            fresh_incarnation = recorded["incarnation"]
        return establish(record, store, owner, fresh_incarnation)

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            replaced(identity, "establish", wrong),
            replaced(Replica, "renew_incarnation", lambda self, reason: None),
        ):
            yield

    return planted()


def outbox_row_deleted_on_the_streams_ack() -> Any:
    """What JetStream has acknowledged counts as delivered."""
    published = GeoReplication.published

    def wrong(self: GeoReplication, number: int, ok: bool) -> None:
        outbox_seqs = self._in_flight.get(number, [])
        published(self, number, ok)
        if ok:
            for peer in self._outbox._peers:
                self._outbox.confirm(peer, outbox_seqs)

    return replaced(GeoReplication, "published", wrong)


def deduplication_by_stream_sequence() -> Any:
    """A message whose sequence number was seen before counts as applied: acknowledged and confirmed unread."""
    put = SimNode.put

    def wrong(self: SimNode, event: Any) -> None:
        nats: Any = self._bus
        handle = getattr(event, "handle", None)
        if handle is not None and self.core is not None:
            dc, sequence, payload = nats._handles[handle]
            seen = self.__dict__.setdefault("_sequences_seen", {})
            if sequence <= seen.get(dc, 0):
                (batch,) = decode_frame(payload).messages
                assert isinstance(batch, GeoBatch)
                outbox_seqs = [row[0] for row in batch.rows]  # type: ignore[index]
                confirm = encode_frame(0, [Confirm(self.place.datacenter, batch.actor, outbox_seqs)])
                self.send_bus(SendBus(dc, batch.node, confirm))
                nats._handles.pop(handle)
                nats._unfinished[self.place.node, dc] -= 1
                nats.streams[dc].ack(self.place.datacenter, sequence)
                return
            seen[dc] = sequence
        put(self, event)

    return replaced(SimNode, "put", wrong)


def not_found_merged_as_deletion() -> Any:
    """A replica that has nothing is taken to say that the key is deleted."""
    result = ReadCall.result

    def wrong(self: ReadCall, known: Entry | None = None) -> tuple[bytes | None, list[str]]:
        merged, stale = result(self, known)
        if merged is None or None not in self._answers.values():
            return merged, stale
        entry = Entry.from_bytes(merged)
        deleted = Entry(type(entry.state)(), entry.context).to_bytes()
        return deleted, sorted(self._answers)

    return replaced(ReadCall, "result", wrong)


def counters_not_keyed_by_actor() -> Any:
    """All nodes of a data center share one slot."""

    def wrong(slots: dict[str, Slot], dot: Dot, amount: int) -> dict[str, Slot]:
        shared = next((name for name in sorted(slots) if name[:2] == dot.actor[:2]), dot.actor)
        slot = slots.get(shared, Slot(0, 0, 0, 0))
        counter = max(slot.counter + 1, dot.counter) if shared == dot.actor else slot.counter + 1
        return {**slots, shared: slot._replace(counter=counter, total=slot.total + amount)}

    return replaced(counters, "incremented", wrong)


def epoch_unchecked() -> Any:
    """Requests of another ring epoch are served."""
    serve = Dispatch._serve

    def wrong(self: Dispatch, node: str, epoch: int, request: Any) -> None:
        serve(self, node, self._cluster.epoch, request)

    return replaced(Dispatch, "_serve", wrong)


def stream_acked_before_applying() -> Any:
    """A message is acknowledged and confirmed when it arrives."""
    received = GeoReplication.received

    def wrong(self: GeoReplication, datacenter: str, handle: int, payload: bytes) -> None:
        effects = self._step.effects
        received(self, datacenter, handle, payload)
        effects.held_acks = [ack for ack in effects.held_acks if ack.handle != handle]
        (batch,) = decode_frame(payload).messages
        assert isinstance(batch, GeoBatch)
        outbox_seqs = [row[0] for row in batch.rows]  # type: ignore[index]
        confirm = encode_frame(0, [Confirm(self._cluster.datacenter, batch.actor, outbox_seqs)])
        effects.held_bus.append(SendBus(datacenter, batch.node, confirm))
        effects.held_acks.append(AckStream(handle, True))

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            replaced(GeoReplication, "received", wrong),
            replaced(GeoReplication, "_finish", lambda self, delivery: None),
        ):
            yield

    return planted()


def quorum_read_without_write_back() -> Any:
    """A quorum read returns the merged value, and leaves the replicas as they are."""
    return replaced(GetCall, "_write_back", lambda self, stale, merged: self._finish())


def bytes_in_order_of_arrival() -> Any:
    """The stored bytes depend on the order in which siblings came, so equal replicas look different."""
    merge = Register.merge

    def wrong(self: Register, mine: Any, other: Register, theirs: Any) -> Register:
        merged = merge(self, mine, other, theirs)
        kept = [version for version in (*other.versions, *self.versions) if version in merged.versions]
        return Register(tuple(dict.fromkeys(kept)))

    return replaced(Register, "merge", wrong)


def lost_rows_never_sent_again() -> Any:
    """Nobody looks whether the stream has lost what it took."""
    return replaced(Outbox, "republish_lost", lambda self, datacenter, sent_before: 0)


def outbox_row_in_a_batch_of_its_own() -> Any:
    """The write is committed first, its outbox row afterwards."""
    put = Replica._put

    def wrong(self: Replica, key: PlacedKey, *what: Any) -> None:
        put(self, key, *what)
        self._store.commit()

    return replaced(Replica, "_put", wrong)


def full_outbox_forgets() -> Any:
    """A full outbox drops rows without a mark."""
    give_up = Outbox._give_up

    def wrong(self: Outbox) -> None:
        with replaced(ComparisonMarks, "set", lambda marks, datacenter, kind: None):
            give_up(self)

    return replaced(Outbox, "_give_up", wrong)


def disk_that_lies_about_fsync() -> Any:
    """A sync returns, and what it should have made durable is gone after a power loss."""

    def wrong(self: SimDisk, commit: int) -> None:
        del self._unsynced[: max(0, commit - (self.commits - len(self._unsynced)))]

    return replaced(SimDisk, "sync_to", wrong)


def merkle_hash_over_other_bytes() -> Any:
    """The tree has another digest of a new entry than that of the bytes that are stored."""
    changed = MerkleForest.changed

    def wrong(self: MerkleForest, token: int, storage_key: bytes, before: int, after: int) -> None:
        changed(self, token, storage_key, before, after if before else after ^ 1)

    return replaced(MerkleForest, "changed", wrong)


def differences_overwritten_instead_of_merged() -> Any:
    """Anti-entropy takes over the other replica's entry as it is."""
    right = AntiEntropy.take

    def wrong(self: AntiEntropy, partition: int, items: list[object], then: Any) -> None:
        for item in map(Item.from_wire, items):
            if item.basis is None:
                key = self._comparison.keys.from_peer(identity_in(item.storage_key))
                before = self._replica._stored(item.storage_key)
                self._replica._put(key, before, Entry.from_bytes(item.entry), None)
        right(self, partition, items, then)

    return replaced(AntiEntropy, "take", wrong)


def topology_not_written_again() -> Any:
    """A bucket that was set back stays so: nodes go on under different epochs."""

    def wrong(self: SimNats, node: SimNode, mine: Any, revision: int) -> None:
        """Write nothing."""

    return replaced(SimNats, "_write_topology", wrong)


def hint_deleted_before_the_acknowledgement() -> Any:
    """A hint is dropped when it has been sent."""
    deliver = HintDelivery._deliver

    def wrong(self: HintDelivery, hint: Any) -> int:
        size = deliver(self, hint)
        self._hints.delivered(hint)
        return size

    return replaced(HintDelivery, "_deliver", wrong)


def part_merged_without_its_basis() -> Any:
    """A replica merges a part of an entry although it has not seen what that builds on."""
    return replaced(Replica, "has_seen", lambda self, storage_key, context: True)


def add_that_takes_the_others_with_it() -> Any:
    """An add claims to have seen everything, and contains only itself: the other elements are lost."""

    def wrong(self: AddWinsSet, context: Any, operation: str, arguments: list[object], event: Any, seen: Any) -> Delta:
        delta = right(self, context, operation, arguments, event, seen)
        return Delta(delta.state, delta.context.merge(context)) if operation == "add" else delta

    right = AddWinsSet.apply
    return replaced(AddWinsSet, "apply", wrong)


def remove_that_removes_nothing_elsewhere() -> Any:
    """The delta of a remove lacks the adds that it has seen."""

    def wrong(self: AddWinsSet, context: Any, operation: str, arguments: list[object], event: Any, seen: Any) -> Delta:
        delta = right(self, context, operation, arguments, event, seen)
        return Delta(delta.state, CausalContext(cloud=[event.dot])) if operation == "remove" else delta

    right = AddWinsSet.apply
    return replaced(AddWinsSet, "apply", wrong)


def learner_counted_in_a_quorum() -> Any:
    """A node that was wiped answers and counts at once."""

    def judge(self: Enrollment) -> None:
        self._cluster.is_quarantined = False

    @contextmanager
    def planted() -> Iterator[None]:
        init = HashRing.__init__

        def without_learners(self: HashRing, topology: Any) -> None:
            init(self, topology)
            self.learners = frozenset()

        with replaced(HashRing, "__init__", without_learners), replaced(Enrollment, "_judge", judge):
            yield

    return planted()


def linearizable_write_in_one_phase() -> Any:
    """A linearizable write takes its timestamp from its own clock, without reading a majority first."""
    return _as_linearizable(is_linearizable=False)


def linearizable_over_fallback_replicas() -> Any:
    """Fallback replicas count at `LINEARIZABLE`, too."""
    return _as_linearizable(is_sloppy=True)


def _as_linearizable(**attributes: bool) -> Any:
    """Give `LINEARIZABLE` other attributes where requests name it."""
    wrong = ConsistencyLevel("LINEARIZABLE")
    for name, value in attributes.items():
        object.__setattr__(wrong, name, value)
    return replaced(level, "_NAMED", {**level._NAMED, wrong.name: wrong})


#: Bug: within how many seeds it must be found.
BUGS: dict[Bug, int] = {
    ack_before_flush: 50,
    dot_sent_before_flush: 50,
    incarnation_reused_after_a_wipe: 150,
    counter_skipped_instead_of_a_new_incarnation: 50,
    outbox_row_deleted_on_the_streams_ack: 50,
    deduplication_by_stream_sequence: 50,
    not_found_merged_as_deletion: 50,
    counters_not_keyed_by_actor: 50,
    epoch_unchecked: 50,
    stream_acked_before_applying: 50,
    quorum_read_without_write_back: 50,
    bytes_in_order_of_arrival: 50,
    lost_rows_never_sent_again: 50,
    outbox_row_in_a_batch_of_its_own: 50,
    full_outbox_forgets: 50,
    disk_that_lies_about_fsync: 50,
    merkle_hash_over_other_bytes: 50,
    differences_overwritten_instead_of_merged: 50,
    topology_not_written_again: 150,
    hint_deleted_before_the_acknowledgement: 100,
    part_merged_without_its_basis: 150,
    add_that_takes_the_others_with_it: 50,
    remove_that_removes_nothing_elsewhere: 50,
    learner_counted_in_a_quorum: 300,
    linearizable_write_in_one_phase: 300,
    linearizable_over_fallback_replicas: 300,
    tombstones_collected_by_time_only: 150,
    tombstones_collected_without_those_that_are_down: 150,
    collection_that_ignores_a_hint: 300,
    collection_with_one_node_unasked: 300,
    collected_counters_reused: 150,
    retry_done_without_asking: 50,
    operations_not_kept: 50,
    begun_after_its_time: 200,
    session_that_forgets_its_writes: 50,
    **BUGS_OF_GROUP_COMMIT,
    **BUGS_OF_CLIENTS,
    **BUGS_OF_APPLYING,
    **BUGS_OF_DIGEST_READS,
    **BUGS_OF_GEO_LEVELS,
    **BUGS_OF_GEO_REPAIR,
    **BUGS_OF_REPAIR,
    **BUGS_OF_SCANS,
    **BUGS_OF_TYPES,
    **BUGS_OF_WATCHES,
}


#: Where the tests begin, if not at seed 0: shortly before a run that shows the bug, so that they find it soon.
FIRST_SEEDS: dict[Bug, int] = {
    incarnation_reused_after_a_wipe: 44,
    counter_skipped_instead_of_a_new_incarnation: 3,
    full_outbox_forgets: 100_005,
    topology_not_written_again: 83,
    part_merged_without_its_basis: 102,
    remove_that_removes_nothing_elsewhere: 11,
    learner_counted_in_a_quorum: 284,
    linearizable_write_in_one_phase: 191,
    linearizable_over_fallback_replicas: 3,
    watchers_told_by_a_learner: 100_245,
    collection_that_ignores_a_hint: 21,
    collected_counters_reused: 97,
    begun_after_its_time: 100_007,
    session_that_forgets_its_writes: 200_000,
    **FIRST_SEEDS_OF_APPLYING,
    **FIRST_SEEDS_OF_CLIENTS,
    **FIRST_SEEDS_OF_DIGEST_READS,
    **FIRST_SEEDS_OF_GEO_LEVELS,
    **FIRST_SEEDS_OF_GEO_REPAIR,
    **FIRST_SEEDS_OF_REPAIR,
    **FIRST_SEEDS_OF_SCANS,
    **FIRST_SEEDS_OF_TYPES,
    **FIRST_SEEDS_OF_WATCHES,
}

#: The class of runs in which a bug is searched, because few others show it (`plan.fault_classes`).
CLASSES_OF: dict[Bug, str] = {
    **CLASSES_OF_CLIENTS,
    **CLASSES_OF_REPAIR,
    **CLASSES_OF_SCANS,
    incarnation_reused_after_a_wipe: "disks",
    counter_skipped_instead_of_a_new_incarnation: "disks",
    epoch_unchecked: "nats",
    hint_deleted_before_the_acknowledgement: "fallbacks",
    linearizable_write_in_one_phase: "partitions",
    linearizable_over_fallback_replicas: "fallbacks",
    tombstones_collected_by_time_only: "collection",
    tombstones_collected_without_those_that_are_down: "collection",
    collection_that_ignores_a_hint: "collection",
    collection_with_one_node_unasked: "collection",
}


#: Errors of code that does not fit together; no check raises them.
NO_FINDINGS = frozenset(("AttributeError", "NameError", "TypeError", "ImportError"))


def seeds_until_found(bug: Bug, first: int, limit: int, fault_class: str = "") -> tuple[int, Verdict] | None:
    """Carry out runs from seed `first` on until the bug shows; return the number of runs, None if it never does."""
    with bug():
        for count in range(1, limit + 1):
            verdict = run_seed(first + count - 1, fault_class)
            # A plant that does not fit the product any more finds nothing, whatever it breaks.
            assert verdict.invariant not in NO_FINDINGS, f"{bug.__name__} is broken itself: {verdict.failure}"
            if verdict.failure is not None:
                return count, verdict
    return None


def main() -> None:
    """Print the table of seeds to detection, from several first seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted_bugs", description=main.__doc__)
    parser.add_argument("firsts", type=int, nargs="*", default=[0, 100_000, 200_000], help="where to begin")
    parser.add_argument("--bugs", nargs="+", default=[], metavar="NAME", help="these only (default: all)")
    parser.add_argument("--class", dest="classes", nargs="+", metavar="CLASS", help="runs of these; '' is at large")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    arguments = parser.parse_args()
    print("| planted bug | runs | seeds until found | median | found by |\n|---|---|---|---|---|")
    wanted = [
        (bug, name)
        for bug in BUGS
        if not arguments.bugs or bug.__name__ in arguments.bugs
        for name in arguments.classes or [CLASSES_OF.get(bug, "")]
    ]
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for row in pool.imap(partial(_row_of, firsts=arguments.firsts), wanted):
            print(row, flush=True)


def _row_of(wanted: tuple[Bug, str], firsts: list[int]) -> str:
    bug, name = wanted
    return _row(bug, name, BUGS[bug], [seeds_until_found(bug, first, BUGS[bug], name) for first in firsts])


def _row(bug: Bug, fault_class: str, limit: int, found: list[tuple[int, Verdict] | None]) -> str:
    counts = [one[0] if one is not None else limit + 1 for one in found]
    middle = int(median(counts))
    shown = ", ".join(str(count) if count <= limit else f"not in {limit}" for count in counts)
    checks = ", ".join(sorted({one[1].invariant for one in found if one}))
    what = bug.__name__.replace("_", " ")
    return f"| {what} | {fault_class or 'at large'} | {shown} | {middle if middle <= limit else 'none'} | {checks} |"


if __name__ == "__main__":
    main()
