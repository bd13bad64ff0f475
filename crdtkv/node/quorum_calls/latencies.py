"""`Latencies`: how fast each other node of the data center has answered lately, measured by this node.

There are two figures per node. The *usual* latency is a moving mean in which one sample counts for at most four times
the mean, so that a single late answer (a pause of its process, a lost packet) does not make a node look slow, but
several in a row do. The *99th percentile* is that of the last 256 samples, computed again after every 32.

A request without an answer would be missed if only answers were samples. So a request that was given up counts as if it
had been answered then, unless that was sooner than the usual latency: that would say nothing.
"""

from collections.abc import Collection

SAMPLES = 256
#: The number of samples for the first 99th percentile, and for each new one.
SAMPLES_MIN = 20
SORT_EVERY = 32
#: The weight of one sample in the usual latency, and the largest sample, as a multiple of the usual latency.
WEIGHT = 1 / 16
OUTLIER = 4.0


class Latencies:
    """The latencies of all nodes that were asked."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Answers] = {}

    def answered(self, node: str, seconds: float) -> None:
        """Add the time of an answer, in seconds."""
        answers = self._nodes.get(node)
        if answers is None:
            answers = self._nodes[node] = _Answers()
        answers.add(seconds)

    def unanswered(self, node: str, seconds: float) -> None:
        """Add the time after which this node stopped waiting for an answer, in seconds."""
        usual_s = self.usual_s(node)
        if usual_s is None or seconds > usual_s:
            self.answered(node, seconds)

    def usual_s(self, node: str) -> float | None:
        """Return the usual latency of a node, None if it was never asked."""
        answers = self._nodes.get(node)
        return None if answers is None else answers.usual_s

    def p99_s(self, node: str) -> float | None:
        """Return the 99th percentile of a node's latency, None while there are too few samples."""
        answers = self._nodes.get(node)
        return None if answers is None else answers.p99_s

    def keep(self, nodes: Collection[str]) -> None:
        """Drop all nodes but these."""
        for node in [node for node in self._nodes if node not in nodes]:
            del self._nodes[node]


class _Answers:
    """The answers of one node."""

    __slots__ = ("_next", "_samples", "_until_sorted", "p99_s", "usual_s")

    def __init__(self) -> None:
        self.usual_s: float | None = None
        self.p99_s: float | None = None
        self._samples: list[float] = []
        self._next = 0
        self._until_sorted = SAMPLES_MIN

    def add(self, seconds: float) -> None:
        if self.usual_s is None:
            self.usual_s = seconds
        else:
            self.usual_s += WEIGHT * (min(seconds, OUTLIER * self.usual_s) - self.usual_s)
        if len(self._samples) < SAMPLES:
            self._samples.append(seconds)
        else:
            self._samples[self._next] = seconds
            self._next = (self._next + 1) % SAMPLES
        self._until_sorted -= 1
        if not self._until_sorted:
            self._until_sorted = SORT_EVERY
            self.p99_s = sorted(self._samples)[len(self._samples) * 99 // 100]
