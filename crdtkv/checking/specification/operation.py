"""`Operation`: what happened to one key, or to one field of it, and what was known where it happened."""

from typing import Any, NamedTuple

Dot = tuple[str, int]
Dots = frozenset[Dot]

#: A replica's own operation: it drops what is older than its timestamp among what it has seen.
SUPERSEDE = "supersede"


class Operation(NamedTuple):
    """One operation.

    `seen` is what it acted on: what its client had read, or all that its coordinator held. `held` is the latter in any
    case. What it wrote is over at `expires_at`, unless it goes on with something that lives longer; None is never. What
    was over at `made_at`, its coordinator's wall time as a timestamp, it found expired; that is its timestamp if None.
    An operation on several elements that stand for themselves is told as one for each.
    """

    dot: Dot
    timestamp: int
    name: str
    arguments: tuple[Any, ...]
    seen: Dots
    held: Dots = frozenset()
    expires_at: int | None = None
    made_at: int | None = None

    @property
    def moment(self) -> int:
        """The time at which the operation found things expired or not."""
        return self.timestamp if self.made_at is None else self.made_at

    @property
    def age(self) -> tuple[int, Dot]:
        """What orders writes of which the last wins."""
        return self.timestamp, self.dot
