"""Every operation as the node that made it saw it: what it was asked to do, under which dot, on what it held.

Clients do not learn the dots of writes of unknown fate, nor what a coordinator had seen. The judges need both, to say
what a reader of given dots must be shown (`checking.specified`). So this listens at the two places where a node makes a
dot: for a client's operation, and where a replica drops older versions. Who may do that is `superseding`'s part.

What has been collected is seen by everybody: an operation that is made later has seen it, too.

A dot that was lost before anybody heard of it may be used again: then the last operation of that name is the one that
counts.
"""

from typing import Any

from crdtkv.causality.hybrid_clock import from_wall_ms
from crdtkv.checking.specification.operation import SUPERSEDE, Dot, Operation
from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.sim.collecting import Collecting
from crdtkv.sim.shown import plain
from crdtkv.sim.superseding import Superseding


class Making:
    """All operations of one life."""

    def __init__(self, collecting: Collecting, superseding: Superseding) -> None:
        self._collecting = collecting
        self._superseding = superseding
        self._made: dict[bytes, dict[Dot, Operation]] = {}

    def by_key(self) -> dict[tuple[str, str], dict[Dot, Operation]]:
        """Return the operations by the type and name of their key."""
        keys = {parse_identity(identity): made for identity, made in self._made.items()}
        return {(key.type_tag, key.key.decode()): made for key, made in keys.items()}

    def watch(self, core: NodeCore) -> None:
        """Listen to a process that has just started."""
        replica, local = core.parts.replica, core.parts.local
        made, merge = replica.made, replica.merge
        asked: list[Any] = []

        def making(actor: str, stored: Entry, *request: Any) -> Any:
            asked[:] = (stored, *request)
            return made(actor, stored, *request)

        def merging(key: PlacedKey, incoming: Entry, supersede_before: int = 0) -> bytes | None:
            if supersede_before:
                is_replica = core.parts.kernel.cluster.node in core.parts.kernel.cluster.ring.replicas_at(key.token)
                self._superseding.merging(core.parts.kernel.cluster.node, key.identity, supersede_before, is_replica)
            trimmed = merge(key, incoming, supersede_before)
            if trimmed is not None:
                context = Entry.from_bytes(trimmed).context
                dot = (replica.actor, context.highest(replica.actor))
                held = frozenset(context.dots()) - {dot}
                self._note(key, Operation(dot, supersede_before, SUPERSEDE, (), held, held))
            return trimmed

        def noting(mutate: Any) -> Any:
            def mutating(key: PlacedKey, *request: Any) -> Any:
                write = mutate(key, *request)
                made = _operation(write.event, replica.expiry_now, *asked)
                self._note(key, made)
                self._superseding.made(key.identity, made.dot, made.timestamp, is_blind=asked[3] is None)
                return write

            return mutating

        for owner, name, spy in (
            (replica, "made", making),
            (replica, "merge", merging),
            (replica, "mutate", noting(replica.mutate)),
            (local, "mutate_as_fallback", noting(local.mutate_as_fallback)),
        ):
            setattr(owner, name, spy)

    def _note(self, key: PlacedKey, operation: Operation) -> None:
        gone = self._collecting.dots_gone(key.identity)
        operation = operation._replace(seen=operation.seen | gone, held=operation.held | gone)
        self._made.setdefault(key.identity, {})[operation.dot] = operation


def _operation(
    event: Any, now: int, stored: Entry, name: str, arguments: Any, seen: Any, _: int, ttl_ms: int
) -> Operation:
    held = frozenset(stored.context.dots())
    return Operation(
        tuple(event.dot),
        event.timestamp,
        name,
        tuple(plain(arguments)),
        held if seen is None else frozenset(seen.dots()),
        held,
        now + from_wall_ms(ttl_ms) if ttl_ms else None,
        now,
    )
