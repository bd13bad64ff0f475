"""The counters of a node: plain integers, no clock, no library. The admin server exports them as Prometheus metrics."""

from bisect import bisect_left

#: Upper bounds of latency buckets, seconds.
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Counts per bucket; `counts` has one more element than `BUCKETS_S`, for durations above the last bound."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a duration `times` times."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += times
        self.sum_s += seconds * times

    @property
    def count(self) -> int:
        """The number of counted durations."""
        return sum(self.counts)


class Stats:
    """A node's counters and histograms, by the labels they are exported with."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.requests: dict[tuple[str, str, str], Histogram] = {}
        self.replica_rpcs: dict[str, Histogram] = {}
        self.commits = Histogram()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a named counter."""
        self.counters[name] = self.counters.get(name, 0) + amount

    def request(self, kind: str, level: str, outcome: str, seconds: float, times: int = 1) -> None:
        """Count a client request, or several with the same duration."""
        key = (kind, level, outcome)
        histogram = self.requests.get(key)
        if histogram is None:
            histogram = self.requests[key] = Histogram()
        histogram.observe(seconds, times)

    def replica_rpc(self, kind: str, seconds: float) -> None:
        """Count one answered request to another replica."""
        histogram = self.replica_rpcs.get(kind)
        if histogram is None:
            histogram = self.replica_rpcs[kind] = Histogram()
        histogram.observe(seconds)
