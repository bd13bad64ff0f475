"""`WaitingPolls`: polls of watchers that have no changes to answer with yet, indexed by prefix.

Every write of the node looks up the polls that wait for it, so the cost of a lookup must not depend on their number.
Polls are indexed by their prefixes, and a key is compared with one prefix per distinct prefix length. A poll leaves
when it is answered, or when its client disconnects; its deadline is skipped afterwards.

The number of polls is bounded, in total and per client (`has_room_for`). Each client has its own limit, and polls that
one client does not use stay available to others.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from crdtkv.node.kernel.events import Peer

MAX_WAITING = 10_000
MAX_WAITING_OF_ONE = 512
#: The total size of the prefixes of all polls, which dominates their memory.
MAX_PREFIX_BYTES = 64 * 1024 * 1024
#: Deadlines of answered polls are removed when they outnumber the waiting polls by this many.
_SWEEP_FROM = 1_024


class Poll(NamedTuple):
    """One request of a watcher: about keys with these prefixes in these partitions (a mask)."""

    peer: Peer
    id: int
    prefixes: tuple[bytes, ...]
    mask: int
    limit: int
    deadline_s: float


class WaitingPolls:
    """The waiting polls by number, indexed by prefix."""

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
        """Return whether a poll may be added."""
        return (
            len(self._polls) < MAX_WAITING
            and len(self._of_peer.get(poll.peer, ())) < MAX_WAITING_OF_ONE
            and self._prefix_bytes + _prefix_bytes(poll) <= MAX_PREFIX_BYTES
        )

    def add(self, poll: Poll) -> None:
        """Add a poll."""
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
        """Return a waiting poll."""
        return self._polls[number]

    def take(self, number: int) -> Poll:
        """Remove a poll and return it."""
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
        """Remove the polls of a client that has disconnected."""
        for number in list(self._of_peer.get(peer, ())):
            self.take(number)

    def for_key(self, identity: bytes, partition: int) -> list[int]:
        """Return the numbers of the polls that wait for a change of this key; a number may occur twice."""
        found: list[int] = []
        for length in self._lengths:
            named = self._by_prefix.get(identity[:length])
            if named is not None:
                found += [number for number, poll in named.items() if poll.mask >> partition & 1]
        return found

    def overdue(self, now_s: float) -> list[int]:
        """Return the numbers of the polls whose deadline has passed."""
        found: list[int] = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, number = heapq.heappop(self._deadlines)
            if number in self._polls:
                found.append(number)
        return found

    def next_timer(self) -> float | None:
        """Return the first deadline, None if no poll waits."""
        while self._deadlines and self._deadlines[0][1] not in self._polls:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None


def _prefix_bytes(poll: Poll) -> int:
    return sum(map(len, poll.prefixes))
