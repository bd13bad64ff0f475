"""Every operation as the node that made it saw it: what it was asked to do, under which dot, on what it held.

Clients do not learn the dots of writes of unknown fate, nor what a coordinator had seen. The judges need both, to say
what a reader of given dots must be shown (`checking.specified`). So this observes the two places where a node makes a
dot (`WriteObserver`): for a client's operation, and where a replica drops older versions. Who may do that is
`superseding`'s part.

What has been collected is seen by everybody: an operation that is made later has seen it, too.

A dot that was lost before anybody heard of it may be used again: then the last operation of that name is the one that
counts.
"""

from typing import TYPE_CHECKING

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp, from_wall_ms
from crdtkv.checking.specification.operation import SUPERSEDE, Dot, Operation
from crdtkv.ids import parse_identity
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.replica.write_observer import MadeOperation
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.superseding import Superseding
from crdtkv.sim.world.shown import plain

if TYPE_CHECKING:
    from crdtkv.sim.world.host import SimNode


class OperationLog:
    """All operations of one life."""

    def __init__(self, collecting: Collecting, superseding: Superseding) -> None:
        self._collecting = collecting
        self._superseding = superseding
        self._made: dict[bytes, dict[Dot, Operation]] = {}

    def by_key(self) -> dict[tuple[str, str], dict[Dot, Operation]]:
        """Return the operations by the type and name of their key."""
        keys = {parse_identity(identity): made for identity, made in self._made.items()}
        return {(key.type_tag, key.key.decode()): made for key, made in keys.items()}

    def watch(self, node: "SimNode") -> None:
        """Observe a process that has just started."""
        assert node.core is not None
        node.core.parts.replica.observer = _Observer(self, node)

    def made(self, key: PlacedKey, made: MadeOperation) -> None:
        """Learn of an operation that a client has asked for."""
        held = frozenset(made.stored.context.dots())
        operation = Operation(
            (made.event.dot.actor, made.event.dot.counter),
            made.event.timestamp,
            made.operation,
            tuple(plain(made.arguments)),
            held if made.seen is None else frozenset(made.seen.dots()),
            held,
            made.now + from_wall_ms(made.ttl_ms) if made.ttl_ms else None,
            made.now,
        )
        self._note(key, operation)
        self._superseding.made(key.identity, operation.dot, operation.timestamp, is_blind=made.seen is None)

    def superseding(self, node: "SimNode", key: PlacedKey, before: HybridTimestamp) -> None:
        """Learn that a node may drop versions."""
        assert node.core is not None
        is_replica = node.place.node in node.core.parts.kernel.cluster.ring.replicas_at(key.token)
        self._superseding.merging(node.place.node, key.identity, before, is_replica)

    def superseded(self, node: "SimNode", key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """Learn that a node has dropped versions."""
        assert node.core is not None
        actor = node.core.parts.replica.actor
        dot = (actor, context.highest(actor))
        held = frozenset(context.dots()) - {dot}
        self._note(key, Operation(dot, before, SUPERSEDE, (), held, held))

    def _note(self, key: PlacedKey, operation: Operation) -> None:
        gone = self._collecting.dots_gone(key.identity)
        operation = operation._replace(seen=operation.seen | gone, held=operation.held | gone)
        self._made.setdefault(key.identity, {})[operation.dot] = operation


class _Observer:
    """The observer of one process; see `WriteObserver`."""

    def __init__(self, making: OperationLog, node: "SimNode") -> None:
        self._making = making
        self._node = node

    def made(self, key: PlacedKey, operation: MadeOperation) -> None:
        """See `WriteObserver`."""
        self._making.made(key, operation)

    def superseding(self, key: PlacedKey, before: HybridTimestamp) -> None:
        """See `WriteObserver`."""
        self._making.superseding(self._node, key, before)

    def superseded(self, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """See `WriteObserver`."""
        self._making.superseded(self._node, key, before, context)
