"""Is the history of one register linearizable? The fast answer, for histories in which no value is written twice.

A history is linearizable if every call can be given one instant between its beginning and its end, so that in the order
of these instants every read returns the value of the last write before it. To find such instants is NP-complete in
general; if every read shows which write it saw, it takes a sort. So histories must have unique written values.

The idea: a write and the reads of its value form a cluster, and no other write may be inside it. One call precedes
another if it ended before the other began; calls that only touch are concurrent. So cluster A must precede cluster B
exactly if the first end in A is before the last beginning in B. Any cycle of this relation contains two clusters that
must precede each other, hence it is enough that no two do. Drawn on the time axis, from the first end to the last
beginning, a cluster is a *zone*: forward if the end is first (the register held the value during the zone), else
backward. Two clusters contradict each other exactly if two forward zones overlap by more than a point, or a backward
zone is strictly inside a forward one. One sweep from left to right finds either.

The paper: Gibbons and Korach, "Testing Shared Memories", SIAM Journal on Computing 26(4), 1997, where the read mapping
is known. Callers separate the history by key (linearizability is local), and leave out reads of unknown outcome.
`small_histories` answers the same by search; the tests compare the two.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import NamedTuple


class Access(NamedTuple):
    """One call on a register: `kind` is "read" or "write"; `value` is the value that was read or written.

    A read of None found the initial state. `began` and `ended` are seconds; `ended` is `math.inf` for a write of
    unknown outcome, which may have taken effect at any time after it began, or never.
    """

    kind: str
    value: Hashable
    began: float
    ended: float

    def __str__(self) -> str:
        if self == _INITIAL:
            return "the initial state"
        return f"the {self.kind} of {self.value!r} ({self.began} to {self.ended})"


_INITIAL = Access("write", None, -math.inf, -math.inf)


class _Zone(NamedTuple):
    """The bounds of a cluster: its call that ended first, and its call that began last."""

    first_to_end: Access
    last_to_begin: Access

    @property
    def is_forward(self) -> bool:
        return self.first_to_end.ended < self.last_to_begin.began

    @property
    def left(self) -> float:
        return min(self.first_to_end.ended, self.last_to_begin.began)

    def must_precede(self, other: "_Zone") -> bool:
        return self.first_to_end.ended < other.last_to_begin.began


def why_not_linearizable(accesses: Iterable[Access]) -> str | None:
    """Return in one sentence why the history is not linearizable; None if it is.

    Raises:
        ValueError: the history cannot be checked, because a value is written twice, None is written, or a call is
            malformed.
    """
    writes, reads = _by_value(accesses)
    for value, readers in reads.items():
        reason = _why_not_readable(writes.get(value), readers)
        if reason is not None:
            return reason
    # A write of unknown outcome that no call read may never have happened. Its zone has no end, so it is in no other.
    return _why_not_orderable(_zone([write, *reads.get(value, ())]) for value, write in writes.items())


def _by_value(accesses: Iterable[Access]) -> tuple[dict[Hashable, Access], dict[Hashable, list[Access]]]:
    writes: dict[Hashable, Access] = {None: _INITIAL}
    reads: defaultdict[Hashable, list[Access]] = defaultdict(list)
    for access in accesses:
        if access.kind not in {"read", "write"} or not -math.inf < access.began <= access.ended:
            raise ValueError(f"not a read or write that began before it ended: {access!r}")
        if access.kind == "read":
            reads[access.value].append(access)
        elif access.value in writes:
            raise ValueError(f"written values must be unique and not None: {access!r}")
        else:
            writes[access.value] = access
    return writes, dict(reads)


def _why_not_readable(write: Access | None, readers: list[Access]) -> str | None:
    if write is None:
        return f"{readers[0]} found a value that no call wrote"
    first = min(readers, key=_end)
    return f"{first} came before {write}" if first.ended < write.began else None


def _zone(cluster: list[Access]) -> _Zone:
    return _Zone(min(cluster, key=_end), max(cluster, key=_beginning))


def _why_not_orderable(zones: Iterable[_Zone]) -> str | None:
    """Sweep the zones from left to right.

    Earlier forward zones overlap in points at most, so only the latest one can reach further.
    """
    latest: _Zone | None = None
    for zone in sorted(zones, key=lambda zone: zone.left):
        if latest is not None and latest.must_precede(zone) and zone.must_precede(latest):
            return f"{_told(latest, zone)}, yet {_told(zone, latest)}"
        if zone.is_forward:
            latest = zone
    return None


def _told(earlier: _Zone, later: _Zone) -> str:
    return f"{earlier.first_to_end} came before {later.last_to_begin}"


def _beginning(access: Access) -> float:
    return access.began


def _end(access: Access) -> float:
    return access.ended
