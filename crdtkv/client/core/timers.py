"""`Timers`: actions at given times. The host wakes the core at the time of the earliest one.

Timers of equal times run in the order in which they were set. A canceled timer stays in the heap until its time, or
until more than half of the heap is canceled; so `next_at` may be too early, but never too late.
"""

import heapq
import math
from collections.abc import Callable

_CANCELED_MIN = 64


class Timer:
    """One action; `act` is None after it was canceled or has run."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act


class Timers:
    """All timers of one client."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._canceled = 0
        #: The time to call `fire` (monotonic seconds): no timer is due earlier; infinity if there is none.
        self.next_at = math.inf

    def at(self, at_s: float, act: Callable[[], None]) -> Timer:
        """Set a timer for `at_s` (monotonic seconds)."""
        timer = Timer(act)
        self._count += 1
        heapq.heappush(self._heap, (at_s, self._count, timer))
        self.next_at = self._heap[0][0]
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Cancel a timer. None, and a timer that has run, are ignored."""
        if timer is None or timer.act is None:
            return
        timer.act = None
        self._canceled += 1
        if self._canceled > _CANCELED_MIN and self._canceled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].act is not None]
            heapq.heapify(self._heap)
            self._canceled = 0
            self._find_next()

    def fire(self, now: float) -> None:
        """Run the timers that are due, but not those that they set: these run in the next call."""
        due: list[Timer] = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for timer in due:
            act, timer.act = timer.act, None
            if act is not None:
                act()
            else:
                self._canceled -= 1
        self._find_next()

    def _find_next(self) -> None:
        """Remove canceled timers from the top of the heap, and set `next_at`."""
        heap = self._heap
        while heap and heap[0][2].act is None:
            heapq.heappop(heap)
            self._canceled -= 1
        self.next_at = heap[0][0] if heap else math.inf
