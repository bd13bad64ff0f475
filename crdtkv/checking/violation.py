"""The results of the checkers."""

from typing import NamedTuple


class Violation(NamedTuple):
    """An invariant (`I1`…`I10`, `linearizable`) that does not hold, and its description in one line."""

    invariant: str
    story: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.story}"
