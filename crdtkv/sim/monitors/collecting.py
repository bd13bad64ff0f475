"""What must hold when tombstones go, looked at from outside the nodes; and what the judges must know of it.

- Rule 11: an entry goes from a disk only if it shows nothing to a reader, and when the first replica drops it, every
  home replica of its data center has exactly these bytes on disk, or an entry that has seen all of it (a write that
  came between the last answer and the drop), and no node keeps a hint for the key. From then on it is known to be
  *collected*.
- I8: nothing that a collected tombstone had seen is ever shown again, on whatever replica.

A read that is answered later lacks the tombstone's context, and no promise is broken by that. So before a history is
judged, such reads are *completed* by what had been collected before they ended: they must be what they would have been,
had the tombstone stayed. The judges give up nothing.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from crdtkv.checking.history import Context, Dot, Operation, dots_of
from crdtkv.ids import identity_of
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.world.stored import Stored, descends, has, parse, violated
from crdtkv.storage import rows

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.world.host import SimNode


class _Collected(NamedTuple):
    """A tombstone, and when the first replica dropped it: the time of the world, and the hybrid time."""

    at_s: float
    now: int
    stored: Stored


class Collecting:
    """Looks at every entry that goes, and at every one that comes."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._collected: dict[bytes, dict[bytes, _Collected]] = {}

    def goes(self, node: "SimNode", row: bytes) -> None:
        """Look at a data row that is being deleted."""
        value = node.disk.visible(row)
        if value is None or value in self._collected.get(row, {}):
            return
        stored = parse(value)
        assert node.core is not None
        now = node.core.parts.replica.hybrid_now
        if stored.live(now):
            violated("rule 11", f"{node.place.node} drops {row!r}, which is alive: {stored.live(now)}")
        for name in self._cluster.monitors.replicas(node.place.datacenter, row):
            held = self._cluster.nodes[name].disk.durable(row)
            if held is None or (held != value and not descends(parse(held), stored)):
                what = parse(held).vector if held is not None else None
                violated("rule 11", f"{node.place.node} drops {row!r} {stored.vector}, but {name} has {what} on disk")
        for other in (node, *self._cluster.neighbors(node)):
            if other.disk.durable_rows(*rows.hints_of(rows.storage_key_in(row))):
                violated("rule 11", f"{node.place.node} drops {row!r}, for which {other.place.node} keeps a hint")
        self._collected.setdefault(row, {})[value] = _Collected(self._cluster.scheduler.now, now, stored)

    def comes(self, node: "SimNode", row: bytes, stored: Stored) -> None:
        """Look at an entry that is being stored."""
        for collected in self._collected.get(row, {}).values():
            # What had expired by then may come again: it shows nothing, and goes again.
            back = [dot for dot in stored.live(collected.now) if has(collected.stored, dot)]
            if back:
                violated("I8", f"{node.place.node} {row!r}: {back} came back after its tombstone was collected")

    def is_gone(self, identity: bytes, stored: Stored) -> bool:
        """Tell whether all that an entry has seen was collected: it need not be on any disk."""
        collected = self._collected.get(rows.data_row(storage_key_of(identity)), {}).values()
        return any(descends(one.stored, stored) for one in collected)

    def dots_gone(self, identity: bytes) -> frozenset[Dot]:
        """Return all dots of a key that were collected by now."""
        collected = self._collected.get(rows.data_row(storage_key_of(identity)), {}).values()
        return frozenset(dot for one in collected for dot in dots_of(_union({}, one.stored)))

    def completed(self, operation: Operation) -> Operation:
        """Return a read as it would have been, had all tombstones stayed; anything else as it is."""
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
    """Return a reader's context and an entry's together."""
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
