"""`Window`: limits the requests in flight to one node; other requests wait in the client.

A burst that is sent at once waits in queues of the network and of the node until its answers are too late. A request
that waits in the client can go to another node if this one fails. The window follows the round trip of requests,
sampled once per round trip: it shrinks while that is longer than `TARGET_S` and when the node refuses a request, and
grows while the round trip is short and requests wait.

Waiting requests are sent in the order of arrival. At most `QUEUE_MAX` wait; further ones are refused.

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
#: The greatest intended round trip of a request under load, in seconds.
TARGET_S = 0.2
QUEUE_MAX = 200_000
#: The weight of one sample in the moving average of the round trip.
_WEIGHT = 0.3


class Waiter(Protocol):
    """A request that waits until the window has room."""

    @property
    def is_over(self) -> bool:
        """Whether the call of the request has ended."""
        ...

    def placed(self) -> None:
        """Send the request: the window has room."""
        ...

    def failed(self, error: CrdtkvError) -> None:
        """Handle the error: the request was not sent to this node."""
        ...


class Window:
    """The window of one link. The link sets `used`, the number of requests in flight."""

    __slots__ = ("_cut_at", "_tickets", "_timers", "limit", "round_trip_s", "used", "waiting")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        #: The number of requests in flight.
        self.used = 0
        #: Waiting requests by ticket, in the order of arrival, until their deadline.
        self.waiting: OrderedDict[int, tuple[Waiter, Timer]] = OrderedDict()
        self._tickets = 0
        self._cut_at = 0.0
        self.limit = FIRST
        #: The moving average of the round trip in seconds, 0 before the first sample.
        self.round_trip_s = 0.0

    @property
    def is_full(self) -> bool:
        """Whether a new request has to wait."""
        return self.used >= self.limit or bool(self.waiting)

    def wait(self, waiter: Waiter, until_s: float) -> None:
        """Queue a request until the window has room, at most until `until_s` (monotonic seconds).

        It fails with `Overloaded` if too many requests wait, or at `until_s`; then it was not sent.
        """
        if len(self.waiting) >= QUEUE_MAX:
            waiter.failed(
                Overloaded(f"{QUEUE_MAX} requests of this client already wait for this node: send fewer at once")
            )
            return
        self._tickets += 1
        ticket = self._tickets
        self.waiting[ticket] = waiter, self._timers.at(until_s, lambda: self._too_late(ticket))
        self.give()

    def give(self) -> None:
        """Send waiting requests while the window has room."""
        while self.waiting and self.used < int(self.limit):
            _, (waiter, timer) = self.waiting.popitem(last=False)
            self._timers.cancel(timer)
            if not waiter.is_over:
                waiter.placed()

    def fail(self, error: Callable[[], CrdtkvError]) -> None:
        """Fail all waiting requests, so that they are retried at other nodes."""
        waiting, self.waiting = self.waiting, OrderedDict()
        for waiter, timer in waiting.values():
            self._timers.cancel(timer)
            waiter.failed(error())

    def measured(self, seconds: float) -> None:
        """Add a sample of the round trip; call once per round trip."""
        self.round_trip_s += (_WEIGHT if self.round_trip_s else 1.0) * (seconds - self.round_trip_s)
        if seconds > TARGET_S:
            self.limit = max(SMALLEST, self.limit * 0.8)
        elif seconds < TARGET_S / 2 and self.waiting:
            self.limit = min(LARGEST, self.limit * 1.25)

    def refused(self, now_s: float) -> None:
        """Shrink the window after a refusal of the node, at most once per `TARGET_S`."""
        if now_s >= self._cut_at:
            self._cut_at = now_s + TARGET_S
            self.limit = max(SMALLEST, self.limit * 0.7)

    def _too_late(self, ticket: int) -> None:
        waiter, _ = self.waiting.pop(ticket)
        waiter.failed(Overloaded("the request waited in the client until its deadline, and was not sent"))
