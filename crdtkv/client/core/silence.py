"""`Silence`: detects a silent node, and decides which of its requests are given up.

A node is *suspected* if requests are in flight to it and it has sent nothing for `SUSPECT_S`, or for
`SUSPECT_ROUND_TRIPS` usual round trips if that is longer, but at most `SUSPECT_MAX_S`; until it sends something again.
Other nodes are then preferred, and requests to the suspected one end with `NoAnswer`, so that they are retried
elsewhere: reads at once, writes when the node would not begin them any more (`patience_s`). Every request ends at its
own deadline in any case.

Silence counts only while this process runs: after a pause of the process, answers may be waiting to be read.
"""

import heapq
from collections.abc import Iterator

SWEEP_S = 0.1
SUSPECT_S = 0.25
SUSPECT_ROUND_TRIPS = 4
SUSPECT_MAX_S = 2.0


class Silence:
    """The deadlines of the requests in flight to one node, and the time of its last frame."""

    __slots__ = ("_sweep_due_at", "deadlines", "is_suspected", "quiet_since")

    def __init__(self) -> None:
        self.is_suspected = False
        self.quiet_since = 0.0
        #: A heap of (deadline, first id, last id, time from which the requests do not wait for a suspected node).
        self.deadlines: list[tuple[float, int, int, float]] = []
        self._sweep_due_at = 0.0

    def sweep_due(self, now: float) -> float:
        """Return the time of the next sweep, and note it to detect pauses of the process."""
        self._sweep_due_at = now + SWEEP_S
        return self._sweep_due_at

    def overdue(self, now: float) -> Iterator[tuple[int, int]]:
        """Remove the requests whose deadline has passed; yield their first and last ids."""
        while self.deadlines and self.deadlines[0][0] <= now:
            _, first, last, _ = heapq.heappop(self.deadlines)
            yield first, last

    def given_up(self, now: float, round_trip_s: float) -> list[tuple[int, int]]:
        """Suspect the node if it is silent for too long; return the first and last ids of requests to give up then."""
        if now - self._sweep_due_at > SWEEP_S:
            self.quiet_since = now  # this process did not run
        if now - self.quiet_since > min(max(SUSPECT_S, SUSPECT_ROUND_TRIPS * round_trip_s), SUSPECT_MAX_S):
            self.is_suspected = True
            return [(first, last) for _, first, last, patience_until in self.deadlines if now >= patience_until]
        return []

    def clear(self) -> None:
        """Remove all deadlines: no request is in flight."""
        self.deadlines.clear()
