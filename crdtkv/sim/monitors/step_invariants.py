"""What holds at every step of a node, apart from what other monitors check.

- I3: a node takes a new incarnation only when its disk has lost data.
- I4: a replica's context for a key never shrinks, unless its tombstone is collected.
- I6: a write is in the same batch as its outbox row, and the row is deleted only when a majority in every other data
  center has the write durably, or the data center is marked for a comparison; the mark is cleared only when a majority
  there has all writes durably.
- I9: the outbox, the hints and the table of calls stay within their limits; a full disk stores no entry; no timestamp
  moves a clock farther ahead than allowed.
- Rule 5: a stream message is acknowledged only when a majority of the home replicas has all of it durably.
- Rule 12: a hint is deleted only when its target has the entry of the hint durably.
"""

from collections.abc import Iterator

import cbor2

from crdtkv.node.handoff.hint_delivery import BATCH_HINTS
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import DiskSpace, Event
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.home_replicas import HomeReplicas
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.stored import Stored, descends, parse, violated
from crdtkv.sim.world.stream import UNFINISHED_MAX
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage import rows
from crdtkv.storage.memory import Batch


class StepInvariants(Monitor):
    """Checks every step and every batch of every node."""

    def __init__(self, world: WorldView, homes: HomeReplicas, collecting: Collecting) -> None:
        super().__init__(world)
        self._homes = homes
        self._collecting = collecting
        self._highest_wall_ms: dict[str, int] = {}
        #: The nodes whose disk is full throughout their present step.
        self._full: set[str] = set()
        limits, geo = world.config.limits, world.config.geo
        peers = len(world.config.datacenters) - 1
        keys = len(world.plan.keys)
        # Besides clients' requests these are calls: an anti-entropy exchange, a collection round, a batch of hints, and
        # the entries of other data centers, of which a node fetches a bounded number.
        self._calls_max = limits.calls_in_flight_max + 2 + BATCH_HINTS
        self._calls_max += UNFINISHED_MAX * min(geo.batch_max, keys) * peers
        self._hints_max = world.config.handoff.hints_max
        self._outbox_max = geo.outbox_max

    def lost_data(self, node: NodeView, reason: str) -> None:
        """Check that a disk has lost data."""
        if not self._loses_data:
            violated("I3", f"{node.place.node} took a new incarnation for no reason: {reason}")

    def stepping(self, node: NodeView, events: list[Event]) -> None:
        """Note whether the disk is full throughout this step."""
        assert node.core is not None
        if node.core.parts.replica.has_disk_space or any(type(event) is DiskSpace for event in events):
            self._full.discard(node.place.node)
        else:
            self._full.add(node.place.node)

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """Check the limits and the clock of a node after a step."""
        core, name = node.core, node.place.node
        assert core is not None
        if len(core.parts.outbox) > self._outbox_max:
            violated("I9", f"{name} has {len(core.parts.outbox)} outbox rows of {self._outbox_max}")
        if len(core.parts.kernel.calls) > self._calls_max:
            violated("I9", f"{name} has {len(core.parts.kernel.calls)} calls in flight of {self._calls_max}")
        if len(core.parts.hints) > self._hints_max:
            violated("I9", f"{name} keeps {len(core.parts.hints)} hints of {self._hints_max}")
        highest = max(self._highest_wall_ms.get(name, 0), core.parts.kernel.step.now.wall_ms)
        self._highest_wall_ms[name] = highest
        if core.parts.replica.clock.last >> 16 > highest + core.parts.replica.clock.max_drift_ms:
            violated("I9", f"the clock of {name} followed a timestamp from the far future")
        if core.parts.kernel.step.stats.counters.get("junk_messages"):
            violated("wire", f"{name} cannot read what another node sent: {effects.notes}")

    def acknowledged(self, node: NodeView, payload: bytes) -> None:
        """Check that the entries of a stream message are durable."""
        if self._loses_data:
            return
        for identity, entry in _entries_in(payload):
            self._world.count("applied_entries_checked")
            if not self._homes.majority_has(
                node.place.datacenter, rows.data_row(storage_key_of(identity)), parse(entry)
            ):
                violated("rule 5", f"{node.place.node} acknowledged {identity!r}, which no majority has")

    def committing(self, node: NodeView, batch: Batch) -> None:
        """Check the rows of a batch before it is applied."""
        for row, value in batch.items():
            if row[:1] == b"d" and value is not None:
                if node.place.node in self._full:
                    violated("I9", f"{node.place.node} stores {row!r} on a full disk")
                self._entry(node, batch, row, value)
            elif row[:1] == b"o" and value is None:
                self._outbox_row_deleted(node, batch, row)
            elif row[:1] == b"h" and value is None:
                self._hint_deleted(node, row)
            elif row.startswith(rows.COMPARE_RANGE[0]):
                self._mark_changed(node, batch, row, value)

    def _entry(self, node: NodeView, batch: Batch, row: bytes, value: bytes) -> None:
        stored = parse(value)
        before_bytes = node.disk.visible(row)
        before = parse(before_bytes) if before_bytes is not None else None
        if before is not None and not descends(stored, before) and not self._collecting.drops(node, row):
            violated("I4", f"{node.place.node} {row!r}: {stored.vector} after {before.vector}")
        if node.core is not None and len(self._world.config.datacenters) > 1:
            actor = node.core.parts.replica.actor
            counter = stored.vector.get(actor, 0)
            is_own = counter > (before.vector.get(actor, 0) if before is not None else 0)
            peers = self._world.config.peers_of(node.place.datacenter)
            is_given_up = all(_is_marked(node, batch, peer) for peer in peers)
            if is_own and not is_given_up and not self._is_in_outbox(node, batch, row):
                violated("I6", f"{node.place.node} wrote {row!r} {actor}:{counter} without an outbox row")

    def _outbox_row_deleted(self, node: NodeView, batch: Batch, outbox_row: bytes) -> None:
        """Check the deletion of an outbox row: all other data centers must have the write of the row."""
        key = node.disk.visible(outbox_row)
        if self._loses_data or node.core is None or key is None:
            return
        row = rows.data_row(key)
        if self._is_in_outbox(node, batch, row):
            return
        value = batch.get(row) or node.disk.visible(row)
        assert value is not None
        actor = node.core.parts.replica.actor
        own = Stored({actor: parse(value).vector.get(actor, 0)}, frozenset(), b"", [])
        for peer in self._world.config.peers_of(node.place.datacenter):
            if not _is_marked(node, batch, peer) and not self._homes.majority_has(peer, row, own):
                violated("I6", f"{node.place.node} drops the outbox row of {row!r} {own.vector}, which {peer} lacks")

    def _mark_changed(self, node: NodeView, batch: Batch, mark: bytes, value: bytes | None) -> None:
        """Check that a mark is cleared only when the data center has all writes of this node without an outbox row."""
        if value is not None:
            self._world.count("comparisons_marked")
            return
        if self._loses_data or node.core is None:
            return
        self._world.count("comparisons_done")
        peer, actor = rows.compared_in(mark), node.core.parts.replica.actor
        for row, _ in node.disk.committed(*rows.DATA_RANGE):
            stored = node.disk.visible(row)
            if stored is None or row in batch or self._is_in_outbox(node, batch, row):
                continue
            counter = parse(stored).vector.get(actor, 0)
            if not counter:
                continue  # a write of another node, which has it in its outbox
            own = Stored({actor: counter}, frozenset(), b"", [])
            if node.place.node in self._homes.of(node.place.datacenter, row) and not self._homes.majority_has(
                peer, row, own
            ):
                violated("I6", f"{node.place.node} has compared all with {peer}, which lacks {row!r} {own.vector}")

    def _hint_deleted(self, node: NodeView, row: bytes) -> None:
        """Check the deletion of a hint: its target must have the entry of the hint."""
        value = node.disk.visible(row)
        if self._loses_data or value is None:
            return
        storage_key, target = rows.hint_in(row)
        data_row = rows.data_row(storage_key)
        wanted = value[1:] or node.disk.visible(data_row)
        held = self._world.nodes[target].disk.durable(data_row)
        if wanted is not None and not value[1:]:
            return  # a reference is to the present entry, which may have grown since it was sent
        if wanted is not None and (held is None or not descends(parse(held), parse(wanted))):
            violated("rule 12", f"{node.place.node} drops a hint for {target}, which lacks {data_row!r}")

    def _is_in_outbox(self, node: NodeView, batch: Batch, row: bytes) -> bool:
        """Tell whether a key is in the outbox after this batch."""
        key = rows.storage_key_in(row)
        if any(value == key for outbox_row, value in batch.items() if outbox_row[:1] == b"o"):
            return True
        stored = node.disk.committed(*rows.OUTBOX_RANGE)
        return any(value == key and batch.get(outbox_row, b"") is not None for outbox_row, value in stored)


def _is_marked(node: NodeView, batch: Batch, datacenter: str) -> bool:
    """Tell whether a node has still to compare its entries with a data center after this batch."""
    row = rows.compare_row(datacenter)
    return batch[row] is not None if row in batch else node.disk.visible(row) is not None


def _entries_in(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the identities and entries of a batch. Junk has none; nodes acknowledge it so that it blocks nothing."""
    try:
        _, _, [[_, _, _, batch]] = cbor2.loads(payload)
    except (ValueError, TypeError, cbor2.CBORError):
        return
    for _, identity, entry in batch:
        yield identity, entry
