"""`Hedging`: decides when a waiting read asks one more replica, and bounds the number of such reads.

A read waits for the time within which the fastest replicas answer 99 of 100 reads. After that its replica is probably
blocked, and another one answers sooner. The 99th percentile of the asked replica itself would be a bad guide when that
replica turns slow, or is asked only to measure whether it still is.

A second request does not help when the whole cluster is slow: it would add load. Every read earns a small part of a
hedge. Unused hedges are saved for the moment when a replica hangs with many reads in flight to it. A read that may not
hedge checks again after the same time.

Source: Dean and Barroso, "The Tail at Scale" (2013), section "Within Request Short-Term Adaptations".
"""

from collections.abc import Iterable

from crdtkv.node.quorum_calls.latencies import Latencies

#: Bounds of the time a read waits. It waits the longest while there are too few samples.
SHORTEST_S = 0.002
LONGEST_S = 0.05
#: The hedges that each read earns, and the most that are saved.
SHARE = 0.05
SAVED_MAX = 50.0


class Hedging:
    """The hedges of one node."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._saved = SAVED_MAX

    def earn(self) -> None:
        """Add the share of a read that could hedge."""
        self._saved = min(SAVED_MAX, self._saved + SHARE)

    def spend(self) -> bool:
        """Take one hedge; return False if none is saved."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

    def wait_s(self, others: Iterable[str], needed: int) -> float:
        """Return how long a read that needs `needed` of these nodes waits before it asks one more."""
        usual = [self._latencies.p99_s(name) for name in others]
        known = sorted(seconds for seconds in usual if seconds is not None)
        if len(known) < max(1, needed):
            return LONGEST_S
        return min(max(known[max(1, needed) - 1], SHORTEST_S), LONGEST_S)
