"""`Retries`: decides whether and when a failed request is retried, and how many nodes the retry skips.

After `Unavailable` and `InsufficientStorage` the next replica is tried at once; the error is final when N replicas have
returned it. After other failures there is a growing pause with jitter, and no retry begins after the deadline. A budget
of the client limits the retries after refusals and silence (`retry_budget`).
"""

from random import Random

from crdtkv.client.core.failures import NoAnswer, Unsettled
from crdtkv.client.core.retry_budget import RetryBudget
from crdtkv.errors import CrdtkvError, InsufficientStorage, Overloaded, Unavailable

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0


class Retries:
    """The retries of one request."""

    __slots__ = ("_overloads", "_pause_s", "_refusals")

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S
        self._refusals = self._overloads = 0

    def skip(self, replication_factor: int) -> int:
        """Return how many nodes the next attempt skips."""
        return self._refusals + self._overloads % replication_factor

    def wait_s(
        self,
        error: CrdtkvError,
        now: float,
        deadline: float,
        replication_factor: int,
        budget: RetryBudget,
        random: Random,
    ) -> float | None:
        """Return the seconds until the next attempt, None if there is none. Times are monotonic seconds."""
        if isinstance(error, (Unavailable, InsufficientStorage)):
            # Other nodes may be better: that node may have just started, or may be the only one with a full disk.
            self._refusals += 1
            return 0.0 if self._refusals < replication_factor else None
        wait_s = self._pause_s * random.uniform(0.5, 1.0)
        if isinstance(error, Unsettled):
            wait_s += max(0.0, error.settled_at - now)
        elif isinstance(error, Overloaded):
            wait_s = max(wait_s, error.retry_after_s * random.uniform(1.0, 1.5))
            self._overloads += 1
        if isinstance(error, (Overloaded, NoAnswer)) and not budget.spend():
            wait_s = max(wait_s, LONGEST_PAUSE_S * random.uniform(0.5, 1.0))
        if deadline - now <= wait_s:
            return None
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return wait_s
