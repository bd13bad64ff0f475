"""`PartIndex`: in which part of a large state a dot stands, or once stood.

A remove names the dots that go and not the parts they stand in; without an index it had to look at every part. What
the index says stays true, so the states that are made from one another share one, and each adds what it knows.
It says where to look: whether a dot still stands there is the state's matter. Dots that went stay in it until there are
more of them than of those that stood when it was made; then it is made anew.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

from crdtkv.causality.dot import Dot

K = TypeVar("K")

#: So many dots may be added before an index is made anew, however small it began.
ROOM = 1_000


class PartIndex(Generic[K]):
    """Keys by dot; grows until it `is_stale`."""

    __slots__ = ("_first", "_more", "_room")

    def __init__(self, found: Iterable[tuple[Dot, K]]) -> None:
        self._first: dict[Dot, K] = {}
        #: The other keys of a dot that stands in several parts, as that of a map's delete may.
        self._more: dict[Dot, set[K]] = {}
        self.add(found)
        self._room = 2 * len(self._first) + ROOM

    @property
    def is_stale(self) -> bool:
        """Whether it should be made anew."""
        return len(self._first) > self._room

    def add(self, found: Iterable[tuple[Dot, K]]) -> None:
        """Note where dots stand."""
        first = self._first
        for dot, key in found:
            if first.setdefault(dot, key) != key:
                self._more.setdefault(dot, set()).add(key)

    def parts_of(self, dots: Iterable[Dot]) -> set[K]:
        """Return all keys of these dots."""
        keys: set[K] = set()
        for dot in dots:
            if dot in self._first:
                keys.add(self._first[dot])
                keys |= self._more.get(dot, set())
        return keys
