"""`WriteObserver`: reports every operation to the simulator when its dot is minted; a server has none."""

from typing import NamedTuple, Protocol

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.node.kernel.keys import PlacedKey


class MadeOperation(NamedTuple):
    """A client's operation under its dot; `stored` is the entry before it, `now` the time for its expiries."""

    event: Event
    now: HybridTimestamp
    stored: Entry
    operation: str
    arguments: list[object]
    seen: CausalContext | None
    ttl_ms: int


class WriteObserver(Protocol):
    """Receives the writes that one node makes by its own decision."""

    def made(self, key: PlacedKey, operation: MadeOperation) -> None:
        """Handle a client's operation."""
        ...

    def dropping(self, storage_key: bytes) -> None:
        """Handle that a tombstone is about to be dropped, which all nodes have agreed to."""
        ...

    def superseding(self, key: PlacedKey, before: HybridTimestamp) -> None:
        """Handle that a merge is about to drop versions older than a timestamp."""
        ...

    def superseded(self, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """Handle that it has dropped some, in an operation of its own; `context` is the new context of the entry."""
        ...
