"""What stands under the dots of sets and flags: nothing, or a mark that says yes or no.

Where the positive operation wins, only positive ones are kept, and there is nothing to say of them (`Unmarked`). Where
the negative one wins, both are kept, marked (`Marked`), and all of them must be positive (`is_on`).
"""

from typing import ClassVar

from crdtkv.crdt.dotted import Dotted, DottedValues
from crdtkv.errors import InvalidRequest


def is_on(marks: Dotted[bool]) -> bool:
    """Tell what marks come to: at least one is positive, and none is negative."""
    return bool(marks) and all(marks.values())


class Unmarked(DottedValues[None]):
    """Dots alone."""

    payload_width: ClassVar[int] = 0
    __slots__ = ()

    @classmethod
    def _payload_to_wire(cls, payload: None) -> list[object]:
        return []

    @classmethod
    def _payload_from_wire(cls, parts: list[object]) -> None:
        return None


class Marked(DottedValues[bool]):
    """A mark under every dot, 0 or 1 on the wire."""

    payload_width: ClassVar[int] = 1
    __slots__ = ()

    @classmethod
    def _payload_to_wire(cls, payload: bool) -> list[object]:
        return [int(payload)]

    @classmethod
    def _payload_from_wire(cls, parts: list[object]) -> bool:
        if parts not in ([0], [1]) or type(parts[0]) is not int:
            raise InvalidRequest("a mark is 0 or 1")
        return bool(parts[0])
