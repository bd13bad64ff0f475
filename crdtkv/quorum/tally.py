"""`Tally`: the only quorum arithmetic.

Replicas answer `ok` or fail; the tally is reached, impossible or pending, and never changes its mind: once it is
reached, later failures do not matter. Each replica counts once.
"""

from collections.abc import Iterable
from enum import Enum


class Outcome(Enum):
    """What is known so far."""

    PENDING = "pending"
    REACHED = "reached"
    IMPOSSIBLE = "impossible"


class Tally:
    """Count answers of named replicas against a required number."""

    __slots__ = ("_open", "outcome", "received", "required")

    def __init__(self, replicas: Iterable[str], required: int) -> None:
        self._open = set(replicas)
        self.required = required
        self.received = 0
        self.outcome = Outcome.PENDING
        self._judge()

    def __repr__(self) -> str:
        return f"{self.received}/{self.required} ({self.outcome.value})"

    def ok(self, replica: str) -> None:
        """Count an answer; a replica that already answered, or was never asked, counts nothing."""
        if replica in self._open:
            self._open.discard(replica)
            self.received += 1
            if self.received == self.required:
                self.outcome = Outcome.REACHED

    def fail(self, replica: str) -> None:
        """Count a failure."""
        self._open.discard(replica)
        self._judge()

    def replace(self, replica: str) -> None:
        """Await one more replica, in place of one that failed."""
        self._open.add(replica)
        self._judge()

    def is_open(self, replica: str) -> bool:
        """Tell whether this replica's answer is still awaited."""
        return replica in self._open

    def _judge(self) -> None:
        if self.received >= self.required:
            self.outcome = Outcome.REACHED
        elif self.received + len(self._open) >= self.required:
            self.outcome = Outcome.PENDING
        else:
            self.outcome = Outcome.IMPOSSIBLE
