"""`Hedging`: when a read that waits asks one more replica, and how many reads may.

A read waits as long as 99 of 100 do, if the replicas it would ask first are the fastest: then it is probably stuck
behind something, and another replica answers sooner. When a replica turns slow, or is asked only to see whether it
still is, its own 99th percentile would be a bad guide.

A second request is no help when the whole cluster is slow: it would double the load that makes it so. Every read earns
a small part of a hedge, and what was not used is saved for the moment when a replica hangs with many reads in flight to
it. A read that may not hedge asks again after the same time.

Source: Dean and Barroso, "The Tail at Scale" (2013), section "Within Request Short-Term Adaptations".
"""

from collections.abc import Iterable

from crdtkv.node.quorum_calls.latencies import Latencies

#: Bounds of the time a read waits; the longest is also what it waits while there are too few samples.
SHORTEST_S = 0.002
LONGEST_S = 0.05
#: Hedges each read earns, and how many are saved at most.
SHARE = 0.05
SAVED_MAX = 50.0


class Hedging:
    """The hedges of one node."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._saved = SAVED_MAX

    def earn(self) -> None:
        """Take note of a read that could hedge."""
        self._saved = min(SAVED_MAX, self._saved + SHARE)

    def spend(self) -> bool:
        """Tell whether a read may hedge now; if so, it has."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

    def wait_s(self, others: Iterable[str], needed: int) -> float:
        """Return how long a read that needs that many of these other nodes waits before it asks one more."""
        usual = [self._latencies.p99_s(name) for name in others]
        known = sorted(seconds for seconds in usual if seconds is not None)
        if len(known) < max(1, needed):
            return LONGEST_S
        return min(max(known[max(1, needed) - 1], SHORTEST_S), LONGEST_S)
