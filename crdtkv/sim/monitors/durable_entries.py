"""What holds of all durable entries, on whatever node, for ever.

- I2: entries of a key with equal contexts have equal bytes.
- I3: a dot names one operation.

Both hold of durable entries only: a dot that a power loss has taken before any other node received it may be used
again.
"""

from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.stored import parse, violated
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage.memory import Batch


class DurableEntries(Monitor):
    """Compares every durable entry with all earlier ones of its key."""

    def __init__(self, world: WorldView) -> None:
        super().__init__(world)
        self._bytes_of: dict[tuple[bytes, bytes], bytes] = {}
        self._claimed: dict[tuple[bytes, object], object] = {}

    def durable(self, node: NodeView, batch: Batch) -> None:
        """Check the entries of a durable batch."""
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
