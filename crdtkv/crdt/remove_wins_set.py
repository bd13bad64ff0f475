"""`rwset`: a remove-wins set. An element that is added here and removed there at the same time is not a member.

Each element stands under the dots of the adds and removes that nothing has superseded; either supersedes all of the
element that it has seen. An element is a member if there is an add among them and no remove. So a remove leaves its
dot behind, for as long as the key exists: that is what makes it win against adds that are still on their way.
Deleting the whole key is no removal of each element: concurrent adds survive it, as with every type.

Source: Bieniusa et al., "An Optimized Conflict-free Replicated Set" (2012); AntidoteDB's `set_rw`.
"""

from typing import ClassVar

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.dotted import Dotted, DottedGroups, elements_of, superseding
from crdtkv.errors import InvalidRequest


def is_on(marks: Dotted[bool]) -> bool:
    """Tell what marks come to where the negative one wins: at least one is positive, and none is negative."""
    return bool(marks) and all(marks.values())


def mark_from_wire(parts: list[object]) -> bool:
    """Parse a mark.

    Raises:
        InvalidRequest: it is neither 0 nor 1.
    """
    if parts not in ([0], [1]) or type(parts[0]) is not int:
        raise InvalidRequest("a mark is 0 or 1")
    return bool(parts[0])


class RemoveWinsSet(DottedGroups[bool]):
    """The marks of every element under their dots: True for an add, False for a remove."""

    type_tag: ClassVar[str] = "rwset"
    operations: ClassVar[frozenset[str]] = frozenset(("add", "remove", "delete"))
    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    payload_width: ClassVar[int] = 1
    __slots__ = ()

    def __repr__(self) -> str:
        return f"rwset({', '.join(element.hex() for element in self.members)})"

    @property
    def is_empty(self) -> bool:
        """Whether nobody is a member."""
        return not any(map(is_on, self.groups.values()))

    @property
    def members(self) -> list[bytes]:
        """The members, sorted by their encoding."""
        return sorted(element for element, marks in self.groups.items() if is_on(marks))

    @classmethod
    def acts_on_seen(cls, operation: str, arguments: list[object]) -> bool:
        """Tell that everything does: an add takes back the removes it has seen."""
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
                dots = {element: Dot(event.dot.actor, event.dot.counter + n) for n, element in enumerate(elements)}
                held = self._dots_of(elements)
                state = RemoveWinsSet({element: {dot: operation == "add"} for element, dot in dots.items()})
                return Delta(state, superseding(held, seen, dots.values()))
        raise InvalidRequest(f"an rwset knows add(element…), remove(element…) and delete(), not {operation!r}")

    @classmethod
    def _payload_to_wire(cls, payload: bool) -> list[object]:
        return [int(payload)]

    @classmethod
    def _payload_from_wire(cls, parts: list[object]) -> bool:
        return mark_from_wire(parts)
