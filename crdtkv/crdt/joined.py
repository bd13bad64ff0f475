"""Types whose values are joined: `maxreg`, `minreg`, and `hll` in a file of its own.

Values of these types have a join of their own: the greater number, the smaller one, the union of two sketches. The
state is the values of the writes that nothing has superseded, and a reader sees their join. A write joins its value
with all values that its coordinator holds and supersedes them. Also a write that adds nothing does that, so that a
delete that has not seen it does not remove its value. A delete supersedes the values it has seen. So a write that was
concurrent with a delete survives, together with all values that its coordinator had joined into it.
"""

from collections.abc import Iterable
from typing import ClassVar, Final, TypeVar

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.dotted import DottedState, Payload, superseding
from crdtkv.crdt.number import Number, checked_number, rank
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor

P = TypeVar("P")


class JoinedState(DottedState[P]):
    """A type with a join of values; subclasses define the value of an operation, and the join of two values."""

    operations: ClassVar[frozenset[str]]
    type_tag: ClassVar[str]
    write: ClassVar[str]
    __slots__ = ()

    @property
    def joined(self) -> P | None:
        """The join of all values, None if there is none."""
        result: P | None = None
        for dot in sorted(self.group):
            value = self.group[dot]
            result = value if result is None else self._join(result, value)
        return result

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true for a delete only."""
        return operation == "delete"

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return all dots for a write, because its value includes theirs."""
        return self.group if operation == self.write else ()

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out the type's only kind of write, or `delete`."""
        if operation == "delete" and not arguments:
            return Delta(type(self)(), superseding(self.group, seen, [event.dot]))
        if operation != self.write:
            raise InvalidRequest(f"a {self.type_tag} knows {self.write}() and delete(), not {operation!r}")
        if seen is not None:
            raise InvalidRequest(
                f"{self.write} of a {self.type_tag} takes no context: it is joined with the current value"
            )
        written, held = self._value_of(arguments), self.joined
        value = written if held is None else self._join(held, written)
        return Delta(type(self)({event.dot: value}), CausalContext(cloud=[*self.group, event.dot]))

    @classmethod
    def _value_of(cls, arguments: list[object]) -> P:
        raise NotImplementedError

    @classmethod
    def _join(cls, one: P, other: P) -> P:
        raise NotImplementedError


_NUMBERS: Final = Payload[Number](1, lambda number: [number], lambda parts: checked_number(parts[0]))


class _NumberRegister(JoinedState[Number]):
    operations: ClassVar[frozenset[str]] = frozenset(("set", "delete"))
    write: ClassVar[str] = "set"
    payload: ClassVar[Payload[Number]] = _NUMBERS
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self.type_tag}({'' if self.joined is None else self.joined})"

    @classmethod
    def _value_of(cls, arguments: list[object]) -> Number:
        if len(arguments) != 1:
            raise InvalidRequest("set takes one number")
        return checked_number(arguments[0])


class MaxRegister(_NumberRegister):
    """The greatest number that was set."""

    type_tag: ClassVar[str] = "maxreg"
    __slots__ = ()

    @classmethod
    def _join(cls, one: Number, other: Number) -> Number:
        return max(one, other, key=rank)


class MinRegister(_NumberRegister):
    """The smallest number that was set."""

    type_tag: ClassVar[str] = "minreg"
    __slots__ = ()

    @classmethod
    def _join(cls, one: Number, other: Number) -> Number:
        return min(one, other, key=rank)
