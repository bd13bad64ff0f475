"""Hybrid logical clocks: timestamps that follow the wall clock and never contradict causality.

A timestamp is one integer: 48 bits of Unix milliseconds, then 16 bits of a logical counter. `tick` returns a value
above everything this clock issued or observed; when the wall clock stands still or jumps back, the logical part
counts on (and carries into the milliseconds). Timestamps order only what asks for it: `.value` among siblings, blind
puts, and `lww`. Uniqueness is the dots' matter, so two nodes may issue the same timestamp.

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


#: How far a clock follows stamps from elsewhere ahead of its own wall clock, in milliseconds. What a client carries, or
#: another node's clock shows, must not move the time of this one noticeably.
FOLLOW_MS = 500


class HybridClock:
    """The clock of one node. Wall time is handed in; this never reads it.

    A stamp from elsewhere that lies more than `FOLLOW_MS` ahead of the wall clock orders the events that must come
    behind it, and does not advance the clock: nobody must drag all others along. One more than `max_drift_ms` ahead is
    counted in `ahead` besides: some clock is broken. The data that carried it is kept.
    """

    __slots__ = ("ahead", "last", "max_drift_ms")

    def __init__(self, max_drift_ms: int = 60_000, last: HybridTimestamp = 0) -> None:
        """Begin above `last`, which this node is known to have passed."""
        self.last: HybridTimestamp = last
        self.max_drift_ms = max_drift_ms
        self.ahead = 0

    def tick(self, wall_ms: int, above: HybridTimestamp = 0) -> HybridTimestamp:
        """Return a new timestamp above all earlier ones, and above `above`.

        `above` is what the new event must be ordered behind, such as the versions it supersedes. One that is far
        ahead is respected for this one timestamp, without advancing the clock.
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
        """Tell whether a timestamp is so far ahead of the wall clock that some clock must be broken."""
        return timestamp > from_wall_ms(wall_ms + self.max_drift_ms)

    def _is_followed(self, timestamp: HybridTimestamp, wall_ms: int) -> bool:
        self.ahead += self.is_ahead(timestamp, wall_ms)
        return timestamp <= from_wall_ms(wall_ms + FOLLOW_MS)
