"""`ChangeLog`: the keys that changed on this node lately, in the order of their last change.

A later change of a key replaces the earlier one: a reader of the log then reads the store, which has the newest entry
only. So a key that is written continuously takes the room of one. The log keeps `KEYS_MAX` keys; when one more changes,
the key whose last change is oldest is dropped, and `floor` rises to its number. A reader whose position is below
`floor` must rescan, because it may have missed a key.

Numbers count from 0 in every process, so `identity`, drawn when the first watcher arrives, distinguishes logs. Until
then the log records nothing.
"""

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter

KEYS_MAX = 50_000
#: The log is compacted when replaced numbers outnumber the others by this many.
SLACK = 1_000

_NUMBER = itemgetter(0)


class ChangeLog:
    """The numbers of changes by storage key. `head` is the last number, `floor` the highest that was dropped."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self.keys_max = keys_max
        self._latest: dict[bytes, int] = {}
        #: Ascending; a pair that is not in `_latest` was replaced. Pairs before `_first` are dropped.
        self._order: list[tuple[int, bytes]] = []
        self._first = 0
        self.identity: int | None = None
        self.head = 0
        self.floor = 0

    def __len__(self) -> int:
        return len(self._latest)

    def begin(self, identity: int) -> None:
        """Record changes from now on."""
        self.identity = identity

    def note(self, storage_key: bytes) -> None:
        """Record that the entry under a storage key has changed."""
        if self.identity is None:
            return
        self.head += 1
        self._latest[storage_key] = self.head
        self._order.append((self.head, storage_key))
        if len(self._latest) > self.keys_max:
            self._forget_oldest()
        if len(self._order) > 2 * len(self._latest) + SLACK:
            self._order = [pair for pair in self._order[self._first :] if self._is_latest(pair)]
            self._first = 0

    def behind(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield `(number, storage key)` of the changes after `number`, each key once, in the order of numbers."""
        order = self._order
        for index in range(bisect_right(order, number, lo=self._first, key=_NUMBER), len(order)):
            if self._is_latest(order[index]):
                yield order[index]

    def _is_latest(self, pair: tuple[int, bytes]) -> bool:
        return self._latest.get(pair[1]) == pair[0]

    def _forget_oldest(self) -> None:
        while not self._is_latest(self._order[self._first]):
            self._first += 1
        self.floor, storage_key = self._order[self._first]
        self._first += 1
        del self._latest[storage_key]
