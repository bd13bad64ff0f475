"""Requests in flight: the table, and the deadlines.

A call is a small object that is fed answers, failures of replicas and timers, and ends itself by leaving the table.
Deadlines are kept in ticks of 1 ms: under load many calls share one, and setting one costs an append. A call that has
ended meanwhile is simply not found when its tick comes, and nobody is woken for a tick whose calls have all ended.
"""

import heapq
from typing import Protocol

from crdtkv.wire.messages import Message
from crdtkv.wire.outgoing import CONGESTED

TICK_S = 0.001

#: Refusals that pass, because a node is about to follow a ring epoch or to enter itself, or a link has much to send;
#: and when to ask again.
TRANSIENT_REFUSALS = frozenset(("wrong_epoch", "quarantined", CONGESTED))
AGAIN_S = 0.05
#: The refusal of a part of an entry by a replica that has not seen what it builds on.
BEHIND = "behind"


class Call(Protocol):
    """One request in flight. `storage_key` is the storage key whose entry it carries, None if it carries none."""

    storage_key: bytes | None = None

    def answered(self, replica: str, message: Message) -> None:
        """Take a replica's answer."""
        ...

    def lost(self, replica: str) -> None:
        """Learn that a replica refused, or that its link broke."""
        ...

    def refused(self, replica: str, code: str) -> None:
        """Learn that a replica did nothing, for a reason; as good as lost, unless asking again can help."""
        self.lost(replica)

    def timer(self, purpose: str) -> None:
        """Learn that a time set with `CallTable.set_timer` has come."""
        ...


class CallTable:
    """All calls of a node by number, and their timers.

    Numbers begin at `first`, a random number: a late answer from before a restart must not meet a new call.
    """

    def __init__(self, first: int = 0) -> None:
        self._calls: dict[int, Call] = {}
        self._last = first
        self._ticks: list[int] = []
        self._timers: dict[int, list[tuple[int, str]]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> int:
        """Enter a call and return its number."""
        self._last += 1
        self._calls[self._last] = call
        return self._last

    def get(self, number: int) -> Call | None:
        """Return a call that has not ended."""
        return self._calls.get(number)

    def storage_keys(self) -> frozenset[bytes]:
        """Return the storage keys whose entries are carried by any call."""
        return frozenset(call.storage_key for call in self._calls.values() if call.storage_key is not None)

    def end(self, number: int) -> None:
        """Remove a call."""
        self._calls.pop(number, None)

    def replica_lost(self, replica: str) -> None:
        """Tell all calls, in the order they began; not those that end because of it meanwhile."""
        for number, call in list(self._calls.items()):
            if number in self._calls:
                call.lost(replica)

    def set_timer(self, number: int, at_s: float, purpose: str) -> None:
        """Wake a call at a monotonic time, rounded up to the next tick."""
        tick = int(at_s / TICK_S) + 1
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
        """Wake the calls whose time has come."""
        while self._ticks and self._ticks[0] * TICK_S <= now_s:
            for number, purpose in self._timers.pop(heapq.heappop(self._ticks)):
                call = self._calls.get(number)
                if call is not None:
                    call.timer(purpose)
