"""`WaitingPolls`: polls of watchers that have nothing to tell yet, by what they wait for.

Every write of the node asks who waits for it, so that must not depend on how many wait: polls are found by the prefixes
they name, and a key is compared with as many prefixes as there are different lengths of them. A poll leaves when it
is answered, or when its client has gone; its deadline is then passed over.

How many may wait, and how many of one client, is bounded (`has_room_for`): a client has its own share, and what it does
not use stays free for others.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from crdtkv.node.kernel.events import Peer

MAX_WAITING = 10_000
MAX_WAITING_OF_ONE = 512
#: Prefixes of all polls, which is what they take in memory.
MAX_PREFIX_BYTES = 64 * 1024 * 1024
#: Deadlines of polls that were answered are swept when they are more than those that wait, and this many.
_SWEEP_FROM = 1_024


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
        self._of_peer: dict[Peer, dict[int, None]] = {}
        self._prefix_bytes = 0
        self._deadlines: list[tuple[float, int]] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._polls)

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of all polls, in the order they came."""
        return iter(list(self._polls))

    def has_room_for(self, poll: Poll) -> bool:
        """Whether a poll may wait as well."""
        return (
            len(self._polls) < MAX_WAITING
            and len(self._of_peer.get(poll.peer, ())) < MAX_WAITING_OF_ONE
            and self._prefix_bytes + _prefix_bytes(poll) <= MAX_PREFIX_BYTES
        )

    def add(self, poll: Poll) -> None:
        """Let a poll wait."""
        self._last += 1
        self._polls[self._last] = poll
        self._of_peer.setdefault(poll.peer, {})[self._last] = None
        self._prefix_bytes += _prefix_bytes(poll)
        if len(self._deadlines) > 2 * len(self._polls) + _SWEEP_FROM:
            self._deadlines = [item for item in self._deadlines if item[1] in self._polls]
            heapq.heapify(self._deadlines)
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
        self._prefix_bytes -= _prefix_bytes(poll)
        of_peer = self._of_peer[poll.peer]
        del of_peer[number]
        if not of_peer:
            del self._of_peer[poll.peer]
        for prefix in poll.prefixes:
            named = self._by_prefix[prefix]
            del named[number]
            if not named:
                del self._by_prefix[prefix]
                self._lengths[len(prefix)] -= 1
                if not self._lengths[len(prefix)]:
                    del self._lengths[len(prefix)]
        return poll

    def drop_all_of(self, peer: Peer) -> None:
        """Forget the polls of a client that has gone."""
        for number in list(self._of_peer.get(peer, ())):
            self.take(number)

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


def _prefix_bytes(poll: Poll) -> int:
    return sum(map(len, poll.prefixes))
