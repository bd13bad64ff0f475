"""`WriteObserver`: what the simulator is told of every operation where its dot is made; a server has none."""

from typing import NamedTuple, Protocol

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.node.kernel.keys import PlacedKey


class MadeOperation(NamedTuple):
    """A client's operation under its dot; `stored` is the entry it was made on, `now` the time expiries go by."""

    event: Event
    now: HybridTimestamp
    stored: Entry
    operation: str
    arguments: list[object]
    seen: CausalContext | None
    ttl_ms: int


class WriteObserver(Protocol):
    """Learns of what one node writes by its own decision."""

    def made(self, key: PlacedKey, operation: MadeOperation) -> None:
        """Learn of a client's operation."""
        ...

    def superseding(self, key: PlacedKey, before: HybridTimestamp) -> None:
        """Learn that a merge is about to drop versions older than a time."""
        ...

    def superseded(self, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """Learn that it has dropped some, in an operation of its own; `context` is that of the entry then."""
        ...
