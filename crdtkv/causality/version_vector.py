"""Version vectors: for every actor, how many of its operations are known, without gaps.

The order is the product order: one vector `descends` another when it knows at least as much of every actor;
two of which neither descends are `concurrent`. Gaps are the causal context's matter.
"""

from collections.abc import Iterator, Mapping

from crdtkv.ids import Actor


class VersionVector:
    """An immutable map from actor to the highest counter below which all is known."""

    __slots__ = ("_counters",)

    def __init__(self, counters: Mapping[Actor, int] | None = None) -> None:
        self._counters: dict[Actor, int] = {a: n for a, n in counters.items() if n > 0} if counters else {}

    @classmethod
    def adopt(cls, counters: dict[Actor, int]) -> "VersionVector":
        """Wrap a dictionary that holds only positive counters, and that nobody else will change."""
        vector = VersionVector.__new__(VersionVector)
        vector._counters = counters
        return vector

    def __getitem__(self, actor: Actor) -> int:
        return self._counters.get(actor, 0)

    def __iter__(self) -> Iterator[Actor]:
        return iter(sorted(self._counters))

    def __len__(self) -> int:
        return len(self._counters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionVector) and self._counters == other._counters

    def __hash__(self) -> int:
        return hash(frozenset(self._counters.items()))

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{a}:{n}" for a, n in self.items()) + "}"

    def items(self) -> list[tuple[Actor, int]]:
        """Return the pairs of actor and counter, sorted by actor."""
        return sorted(self._counters.items())

    def descends(self, other: "VersionVector") -> bool:
        """Tell whether everything `other` knows is known here (equality included)."""
        mine = self._counters
        # Half the time of all(), on the path of every write.
        for actor, counter in other._counters.items():  # noqa: SIM110
            if mine.get(actor, 0) < counter:
                return False
        return True

    def dominates(self, other: "VersionVector") -> bool:
        """Tell whether this vector descends `other` and knows more."""
        return self._counters != other._counters and self.descends(other)

    def concurrent(self, other: "VersionVector") -> bool:
        """Tell whether each knows something the other does not."""
        return not self.descends(other) and not other.descends(self)

    def merge(self, other: "VersionVector") -> "VersionVector":
        """Return the least vector that descends both."""
        merged = dict(self._counters)
        for actor, counter in other._counters.items():
            if counter > merged.get(actor, 0):
                merged[actor] = counter
        return VersionVector.adopt(merged)

    def with_counter(self, actor: Actor, counter: int) -> "VersionVector":
        """Return a copy in which `actor` stands at `counter`."""
        changed = dict(self._counters)
        changed[actor] = counter
        return VersionVector.adopt(changed)
