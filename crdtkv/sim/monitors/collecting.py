"""The collection of tombstones, checked from outside the nodes.

- Rule 11: a node deletes an entry only if readers see nothing of it. When the first replica deletes it, every home
  replica of its data center has exactly these bytes durably, or an entry that has seen all of it (a write that arrived
  between the last answer and the deletion), and no node holds a hint for the key, unless that refers to such a newer
  entry. From then on the tombstone counts as *collected*.
- I8: no replica shows anything again that a collected tombstone had seen.

A later read lacks the context of the tombstone, which breaks no promise. So before a history is checked, `completed`
adds to each read the contexts that were collected before it ended. The result must be what the read would have returned
with the tombstone in place; the checkers make no exception.
"""

from dataclasses import replace
from typing import NamedTuple

from crdtkv.checking.history import Context, Dot, Operation, dots_of
from crdtkv.ids import identity_of
from crdtkv.node.handoff.hints import REFERENCE
from crdtkv.node.kernel.events import Event
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.monitors.home_replicas import HomeReplicas
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.stored import Stored, descends, has, parse, violated
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage import rows
from crdtkv.storage.memory import Batch


class _Collected(NamedTuple):
    """A tombstone, with the virtual time and the hybrid time at which the first replica deleted it."""

    at_s: float
    now: int
    stored: Stored


class Collecting(Monitor):
    """Checks every entry that is deleted, and every entry that is stored after a deletion."""

    def __init__(self, world: WorldView, homes: HomeReplicas) -> None:
        super().__init__(world)
        self._homes = homes
        self._collected: dict[bytes, dict[bytes, _Collected]] = {}
        #: By node: the rows that it drops in this step; a later write of the step may store them again.
        self._dropping: dict[str, set[bytes]] = {}

    def stepping(self, node: NodeView, events: list[Event]) -> None:
        """Forget what the last step has dropped."""
        self._dropping.pop(node.place.node, None)

    def dropping(self, node: NodeView, storage_key: bytes) -> None:
        """Note that a node drops a tombstone."""
        self._dropping.setdefault(node.place.node, set()).add(rows.data_row(storage_key))

    def drops(self, node: NodeView, row: bytes) -> bool:
        """Tell whether a node drops a row in this step."""
        return row in self._dropping.get(node.place.node, ())

    def committing(self, node: NodeView, batch: Batch) -> None:
        """Check the data rows of a batch."""
        for row in self._dropping.get(node.place.node, ()):
            if batch.get(row) is not None:
                self._deleted(node, row)
        for row, value in batch.items():
            if row[:1] == b"d" and value is None:
                self._deleted(node, row)
            elif row[:1] == b"d" and value is not None and row in self._collected:
                self._stored(node, row, parse(value))

    def _deleted(self, node: NodeView, row: bytes) -> None:
        value = node.disk.visible(row)
        if value is None or value in self._collected.get(row, {}):
            return
        stored = parse(value)
        assert node.core is not None
        now = node.core.parts.replica.hybrid_now
        if stored.live(now):
            violated("rule 11", f"{node.place.node} drops {row!r}, which is alive: {stored.live(now)}")
        for name in self._homes.of(node.place.datacenter, row):
            held = self._world.nodes[name].disk.durable(row)
            if held is None or (held != value and not descends(parse(held), stored)):
                what = parse(held).vector if held is not None else None
                violated("rule 11", f"{node.place.node} drops {row!r} {stored.vector}, but {name} has {what} on disk")
        for other in (node, *self._world.neighbors(node)):
            # A hint that refers to a newer entry, which was written after the node had agreed, brings nothing old back.
            has_newer = other.disk.durable(row) not in (None, value)
            hints = other.disk.durable_rows(*rows.hints_of(rows.storage_key_in(row)))
            if any(hint != REFERENCE or not has_newer for _, hint in hints):
                violated("rule 11", f"{node.place.node} drops {row!r}, for which {other.place.node} keeps a hint")
        self._collected.setdefault(row, {})[value] = _Collected(self._world.now, now, stored)

    def _stored(self, node: NodeView, row: bytes, stored: Stored) -> None:
        for collected in self._collected[row].values():
            # Values that had expired by then may return: readers do not see them, and they are collected again.
            back = [dot for dot in stored.live(collected.now) if has(collected.stored, dot)]
            if back:
                violated("I8", f"{node.place.node} {row!r}: {back} came back after its tombstone was collected")

    def is_gone(self, identity: bytes, stored: Stored) -> bool:
        """Tell whether all that an entry has seen was collected, so that no disk needs to hold it."""
        collected = self._collected.get(rows.data_row(storage_key_of(identity)), {}).values()
        return any(descends(one.stored, stored) for one in collected)

    def dots_gone(self, identity: bytes) -> frozenset[Dot]:
        """Return all dots of a key that have been collected."""
        collected = self._collected.get(rows.data_row(storage_key_of(identity)), {}).values()
        return frozenset(dot for one in collected for dot in dots_of(_union({}, one.stored)))

    def completed(self, operation: Operation) -> Operation:
        """Return a read with the contexts of collected tombstones added, any other operation as it is."""
        if operation.context is None or operation.outcome != "ok":
            return operation
        row = rows.data_row(storage_key_of(identity_of("default", operation.type, operation.key)))
        for at_s, _, stored in self._collected.get(row, {}).values():
            if at_s <= operation.ended:
                timestamp = operation.timestamp
                if not operation.values:
                    timestamp = max(timestamp, stored.newest)
                operation = replace(operation, context=_union(operation.context or {}, stored), timestamp=timestamp)
        return operation


def _union(context: Context, stored: Stored) -> Context:
    """Return the union of a reader's context and the context of an entry."""
    runs = {actor: max(run[0], stored.vector.get(actor, 0)) for actor, run in context.items()}
    runs |= {actor: counter for actor, counter in stored.vector.items() if actor not in runs}
    more = {(actor, counter) for actor, run in context.items() for counter in run[1:]} | stored.cloud
    union: Context = {}
    for actor in sorted({*runs, *(actor for actor, _ in more)}):
        run = runs.get(actor, 0)
        beyond = sorted(counter for other, counter in more if other == actor and counter > run)
        while beyond and beyond[0] == run + 1:
            run = beyond.pop(0)
        union[actor] = [run, *beyond]
    return union
