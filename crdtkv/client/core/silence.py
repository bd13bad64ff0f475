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
    """What one node owes until when."""

    def __init__(self) -> None:
        self.is_suspected = False
        self.quiet_since = 0.0
        #: Until when, the first and last id of requests, and from when on they do not wait for a suspected node.
        self._deadlines: list[tuple[float, int, int, float]] = []
        self._sweep_due_at = 0.0

    def heard(self, now: float) -> None:
        """Learn that the node has sent something."""
        self.quiet_since = now
        self.is_suspected = False

    def expect(self, now: float, first: int, last: int, timeout_s: float, patience_s: float) -> None:
        """Let the requests of these ids be given up when the time has passed."""
        heapq.heappush(self._deadlines, (now + timeout_s, first, last, now + patience_s))

    def sweep_due(self, now: float) -> float:
        """Return when to sweep next, a moment from now."""
        self._sweep_due_at = now + SWEEP_S
        return self._sweep_due_at

    def overdue(self, now: float) -> Iterator[tuple[int, int]]:
        """Yield the first and last id of the requests whose deadline has passed, once."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, first, last, _ = heapq.heappop(self._deadlines)
            yield first, last

    def given_up(self, now: float, round_trip_s: float) -> Iterator[tuple[int, int]]:
        """Judge a node that owes answers; yield the ids of requests that do not wait for it any longer."""
        if now - self._sweep_due_at > SWEEP_S:
            self.quiet_since = now  # it is this process that did not run
        if now - self.quiet_since > min(max(SUSPECT_S, SUSPECT_ROUND_TRIPS * round_trip_s), SUSPECT_MAX_S):
            self.is_suspected = True
            yield from [(first, last) for _, first, last, patience_until in self._deadlines if now >= patience_until]

    def clear(self) -> None:
        """Forget all deadlines: the node owes nothing."""
        self._deadlines.clear()
