"""`PartIndex`: maps dots to the parts of a large state that contain, or once contained, them.

A remove names dots, not the parts that contain them; without an index every part would have to be searched. An entry of
the index stays true, so states that are made from one another share one index, and each adds its new dots. The index
only says where to search: the state itself shows whether it still contains the dot. Removed dots stay in the index
until it has more than twice its initial size; then a new one is made.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

from crdtkv.causality.dot import Dot

K = TypeVar("K")

#: This many dots may always be added before a new index is made.
ROOM = 1_000


class PartIndex(Generic[K]):
    """Keys by dot; grows until it `is_stale`."""

    __slots__ = ("_first", "_more", "_room")

    def __init__(self, found: Iterable[tuple[Dot, K]]) -> None:
        self._first: dict[Dot, K] = {}
        #: The other keys of a dot that is in several parts, as that of a map's delete may be.
        self._more: dict[Dot, set[K]] = {}
        self.add(found)
        self._room = 2 * len(self._first) + ROOM

    @property
    def is_stale(self) -> bool:
        """Whether a new index should be made."""
        return len(self._first) > self._room

    def add(self, found: Iterable[tuple[Dot, K]]) -> None:
        """Add dots with their parts."""
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
