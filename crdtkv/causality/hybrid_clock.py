"""Hybrid logical clocks: timestamps that follow the wall clock and never contradict causality.

A timestamp is one integer: 48 bits of Unix milliseconds, then 16 bits of a logical counter. `tick` returns a value
above all earlier timestamps of this clock and above `above`; when the wall clock stands still or jumps back, the
logical part counts on (and carries into the milliseconds). Timestamps order only siblings for `.value`, blind puts, and
`lww` writes. Dots provide uniqueness, so two nodes may issue the same timestamp.

Source: Kulkarni et al., "Logical Physical Clocks" (2014).
"""

from typing import TypeAlias

HybridTimestamp: TypeAlias = int

LOGICAL_BITS = 16


def from_wall_ms(wall_ms: int) -> HybridTimestamp:
    """Return the lowest timestamp of a wall-clock millisecond."""
    return wall_ms << LOGICAL_BITS


def wall_ms_of(timestamp: HybridTimestamp) -> int:
    """Return the Unix milliseconds of a timestamp."""
    return timestamp >> LOGICAL_BITS


#: How far a clock follows timestamps from elsewhere ahead of its own wall clock, in milliseconds. A timestamp from a
#: client or another node must not move the time of this node noticeably.
FOLLOW_MS = 500


class HybridClock:
    """The clock of one node. The caller passes the wall time; the clock never reads it.

    A timestamp from elsewhere that is more than `FOLLOW_MS` ahead of the wall clock orders the events that must come
    after it, but does not advance the clock: one wrong clock must not advance all others. If it is more than
    `max_drift_ms` ahead, it is also counted in `ahead`: some clock is broken. The data that carried it is kept.
    """

    __slots__ = ("_follow_ms", "ahead", "last", "max_drift_ms")

    def __init__(self, max_drift_ms: int = 60_000, last: HybridTimestamp = 0) -> None:
        """Begin above `last`, a timestamp that this node may have issued."""
        self.last: HybridTimestamp = last
        self.max_drift_ms = max_drift_ms
        self._follow_ms = min(FOLLOW_MS, max_drift_ms)
        self.ahead = 0

    def tick(self, wall_ms: int, above: HybridTimestamp = 0) -> HybridTimestamp:
        """Return a new timestamp above all earlier ones, and above `above`.

        `above` is a timestamp that the new event must follow, such as that of a version it supersedes. One that is far
        ahead raises this one timestamp, without advancing the clock.
        """
        candidate = max(from_wall_ms(wall_ms), self.last + 1)
        if above >= candidate:
            candidate = above + 1
            if not self._is_followed(candidate, wall_ms):
                return candidate
        self.last = candidate
        return candidate

    def observe(self, timestamp: HybridTimestamp, wall_ms: int) -> None:
        """Advance past a timestamp issued elsewhere, unless it is ahead of the wall clock."""
        if timestamp > self.last and self._is_followed(timestamp, wall_ms):
            self.last = timestamp

    def pass_by(self, timestamp: HybridTimestamp) -> None:
        """Advance past a timestamp, whatever the wall clock shows."""
        self.last = max(self.last, timestamp)

    def is_ahead(self, timestamp: HybridTimestamp, wall_ms: int) -> bool:
        """Return whether a timestamp is so far ahead of the wall clock that some clock must be broken."""
        return timestamp > from_wall_ms(wall_ms + self.max_drift_ms)

    def _is_followed(self, timestamp: HybridTimestamp, wall_ms: int) -> bool:
        if timestamp <= (wall_ms + self._follow_ms) << LOGICAL_BITS:
            return True
        self.ahead += self.is_ahead(timestamp, wall_ms)
        return timestamp <= from_wall_ms(wall_ms + FOLLOW_MS)
