"""`lww`: last writer wins.

The state is one version, the one with the highest (timestamp, dot). A delete is a version without a value. One of two
concurrent writes is lost, by design; it is the same one on all replicas. A write gets a timestamp above everything its
coordinator holds, so with a slow clock a later write of the same data center still wins against the value it replaces.

Source: Shapiro et al., "A comprehensive study of CRDTs" (2011), section 3.2.1 (LWW-Register).
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event, is_counter
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor


class Winner(NamedTuple):
    """The winning write; the highest (timestamp, dot) wins. `value` is CBOR bytes, None for a delete."""

    timestamp: HybridTimestamp
    dot: Dot
    value: bytes | None


class LastWriterWins:
    """The winner, or None before the first write."""

    type_tag: ClassVar[str] = "lww"
    operations: ClassVar[frozenset[str]] = frozenset(("put", "delete"))
    has_partial_deltas: ClassVar[bool] = False
    takes_context: ClassVar[bool] = False
    __slots__ = ("winner",)

    def __init__(self, winner: Winner | None = None) -> None:
        self.winner = winner

    def __repr__(self) -> str:
        if self.winner is None or self.winner.value is None:
            return "lww()"
        return f"lww({self.winner.dot}={self.winner.value.hex()})"

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        return self.winner is None

    @property
    def is_empty(self) -> bool:
        """Whether the winner is a delete, or there is none."""
        return self.winner is None or self.winner.value is None

    def dots(self) -> Iterable[Dot]:
        """Return the winner's dot."""
        return [self.winner.dot] if self.winner else []

    def newest(self) -> HybridTimestamp:
        """Return the winner's timestamp."""
        return self.winner.timestamp if self.winner else 0

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true for a delete only, so that its timestamp is above what it deletes."""
        return operation == "delete"

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Keep the higher (timestamp, dot)."""
        if self.winner is None:
            return other
        if other.winner is None or other.winner[:2] <= self.winner[:2]:
            return self
        return other

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return no dots: no operation carries on earlier effects."""
        return ()

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `put value` or `delete`."""
        if seen is not None:
            raise InvalidRequest("an lww value takes no context: the last writer wins")
        match operation, arguments:
            case "put", [bytes() as value]:
                written: bytes | None = value
            case "delete", []:
                written = None
            case _:
                raise InvalidRequest(
                    f"an lww knows put(value) and delete(), not {operation!r} with {len(arguments)} arguments"
                )
        return Delta(LastWriterWins(Winner(event.timestamp, event.dot, written)), context.with_dot(event.dot))

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return a delete by the winner if its dot is one of these: older versions must not come back."""
        if self.winner is None or self.winner.dot not in dots:
            return self
        return type(self)(self.winner._replace(value=None))

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None: merging already drops older versions."""
        return None

    def to_wire(self) -> list[object]:
        """Return `[]` or `[timestamp, actor, counter, value or None]`."""
        return [self.winner.timestamp, *self.winner.dot, self.winner.value] if self.winner else []

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[]` or `[timestamp, actor, counter, value or None]`."""
        if wire == []:
            return cls()
        if type(wire) is list and len(wire) == 4:
            timestamp, actor, counter, value = wire
            is_write = is_counter(timestamp) and type(actor) is str and is_counter(counter)
            if is_write and (value is None or type(value) is bytes):
                return cls(Winner(timestamp, Dot(actor, counter), value))
        raise InvalidRequest("an lww is [timestamp, actor, counter, value]")
