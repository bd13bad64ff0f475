"""`WaitingPolls`: polls of watchers that have nothing to tell yet, by what they wait for.

Every write of the node asks who waits for it, so that must not depend on how many wait: polls are found by the prefixes
they name, and a key is compared with as many prefixes as there are different lengths of them. A poll leaves when it
is answered; its deadline is then passed over.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from crdtkv.node.events import Peer


class Poll(NamedTuple):
    """One question of a watcher: about keys with these prefixes in these partitions (a mask)."""

    peer: Peer
    id: int
    prefixes: tuple[bytes, ...]
    mask: int
    limit: int
    deadline_s: float


class WaitingPolls:
    """The polls that wait, by number, and from which change on each of them looks."""

    def __init__(self) -> None:
        self._polls: dict[int, Poll] = {}
        self._by_prefix: dict[bytes, dict[int, Poll]] = {}
        self._lengths: dict[int, int] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._polls)

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of all polls, in the order they came."""
        return iter(list(self._polls))

    def add(self, poll: Poll) -> None:
        """Let a poll wait."""
        self._last += 1
        self._polls[self._last] = poll
        heapq.heappush(self._deadlines, (poll.deadline_s, self._last))
        for prefix in poll.prefixes:
            named = self._by_prefix.get(prefix)
            if named is None:
                named = self._by_prefix[prefix] = {}
                self._lengths[len(prefix)] = self._lengths.get(len(prefix), 0) + 1
            named[self._last] = poll

    def get(self, number: int) -> Poll:
        """Return a poll that waits."""
        return self._polls[number]

    def take(self, number: int) -> Poll:
        """Return a poll, which does not wait any longer."""
        poll = self._polls.pop(number)
        for prefix in poll.prefixes:
            named = self._by_prefix[prefix]
            del named[number]
            if not named:
                del self._by_prefix[prefix]
                self._lengths[len(prefix)] -= 1
                if not self._lengths[len(prefix)]:
                    del self._lengths[len(prefix)]
        return poll

    def for_key(self, identity: bytes, partition: int) -> list[int]:
        """Return the numbers of the polls that a change of this key is for; one may come twice."""
        found: list[int] = []
        for length in self._lengths:
            named = self._by_prefix.get(identity[:length])
            if named is not None:
                found += [number for number, poll in named.items() if poll.mask >> partition & 1]
        return found

    def overdue(self, now_s: float) -> list[int]:
        """Return the numbers of the polls whose time is over."""
        found: list[int] = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, number = heapq.heappop(self._deadlines)
            if number in self._polls:
                found.append(number)
        return found

    def next_timer(self) -> float | None:
        """Return when the first poll's time is over."""
        while self._deadlines and self._deadlines[0][1] not in self._polls:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None
