"""Requests in flight: the table, and the deadlines.

A call is a small object. It receives answers, failures of replicas and timers, and ends by removing itself from the
table. Deadlines are stored in ticks of 1 ms: under load many calls share a tick, and setting a deadline is one append.
The table ignores the tick of a call that has ended, and schedules no step for a tick whose calls have all ended.
"""

import heapq
from collections.abc import Collection
from typing import Protocol

from crdtkv.wire.messages import Message
from crdtkv.wire.outgoing import CONGESTED

TICK_S = 0.001
#: The longest timeout of a request.
MAX_TIMEOUT_MS = 10 * 60 * 1000

#: Transient refusals: a node is about to follow a ring epoch or to enroll, or a link is congested. After `AGAIN_S` the
#: request is sent again.
TRANSIENT_REFUSALS = frozenset(("wrong_epoch", "quarantined", CONGESTED))
AGAIN_S = 0.05
#: The code of a replica that refuses a partial delta because it has not seen the basis of the delta.
BEHIND = "behind"


class Call(Protocol):
    """One request in flight."""

    @property
    def storage_keys(self) -> Collection[bytes]:
        """The storage keys whose entries the call carries."""
        return ()

    def answered(self, replica: str, message: Message) -> None:
        """Handle a replica's answer."""
        ...

    def lost(self, replica: str) -> None:
        """Handle that a replica refused, or that its link broke."""
        ...

    def refused(self, replica: str, code: str) -> None:
        """Handle that a replica refused with an error code. By default the replica counts as lost."""
        self.lost(replica)

    def timer(self, purpose: str) -> None:
        """Handle that a time set with `CallTable.set_timer` has come."""
        ...


class CallTable:
    """All calls of a node by number, and their timers.

    Numbers begin after `first`, a random number, so that a late answer from before a restart does not match a new call.
    """

    def __init__(self, first: int = 0) -> None:
        self._calls: dict[int, Call] = {}
        self._last = first
        #: The requests in flight that share a call with another one: each beyond the first of its call.
        self.batched = 0
        self._ticks: list[int] = []
        self._timers: dict[int, list[tuple[int, str]]] = {}
        #: The last tick that was fired. No timer is set at or before it, so `fire` always comes to an end.
        self._fired = 0

    def __len__(self) -> int:
        """Return the number of requests in flight."""
        return len(self._calls) + self.batched

    def add(self, call: Call) -> int:
        """Add a call and return its number."""
        self._last += 1
        self._calls[self._last] = call
        return self._last

    def get(self, number: int) -> Call | None:
        """Return a call, None if it has ended."""
        return self._calls.get(number)

    def storage_keys(self) -> frozenset[bytes]:
        """Return the storage keys whose entries are carried by any call."""
        return frozenset(storage_key for call in self._calls.values() for storage_key in call.storage_keys)

    def end(self, number: int) -> None:
        """Remove a call."""
        self._calls.pop(number, None)

    def replica_lost(self, replica: str) -> None:
        """Call `lost` of all calls, in the order they began; a call that ends because of an earlier one is skipped."""
        for number, call in list(self._calls.items()):
            if number in self._calls:
                call.lost(replica)

    def set_timer(self, number: int, at_s: float, purpose: str) -> None:
        """Schedule `timer` of a call at a monotonic time, rounded up to the next tick."""
        tick = max(int(at_s / TICK_S), self._fired) + 1
        waiting = self._timers.get(tick)
        if waiting is None:
            self._timers[tick] = [(number, purpose)]
            heapq.heappush(self._ticks, tick)
        else:
            waiting.append((number, purpose))

    def next_timer(self) -> float | None:
        """Return the monotonic time of the next tick, None if no call waits."""
        while self._ticks:
            waiting = self._timers[self._ticks[0]]
            while waiting and waiting[-1][0] not in self._calls:
                waiting.pop()
            if waiting:
                return self._ticks[0] * TICK_S
            del self._timers[heapq.heappop(self._ticks)]
        return None

    def fire(self, now_s: float) -> None:
        """Call `timer` of the calls whose time has come."""
        while self._ticks and self._ticks[0] * TICK_S <= now_s:
            self._fired = heapq.heappop(self._ticks)
            for number, purpose in self._timers.pop(self._fired):
                call = self._calls.get(number)
                if call is not None:
                    call.timer(purpose)
