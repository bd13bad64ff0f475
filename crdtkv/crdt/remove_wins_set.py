"""`rwset`: a remove-wins set. An element that is added and removed concurrently is not a member.

Each element has the dots of the adds and removes that nothing has superseded; both supersede all dots of the element
that they have seen. An element is a member if there is an add among them and no remove. So a remove leaves its dot, as
long as the key exists: that dot makes it win against adds that have not arrived yet. Deleting the whole key is no
removal of each element: concurrent adds survive it, as with every type.

Source: Bieniusa et al., "An Optimized Conflict-free Replicated Set" (2012); AntidoteDB's `set_rw`.
"""

from typing import ClassVar

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.dotted import DottedGroups, Payload, dots_for, elements_of, superseding
from crdtkv.crdt.marks import MARKS, is_on
from crdtkv.errors import InvalidRequest


class RemoveWinsSet(DottedGroups[bool]):
    """Marks of every element under the dots of operations: True for an add, False for a remove."""

    type_tag: ClassVar[str] = "rwset"
    operations: ClassVar[frozenset[str]] = frozenset(("add", "remove", "delete"))
    payload: ClassVar[Payload[bool]] = MARKS
    __slots__ = ()

    def __repr__(self) -> str:
        return f"rwset({', '.join(element.hex() for element in self.members)})"

    @property
    def is_empty(self) -> bool:
        """Whether the set has no members."""
        return not any(map(is_on, self.groups.values()))

    @property
    def members(self) -> list[bytes]:
        """The members, sorted by their encoding."""
        return sorted(element for element, marks in self.groups.items() if is_on(marks))

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true: every operation does."""
        return True

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `add element…`, `remove element…` or `delete`."""
        match operation, arguments:
            case "delete", []:
                return Delta(RemoveWinsSet(), (context if seen is None else seen).with_dot(event.dot))
            case (("add" | "remove"), _):
                elements = elements_of(arguments, operation)
                dots = dots_for(elements, event)
                state = RemoveWinsSet({element: {dot: operation == "add"} for element, dot in dots.items()})
                return Delta(state, superseding(self._dots_of(elements), seen, dots.values()))
        raise InvalidRequest(f"an rwset knows add(element…), remove(element…) and delete(), not {operation!r}")
