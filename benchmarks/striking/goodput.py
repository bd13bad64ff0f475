"""`Goodput`: operations that succeeded, by the second, around a strike."""

import statistics
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

#: The share of the rate before the strike that counts as "as before".
ENOUGH = 0.9


class Times(NamedTuple):
    """The moments of a run: the load is warm, the strike, the end of the fault, the end of the load."""

    began_at: float
    struck_at: float
    expires_at: float
    ended_at: float


class Goodput(NamedTuple):
    """`by_second` begins with the strike; `before` is the median of the whole seconds before it.

    `worst_during` and `worst_after` are the worst seconds while the fault lasted, and later. `again_s` is when,
    counted from the strike, the first second began that was as before, from the worst one during the fault on: 0 if
    none was worse, None if none was good again. `longest_silence_s` is the longest time without any success.
    """

    before: float
    by_second: list[int]
    worst_during: int
    worst_after: int
    again_s: int | None
    seconds_below: int
    longest_silence_s: float


def measure(succeeded_at: Iterable[float], times: Times) -> Goodput:
    """Sort the moments of successes into seconds."""
    struck_at = times.struck_at
    moments = sorted(succeeded_at)
    counts = Counter(int((moment - struck_at) // 1) for moment in moments)
    first = int((times.began_at - struck_at) // 1) + 1
    before = statistics.median([counts[second] for second in range(first, 0)])
    by_second = [counts[second] for second in range(int(times.ended_at - struck_at))]
    over = int(times.expires_at - struck_at)
    enough = ENOUGH * before
    points = [struck_at, *(moment for moment in moments if struck_at < moment < times.ended_at), times.ended_at]
    return Goodput(
        before=before,
        by_second=by_second,
        worst_during=min(by_second[:over]),
        worst_after=min(by_second[over:]),
        again_s=_again(by_second, by_second.index(min(by_second[:over])), enough),
        seconds_below=sum(count < enough for count in by_second),
        longest_silence_s=round(max(later - earlier for earlier, later in pairwise(points)), 3),
    )


def _again(by_second: list[int], worst: int, enough: float) -> int | None:
    if by_second[worst] >= enough:
        return 0
    return next((second for second in range(worst, len(by_second)) if by_second[second] >= enough), None)
