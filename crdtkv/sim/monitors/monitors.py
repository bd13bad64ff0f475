"""What must hold at every step, looked at from outside the nodes.

Clients see only what they are told; these look at every batch that reaches a disk and at every acknowledgement; what
leaves a node is the part of `revealing` and `releasing`.

- I2: equal contexts for a key mean equal bytes, on whatever node. I3: a dot names one operation, for ever. Both of
  what is durable: a dot that was lost before anybody heard of it may be used again.
- I4: a replica's context for a key never shrinks.
- Rule 11, I8: a tombstone goes only when all home replicas have it on disk; what it had seen stays away (`collecting`).
- I6: a write is in the same batch as its outbox row, and the row goes only when a majority in every other data center
  has it.
- I9: outbox and table of calls stay within their limits; a full disk takes no entry; a clock follows nobody into the
  future.
- Rule 12: a hint goes only when its target has, durably, what the hint carries.
- Rule 14: only a blind write supersedes (`superseding`).
- An operation that is tried again is done once (`retrying`). Watchers are told the truth, and all of it (`watched`).
- Rule 5: a stream message is acknowledged only when a majority of the home replicas has made all of it durable.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import cbor2

from crdtkv.node.handoff.hint_delivery import BATCH_HINTS
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import DiskSpace, Event
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.durability import DurabilityMonitor
from crdtkv.sim.monitors.operation_log import OperationLog
from crdtkv.sim.monitors.releasing import Releasing
from crdtkv.sim.monitors.retrying import Retrying
from crdtkv.sim.monitors.superseding import Superseding
from crdtkv.sim.monitors.watch import WatchMonitor
from crdtkv.sim.world.stored import Stored, descends, parse, violated
from crdtkv.sim.world.stream import UNFINISHED_MAX
from crdtkv.storage import rows
from crdtkv.storage.memory import Batch

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.world.host import SimNode


class Monitors:
    """All step-level invariants of one life."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._is_forgetful = cluster.plan.is_forgetful
        self.revealing = DurabilityMonitor(cluster)
        self.releasing = Releasing()
        self.collecting = Collecting(cluster)
        self.retrying = Retrying(cluster)
        self.watched = WatchMonitor(cluster)
        self.superseding = Superseding(cluster)
        self.making = OperationLog(self.collecting, self.superseding)
        self._bytes_of: dict[tuple[bytes, bytes], bytes] = {}
        self._claimed: dict[tuple[bytes, object], object] = {}
        self._rings = {dc: HashRing(cluster.config.first_topology(dc)) for dc in cluster.config.datacenters}
        self._highest_wall_ms: dict[str, int] = {}
        #: The nodes whose disk is full throughout the step they are in.
        self._full: set[str] = set()
        limits, geo = cluster.config.limits, cluster.config.geo
        peers = len(cluster.config.datacenters) - 1
        keys = len(cluster.plan.keys)
        # A visit of anti-entropy is a call, too, and so are a round of collection, hints on their way, and entries of
        # other data centers, bounded by what is fetched.
        self._calls_max = limits.calls_in_flight_max + 2 + BATCH_HINTS
        self._calls_max += UNFINISHED_MAX * min(geo.batch_max, keys) * peers
        self._hints_max = cluster.config.handoff.hints_max
        self._outbox_max = geo.outbox_max

    def watch(self, node: "SimNode") -> None:
        """Look at every batch of a node: before it is applied, and when it has become durable."""
        node.disk.on_commit = lambda batch: self._committing(node, batch)
        node.disk.on_durable = self._durable

    def replicas(self, datacenter: str, row: bytes) -> tuple[str, ...]:
        """Return the home replicas of a data row."""
        return self._rings[datacenter].preference_list(rows.storage_key_in(row))

    def stepping(self, node: "SimNode", events: list[Event]) -> None:
        """Look at a node before its step."""
        assert node.core is not None
        self.superseding.stepping(node, events)
        if node.core.parts.replica.has_disk_space or any(type(event) is DiskSpace for event in events):
            self._full.discard(node.place.node)
        else:
            self._full.add(node.place.node)

    def stepped(self, node: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at what a step took in and gave out."""
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
        self.revealing.stepped(node, events, effects)
        self.releasing.stepped(node, effects)
        self.watched.stepped(node, events, effects)

    def acknowledged(self, node: "SimNode", payload: bytes) -> None:
        """Look at a stream message that a node says it has applied."""
        if self._is_forgetful:
            return
        for identity, entry in _entries_in(payload):
            self._cluster.coverage.count("applied_entries_checked")
            if not self._majority_has(node.place.datacenter, rows.data_row(storage_key_of(identity)), parse(entry)):
                violated("rule 5", f"{node.place.node} acknowledged {identity!r}, which no majority has")

    def _committing(self, node: "SimNode", batch: Batch) -> None:
        for row, value in batch.items():
            if row[:1] == b"d" and value is None:
                self.collecting.goes(node, row)
            elif row[:1] == b"d" and value is not None:
                if node.place.node in self._full:
                    violated("I9", f"{node.place.node} stores {row!r} on a full disk")
                self._entry(node, batch, row, value)
            elif row[:1] == b"o" and value is None:
                self._outbox_row_goes(node, batch, row)
            elif row[:1] == b"h" and value is None:
                self._hint_goes(node, row)
        if batch.get(rows.OUTBOX_DROPPED) == b"":
            self._cluster.coverage.count("outbox_overflows")

    def _durable(self, batch: Batch) -> None:
        self.retrying.durable(batch)
        for row, value in batch.items():
            if row[:1] != b"d" or value is None:
                continue
            stored = parse(value)
            for dot, claim in stored.claims:
                if self._claimed.setdefault((row, dot), claim) != claim:
                    violated("I3", f"{row!r}: {dot} is {self._claimed[row, dot]!r} and {claim!r}")
            known = self._bytes_of.setdefault((row, stored.seen), value)
            if known != value:
                violated("I2", f"{row!r}: equal contexts {stored.vector}, but {known.hex()} and {value.hex()}")

    def _entry(self, node: "SimNode", batch: Batch, row: bytes, value: bytes) -> None:
        stored = parse(value)
        self.collecting.comes(node, row, stored)
        before_bytes = node.disk.visible(row)
        before = parse(before_bytes) if before_bytes is not None else None
        if before is not None and not descends(stored, before):
            violated("I4", f"{node.place.node} {row!r}: {stored.vector} after {before.vector}")
        if node.core is not None and len(self._cluster.config.datacenters) > 1:
            actor = node.core.parts.replica.actor
            counter = stored.vector.get(actor, 0)
            is_own = counter > (before.vector.get(actor, 0) if before is not None else 0)
            if is_own and not self._is_in_outbox(node, batch, row):
                violated("I6", f"{node.place.node} wrote {row!r} {actor}:{counter} without an outbox row")

    def _outbox_row_goes(self, node: "SimNode", batch: Batch, outbox_row: bytes) -> None:
        """Look at an outbox row that is being deleted: everybody must have what it stands for."""
        key = node.disk.visible(outbox_row)
        if self._is_forgetful or node.core is None or key is None:
            return
        row = rows.data_row(key)
        if self._is_in_outbox(node, batch, row):
            return
        value = batch.get(row) or node.disk.visible(row)
        assert value is not None
        actor = node.core.parts.replica.actor
        own = Stored({actor: parse(value).vector.get(actor, 0)}, frozenset(), b"", [])
        for peer in self._cluster.config.peers_of(node.place.datacenter):
            if not self._majority_has(peer, row, own):
                violated("I6", f"{node.place.node} forgets to send {row!r} {own.vector}, which {peer} lacks")

    def _hint_goes(self, node: "SimNode", row: bytes) -> None:
        """Look at a hint that is being dropped: its target must have what it carries, or stands for."""
        value = node.disk.visible(row)
        if self._is_forgetful or value is None:
            return
        located_key, target = rows.hint_in(row)
        data_row = rows.data_row(located_key)
        wanted = value[1:] or node.disk.visible(data_row)
        held = self._cluster.nodes[target].disk.durable(data_row)
        if wanted is not None and not value[1:]:
            return  # a reference is to whatever is there now, which may have grown since it was sent
        if wanted is not None and (held is None or not descends(parse(held), parse(wanted))):
            violated("rule 12", f"{node.place.node} drops a hint for {target}, which lacks {data_row!r}")

    def _is_in_outbox(self, node: "SimNode", batch: Batch, row: bytes) -> bool:
        """Tell whether a key is in the outbox once this batch is applied, or everything will be sent again."""
        if rows.OUTBOX_DROPPED in batch:
            if batch[rows.OUTBOX_DROPPED] is not None:
                return True
        elif node.disk.visible(rows.OUTBOX_DROPPED) is not None:
            return True
        key = rows.storage_key_in(row)
        if any(value == key for outbox_row, value in batch.items() if outbox_row[:1] == b"o"):
            return True
        stored = node.disk.committed(*rows.OUTBOX_RANGE)
        return any(value == key and batch.get(outbox_row, b"") is not None for outbox_row, value in stored)

    def _majority_has(self, datacenter: str, row: bytes, wanted: Stored) -> bool:
        replicas = self.replicas(datacenter, row)
        holders = 0
        for name in replicas:
            value = self._cluster.nodes[name].disk.durable(row)
            holders += value is not None and descends(parse(value), wanted)
        return holders > len(replicas) // 2


def _entries_in(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the identities and entries of a batch; junk has none, and is acknowledged so that it blocks nothing."""
    try:
        _, _, [[_, _, _, batch]] = cbor2.loads(payload)
    except (ValueError, TypeError, cbor2.CBORError):
        return
    for _, identity, entry in batch:
        yield identity, entry
