"""`Silence`: when a node that does not answer is given up, request by request.

A node from which nothing has come for `SUSPECT_S` while it owes answers, or for several times as long as its answers
take when it is busy, is *suspected* until it sends something again: other nodes are asked first, and what waits for it
ends with `NoAnswer`, to be asked elsewhere: reads at once, writes when the node would not begin them any more
(`patience_s`). Every request ends at its own deadline in any case.

Silence counts only while this process runs: after a time in which it did not, answers may wait to be read.
"""

import heapq
from collections.abc import Iterator

SWEEP_S = 0.1
SUSPECT_S = 0.25
SUSPECT_ROUND_TRIPS = 4
SUSPECT_MAX_S = 2.0


class Silence:
    """What one node owes until when, and since when nothing has come from it."""

    __slots__ = ("_sweep_due_at", "deadlines", "is_suspected", "quiet_since")

    def __init__(self) -> None:
        self.is_suspected = False
        self.quiet_since = 0.0
        #: Until when, the first and last id of requests, and from when on they do not wait for a suspected node.
        self.deadlines: list[tuple[float, int, int, float]] = []
        self._sweep_due_at = 0.0

    def sweep_due(self, now: float) -> float:
        """Return when to sweep next, a moment from now."""
        self._sweep_due_at = now + SWEEP_S
        return self._sweep_due_at

    def overdue(self, now: float) -> Iterator[tuple[int, int]]:
        """Yield the first and last id of the requests whose deadline has passed, once."""
        while self.deadlines and self.deadlines[0][0] <= now:
            _, first, last, _ = heapq.heappop(self.deadlines)
            yield first, last

    def given_up(self, now: float, round_trip_s: float) -> list[tuple[int, int]]:
        """Judge a node that owes answers; return the ids of requests that do not wait for it any longer."""
        if now - self._sweep_due_at > SWEEP_S:
            self.quiet_since = now  # it is this process that did not run
        if now - self.quiet_since > min(max(SUSPECT_S, SUSPECT_ROUND_TRIPS * round_trip_s), SUSPECT_MAX_S):
            self.is_suspected = True
            return [(first, last) for _, first, last, patience_until in self.deadlines if now >= patience_until]
        return []

    def clear(self) -> None:
        """Forget all deadlines: the node owes nothing."""
        self.deadlines.clear()
