"""Virtual time: a queue of callbacks, whose order depends on the plan alone."""

import heapq
from collections.abc import Callable


class Scheduler:
    """Run callbacks at virtual times (seconds from 0). Callbacks of equal times run in the order of `after`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sequence = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call `act` after a delay."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + max(0.0, delay_s), self._sequence, act))

    def run_until(self, at_s: float) -> None:
        """Run all callbacks up to a time, which is then the present one."""
        queue = self._queue
        while queue and queue[0][0] <= at_s:
            self.now, _, act = heapq.heappop(queue)
            act()
        self.now = at_s
