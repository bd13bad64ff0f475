"""`Tally`: the only quorum arithmetic.

Replicas answer or fail; the tally is reached, impossible or pending. Once it is reached, later failures do not change
it. Each replica counts once.
"""

from collections.abc import Iterable
from enum import Enum


class Outcome(Enum):
    """The state of a tally."""

    PENDING = "pending"
    REACHED = "reached"
    IMPOSSIBLE = "impossible"


class Tally:
    """Counts the answers of named replicas against a required number."""

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
        """Count an answer; a second answer of a replica, or one of another node, does not count."""
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
        """Add a replica, in the place of one that failed."""
        self._open.add(replica)
        self._judge()

    def is_open(self, replica: str) -> bool:
        """Return whether this replica has neither answered nor failed."""
        return replica in self._open

    def _judge(self) -> None:
        if self.received >= self.required:
            self.outcome = Outcome.REACHED
        elif self.received + len(self._open) >= self.required:
            self.outcome = Outcome.PENDING
        else:
            self.outcome = Outcome.IMPOSSIBLE
