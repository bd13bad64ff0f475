"""Which record comes next: the distributions of YCSB, the Yahoo! Cloud Serving Benchmark.

Records are numbered from 0 in the order of their insertion. `Zipfian` draws ranks, of which few come very often; the
two choices built on it say which records these ranks are. `ScrambledZipfian` scatters them over all records, so that
the frequent ones have nothing to do with each other. `Latest` counts them backwards from the newest record.

Zipfian ranks are drawn with the method of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD
1994), as YCSB does: exact for the first two ranks. The ranks behind these are approximate, a single one near them by up
to a sixth, groups of them within a few percent.
"""

from random import Random
from typing import Protocol

#: YCSB's zipfian constant, the exponent of the distribution.
THETA = 0.99
#: YCSB scatters the ranks of this many items, whatever the number of records, and has the sum of their weights ready.
SCATTERED_ITEMS = 10_000_000_000
SCATTERED_WEIGHT = 26.46902820178302

_FNV_OFFSET, _FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


class Choice(Protocol):
    """How records are chosen."""

    def record(self, random: Random, count: int) -> int:
        """Return the number of a record, of `count` that are there now."""
        ...


class Uniform:
    """Every record is as likely as every other one."""

    def record(self, random: Random, count: int) -> int:
        """Return the number of a record, of `count` that are there now."""
        return int(random.random() * count)


class Zipfian:
    """Ranks from 0: rank r has the weight (r + 1) ** -THETA. The number of ranks may grow."""

    def __init__(self, count: int, weight: float | None = None) -> None:
        """Prepare; `weight` is the sum of the weights of `count` ranks, if it is known."""
        self._count = 0
        self._weight = 0.0
        self._eta = 0.0
        if weight is None:
            self.grow(count)
        else:
            self._set(count, weight)

    def grow(self, count: int) -> None:
        """Have at least so many ranks."""
        if count > self._count:
            added = sum((rank + 1) ** -THETA for rank in range(self._count, count))
            self._set(count, self._weight + added)

    def rank(self, random: Random) -> int:
        """Return a rank."""
        drawn = random.random()
        reached = drawn * self._weight
        if reached < 1:
            return 0
        if reached < _FIRST_TWO:
            return 1
        return min(self._count - 1, int(self._count * (self._eta * drawn - self._eta + 1) ** (1 / (1 - THETA))))

    def _set(self, count: int, weight: float) -> None:
        self._count, self._weight = count, weight
        if count > 2:
            self._eta = (1 - (2 / count) ** (1 - THETA)) / (1 - _FIRST_TWO / weight)


class ScrambledZipfian:
    """Zipfian ranks, scattered over the records that were there at the beginning.

    Inserted records are never chosen: the frequent records stay the same ones however many are inserted.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._ranks = Zipfian(SCATTERED_ITEMS, SCATTERED_WEIGHT)

    def record(self, random: Random, count: int) -> int:
        """Return the number of a record, of `count` that are there now."""
        return scattered(self._ranks.rank(random)) % self._count


class Latest:
    """The newer a record, the likelier it is: its age is a zipfian rank."""

    def __init__(self, count: int) -> None:
        self._ages = Zipfian(count)

    def record(self, random: Random, count: int) -> int:
        """Return the number of a record, of `count` that are there now."""
        self._ages.grow(count)
        return count - 1 - self._ages.rank(random)


def scattered(number: int) -> int:
    """Return the 64-bit FNV-1a hash of a number's eight bytes, its sign bit folded, as YCSB's `fnvhash64`."""
    hashed = _FNV_OFFSET
    for _ in range(8):
        hashed = (hashed ^ (number & 0xFF)) * _FNV_PRIME & _MASK
        number >>= 8
    return hashed if hashed < 1 << 63 else (1 << 64) - hashed


_FIRST_TWO = 1 + 0.5**THETA
