"""`OperationLog`: every operation with its dot, its arguments, and the dots that its node held and its client had seen.

Clients do not learn the dots of writes with an unknown outcome, nor what a coordinator had seen. The checkers need both
to compute the value that a reader of given dots must get (`checking.specified`). A node mints a dot in two places, and
reports both (`WriteObserver`): for a client's operation, and when a replica drops older versions (`superseding` checks
whether it may).

An operation counts as having seen all dots that were collected before it.

A dot that a power loss has taken before any other node received it may be used again; the last operation of a dot
counts.
"""

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp, from_wall_ms
from crdtkv.checking.specification.operation import SUPERSEDE, Dot, Operation
from crdtkv.ids import parse_identity
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.replica.write_observer import MadeOperation
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.shown import plain
from crdtkv.sim.world.view import NodeView, WorldView


class OperationLog(Monitor):
    """All operations of one run."""

    def __init__(self, world: WorldView, collecting: Collecting) -> None:
        super().__init__(world)
        self._collecting = collecting
        self._made: dict[bytes, dict[Dot, Operation]] = {}

    def by_key(self) -> dict[tuple[str, str], dict[Dot, Operation]]:
        """Return the operations by the type and name of their key."""
        keys = {parse_identity(identity): made for identity, made in self._made.items()}
        return {(key.type_tag, key.key.decode()): made for key, made in keys.items()}

    def made(self, node: NodeView, key: PlacedKey, operation: MadeOperation) -> None:
        """Add an operation of a client."""
        held = frozenset(operation.stored.context.dots())
        made = Operation(
            (operation.event.dot.actor, operation.event.dot.counter),
            operation.event.timestamp,
            operation.operation,
            tuple(plain(operation.arguments)),
            held if operation.seen is None else frozenset(operation.seen.dots()),
            held,
            operation.now + from_wall_ms(operation.ttl_ms) if operation.ttl_ms else None,
            operation.now,
        )
        self._note(key, made)

    def superseded(self, node: NodeView, key: PlacedKey, before: HybridTimestamp, context: CausalContext) -> None:
        """Add the operation that has dropped older versions."""
        assert node.core is not None
        actor = node.core.parts.replica.actor
        dot = (actor, context.highest(actor))
        held = frozenset(context.dots()) - {dot}
        self._note(key, Operation(dot, before, SUPERSEDE, (), held, held))

    def _note(self, key: PlacedKey, operation: Operation) -> None:
        gone = self._collecting.dots_gone(key.identity)
        operation = operation._replace(seen=operation.seen | gone, held=operation.held | gone)
        self._made.setdefault(key.identity, {})[operation.dot] = operation
