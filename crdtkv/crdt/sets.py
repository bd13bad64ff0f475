"""`set`: an add-wins set, without tombstones for its elements. `gset`: the same without removal of elements.

Each element has the dots of the adds that nothing has superseded: an add supersedes the earlier adds of the element
that its coordinator holds, a remove supersedes those it has seen and leaves nothing. So an add that was concurrent with
a remove survives it, because its dot was not seen. Every element of one call gets a dot of its own; otherwise removing
one element would affect the others.

A delta holds the elements of the call, not the set.

Source: Bieniusa et al., "An Optimized Conflict-free Replicated Set" (2012).
"""

from typing import ClassVar

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.dotted import DottedGroups, Payload, dots_for, elements_of, superseding
from crdtkv.crdt.marks import DOTS_ALONE
from crdtkv.errors import InvalidRequest


class AddWinsSet(DottedGroups[None]):
    """The dots of every element."""

    type_tag: ClassVar[str] = "set"
    operations: ClassVar[frozenset[str]] = frozenset(("add", "remove", "delete"))
    payload: ClassVar[Payload[None]] = DOTS_ALONE
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self.type_tag}({', '.join(element.hex() for element in self.members)})"

    @property
    def is_empty(self) -> bool:
        """Whether the set has no members."""
        return not self.groups

    @property
    def members(self) -> list[bytes]:
        """The members, sorted by their encoding."""
        return sorted(self.groups)

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true for all operations but an add."""
        return operation != "add"

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `add element…`, `remove element…` or `delete`."""
        if operation not in self.operations:
            raise InvalidRequest(f"a {self.type_tag} knows {', '.join(sorted(self.operations))}, not {operation!r}")
        if operation == "delete":
            if arguments:
                raise InvalidRequest("delete takes no arguments")
            return Delta(type(self)(), (context if seen is None else seen).with_dot(event.dot))
        elements = elements_of(arguments, operation)
        held = self._dots_of(elements)
        if operation == "add":
            dots = dots_for(elements, event)
            state = type(self)({element: {dot: None} for element, dot in dots.items()})
            return Delta(state, superseding(held, seen, dots.values()))
        return Delta(type(self)(), superseding(held, seen, [event.dot]))


class GrowOnlySet(AddWinsSet):
    """A set whose elements cannot be removed; only the whole key can be deleted."""

    type_tag: ClassVar[str] = "gset"
    operations: ClassVar[frozenset[str]] = frozenset(("add", "delete"))
    __slots__ = ()
