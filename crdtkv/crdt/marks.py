"""The payloads of sets and flags: nothing, or a mark that is positive or negative.

Where the positive operation wins, a state keeps only the dots of positive operations (`DOTS_ALONE`). Where the negative
one wins, a state keeps both kinds with a mark (`MARKS`); the element or flag is on only if all marks are positive
(`is_on`).
"""

from typing import Final

from crdtkv.crdt.dotted import Dotted, Payload
from crdtkv.errors import InvalidRequest


def is_on(marks: Dotted[bool]) -> bool:
    """Return whether at least one mark is positive, and none is negative."""
    return bool(marks) and all(marks.values())


def _mark_from_wire(parts: list[object]) -> bool:
    if parts not in ([0], [1]) or type(parts[0]) is not int:
        raise InvalidRequest("a mark is 0 or 1")
    return bool(parts[0])


DOTS_ALONE: Final = Payload[None](0, lambda _: [], lambda _: None)
#: 0 or 1 on the wire.
MARKS: Final = Payload[bool](1, lambda mark: [int(mark)], _mark_from_wire)
