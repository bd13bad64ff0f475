"""`Window`: how many requests this client keeps in flight to one node; the others wait here.

A burst that is sent at once waits in queues that nobody sees, on the way and in the node, until its answers are too
late. Waiting here costs nothing, and what waits here can go to another node when this one fails. The window follows the
time that requests take, measured once a round trip: it shrinks while they take longer than `TARGET_S`, or when the
node refuses one, and grows while there is more to send.

Places are given in the order they were asked for. What waits is bounded: past `QUEUE_MAX` a request is refused.

Source: Brakmo and Peterson, "TCP Vegas" (1995): a window that follows delay, before anything is lost.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from crdtkv.client.core.timers import Timer, Timers
from crdtkv.errors import CrdtkvError, Overloaded

FIRST = 512.0
SMALLEST = 16.0
LARGEST = 4096.0
#: How long a request should take at most when there are many.
TARGET_S = 0.2
QUEUE_MAX = 200_000
#: The weight of one sample in the usual round trip.
_WEIGHT = 0.3


class Waiter(Protocol):
    """A request that waits for a place."""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the request any more."""
        ...

    def placed(self) -> None:
        """Send now: there is a place."""
        ...

    def failed(self, error: CrdtkvError) -> None:
        """Learn that there will be no place here."""
        ...


class Window:
    """The places of one link; the link counts those that are `used`."""

    __slots__ = ("_cut_at", "_tickets", "_timers", "limit", "round_trip_s", "used", "waiting")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        #: How many requests are in flight.
        self.used = 0
        #: By ticket, in the order they came; a waiter whose deadline has passed is not in it any more.
        self.waiting: OrderedDict[int, tuple[Waiter, Timer]] = OrderedDict()
        self._tickets = 0
        self._cut_at = 0.0
        self.limit = FIRST
        #: The usual time from a request to its answer, 0 until there was one.
        self.round_trip_s = 0.0

    @property
    def is_full(self) -> bool:
        """Whether a request has to wait."""
        return self.used >= self.limit or bool(self.waiting)

    def wait(self, waiter: Waiter, until_s: float) -> None:
        """Let a request wait for a place, until its deadline at most.

        It fails with `Overloaded` if too many wait, or none becomes free in time; nothing was sent then.
        """
        if len(self.waiting) >= QUEUE_MAX:
            waiter.failed(
                Overloaded(f"{QUEUE_MAX} requests of this client wait for a node already: send fewer at once")
            )
            return
        self._tickets += 1
        ticket = self._tickets
        self.waiting[ticket] = waiter, self._timers.at(until_s, lambda: self._too_late(ticket))
        self.give()

    def give(self) -> None:
        """Give free places to those who wait."""
        while self.waiting and self.used < int(self.limit):
            _, (waiter, timer) = self.waiting.popitem(last=False)
            self._timers.cancel(timer)
            if not waiter.is_over:
                waiter.placed()

    def fail(self, error: Callable[[], CrdtkvError]) -> None:
        """Send those who wait elsewhere."""
        waiting, self.waiting = self.waiting, OrderedDict()
        for waiter, timer in waiting.values():
            self._timers.cancel(timer)
            waiter.failed(error())

    def measured(self, seconds: float) -> None:
        """Take the time of one request; call once a round trip."""
        self.round_trip_s += (_WEIGHT if self.round_trip_s else 1.0) * (seconds - self.round_trip_s)
        if seconds > TARGET_S:
            self.limit = max(SMALLEST, self.limit * 0.8)
        elif seconds < TARGET_S / 2 and self.waiting:
            self.limit = min(LARGEST, self.limit * 1.25)

    def refused(self, now_s: float) -> None:
        """Learn that the node has refused a request; of many refusals at once only the first counts."""
        if now_s >= self._cut_at:
            self._cut_at = now_s + TARGET_S
            self.limit = max(SMALLEST, self.limit * 0.7)

    def _too_late(self, ticket: int) -> None:
        waiter, _ = self.waiting.pop(ticket)
        waiter.failed(Overloaded("the request waited in the client until its deadline, and was not sent"))
