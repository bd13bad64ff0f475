"""What a checker finds."""

from typing import NamedTuple


class Violation(NamedTuple):
    """An invariant (`I1`…`I10`, `linearizable`) that does not hold, and the story of it in one line."""

    invariant: str
    story: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.story}"
