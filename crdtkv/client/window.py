"""`Window`: how many requests this client keeps in flight to one node; the others wait here.

A burst that is sent at once waits in queues that nobody sees, on the way and in the node, until its answers are too
late. Waiting here costs nothing, and what waits here can go to another node when this one fails. The window follows the
time that requests take, measured once a round trip: it shrinks while they take longer than `TARGET_S`, or when the
node refuses one, and grows while there is more to send.

Places are given in the order they were asked for. What waits is bounded: past `QUEUE_MAX` a request is refused.

Source: Brakmo and Peterson, "TCP Vegas" (1995): a window that follows delay, before anything is lost.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from crdtkv.errors import CrdtkvError, Overloaded

FIRST = 512.0
SMALLEST = 16.0
LARGEST = 4096.0
#: How long a request should take at most when there are many.
TARGET_S = 0.2
QUEUE_MAX = 200_000
#: The weight of one sample in the usual round trip.
_WEIGHT = 0.3


class Window:
    """The places of one connection; `used` tells how many requests are in flight."""

    def __init__(self, used: Callable[[], int]) -> None:
        self._used = used
        self._reserved = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._cut_at = 0.0
        self.limit = FIRST
        #: The usual time from a request to its answer, 0 until there was one.
        self.round_trip_s = 0.0

    @property
    def is_full(self) -> bool:
        """Whether a request has to wait."""
        return bool(self._waiting) or self._used() + self._reserved >= self.limit

    async def place(self, timeout_s: float) -> None:
        """Wait for a place; the caller must send at once then, without waiting for anything else.

        Raises:
            Overloaded: too many wait, or none became free in time; nothing was sent.
            CrdtkvError: what `fail` was told.
        """
        if len(self._waiting) >= QUEUE_MAX:
            raise Overloaded(f"{QUEUE_MAX} requests of this client wait for a node already: send fewer at once")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self.give()
        try:
            async with asyncio.timeout(timeout_s):
                await place
        except TimeoutError:
            raise Overloaded("the request waited in the client until its deadline, and was not sent") from None
        finally:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._reserved -= 1

    def give(self) -> None:
        """Give free places to those who wait."""
        if not self._waiting:
            return
        free = int(self.limit) - self._used() - self._reserved
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                self._reserved += 1
                free -= 1
                place.set_result(None)

    def fail(self, error: Callable[[], CrdtkvError]) -> None:
        """Send those who wait elsewhere."""
        waiting, self._waiting = self._waiting, deque()
        for place in waiting:
            if not place.done():
                place.set_exception(error())

    def measured(self, seconds: float) -> None:
        """Take the time of one request; call once a round trip."""
        self.round_trip_s += (_WEIGHT if self.round_trip_s else 1.0) * (seconds - self.round_trip_s)
        if seconds > TARGET_S:
            self.limit = max(SMALLEST, self.limit * 0.8)
        elif seconds < TARGET_S / 2 and self._waiting:
            self.limit = min(LARGEST, self.limit * 1.25)

    def refused(self, now_s: float) -> None:
        """Learn that the node has refused a request; of many refusals at once only the first counts."""
        if now_s >= self._cut_at:
            self._cut_at = now_s + TARGET_S
            self.limit = max(SMALLEST, self.limit * 0.7)
