"""`Operation`: an operation on one key, or on one field of it, and the operations known where it was made."""

from typing import Any, NamedTuple

Dot = tuple[str, int]
Dots = frozenset[Dot]

#: A replica's own operation: it drops the versions it has seen that are older than its timestamp.
SUPERSEDE = "supersede"


class Operation(NamedTuple):
    """One operation.

    `seen` are the operations it acted on: those that its client had read, or all that its coordinator held. `held` is
    the latter in any case. The written value expires at `expires_at` (None: never), unless the operation carries on a
    value that lasts longer. Values that had expired at `made_at`, its coordinator's wall time as a timestamp (None: the
    timestamp of the operation), were invisible to it. An operation on several independent elements is recorded as one
    for each.
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
        """The time by which the operation judged expiries."""
        return self.timestamp if self.made_at is None else self.made_at

    @property
    def age(self) -> tuple[int, Dot]:
        """The order of writes of which the last wins."""
        return self.timestamp, self.dot
