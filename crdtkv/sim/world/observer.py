"""`WorldObserver`: the events of a simulated world, one method each; a method does nothing unless it is overridden.

The world calls these methods at the moment of each event. An observer must not change the world, so that the trace of a
run is the same with and without it. It reports a broken invariant with `stored.violated`.
"""

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.checking.history import Operation
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event, Peer
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.replica.write_observer import MadeOperation
from crdtkv.sim.world.view import NodeView
from crdtkv.storage.memory import Batch
from crdtkv.wire.messages import Message


class WorldObserver:
    """Receives all events of one world."""

    # Processes and their steps.

    def lost_data(self, node: NodeView, reason: str) -> None:
        """Handle that a process starts under a new incarnation, because its disk has lost synced data."""

    def stopping(self, node: NodeView) -> None:
        """Handle that a process is about to end; its core is still there."""

    def stepping(self, node: NodeView, events: list[Event]) -> None:
        """Handle that a node is about to process events."""

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """Handle that a node has processed events, before its effects are carried out."""

    # Disks.

    def committing(self, node: NodeView, batch: Batch) -> None:
        """Handle that a batch is about to be applied to a disk. Entries are whole (`patched`)."""

    def durable(self, node: NodeView, batch: Batch) -> None:
        """Handle that a power loss can no longer take a batch. Entries are whole (`patched`)."""

    # Messages.

    def releasing(self, node: NodeView, effects: Effects) -> None:
        """Handle that the held effects of a step are about to be released."""

    def sent(self, node: NodeView, peer: Peer, messages: list[Message]) -> None:
        """Handle that a node sends messages, at once or after its fsync."""

    def acknowledged(self, node: NodeView, payload: bytes) -> None:
        """Handle that a node acknowledges a stream message as applied."""

    # Operations.

    def begun(self, operation_id: bytes, operation: Operation) -> None:
        """Handle that a client begins a write."""

    def made(self, node: NodeView, key: PlacedKey, operation: MadeOperation) -> None:
        """Handle that a node mints the dot of a client's operation; see `WriteObserver.made`."""

    def dropping(self, node: NodeView, storage_key: bytes) -> None:
        """Handle that a node is about to drop a tombstone; see `WriteObserver.dropping`."""

    def superseding(self, node: NodeView, key: PlacedKey, before: HybridTimestamp) -> None:
        """Handle that a merge is about to drop older versions; see `WriteObserver.superseding`."""

    def superseded(self, node: NodeView, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """Handle that a merge has dropped older versions; see `WriteObserver.superseded`."""

    # Coverage.

    def counted(self, name: str, amount: int) -> None:
        """Handle that a path was reached (`monitors.coverage`)."""


class NodeWrites:
    """Reports the writes of one process; see `WriteObserver`."""

    def __init__(self, node: NodeView, observer: WorldObserver) -> None:
        self._node = node
        self._observer = observer

    def made(self, key: PlacedKey, operation: MadeOperation) -> None:
        """See `WriteObserver.made`."""
        self._observer.made(self._node, key, operation)

    def dropping(self, storage_key: bytes) -> None:
        """See `WriteObserver.dropping`."""
        self._observer.dropping(self._node, storage_key)

    def superseding(self, key: PlacedKey, before: HybridTimestamp) -> None:
        """See `WriteObserver.superseding`."""
        self._observer.superseding(self._node, key, before)

    def superseded(self, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """See `WriteObserver.superseded`."""
        self._observer.superseded(self._node, key, before, context)
