"""`Latencies`: how fast each other node of the data center has answered lately, as this node sees it.

Per node two figures. *Usual* is a moving mean in which one sample counts for at most four times what was usual, so that
a single late answer (a pause of its process, a lost packet) does not make a node look slow, and several in a row do.
The *99th percentile* is that of the last 256 samples, found anew after every 32.

What is never answered is the slowest answer of all, and would be missed if only answers were samples: a request that
was given up counts as if it had been answered then. If that was sooner than usual it says nothing, and does not count.
"""

from collections.abc import Collection

SAMPLES = 256
#: The 99th percentile is known from this many samples on, and found anew after so many more.
SAMPLES_MIN = 20
SORT_EVERY = 32
#: The weight of one sample in what is usual, and how many times that it may be.
WEIGHT = 1 / 16
OUTLIER = 4.0


class Latencies:
    """Latencies of all nodes that were asked; a node that was not asked yet has none."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Answers] = {}

    def answered(self, node: str, seconds: float) -> None:
        """Take the time of an answer."""
        answers = self._nodes.get(node)
        if answers is None:
            answers = self._nodes[node] = _Answers()
        answers.add(seconds)

    def unanswered(self, node: str, seconds: float) -> None:
        """Take the time after which nobody waits for a node's answer any more."""
        usual_s = self.usual_s(node)
        if usual_s is None or seconds > usual_s:
            self.answered(node, seconds)

    def usual_s(self, node: str) -> float | None:
        """Return how long a node usually takes, None if it has never been asked."""
        answers = self._nodes.get(node)
        return None if answers is None else answers.usual_s

    def p99_s(self, node: str) -> float | None:
        """Return what 99 of 100 answers of a node do not exceed, None while there are too few to tell."""
        answers = self._nodes.get(node)
        return None if answers is None else answers.p99_s

    def keep(self, nodes: Collection[str]) -> None:
        """Forget all nodes but these."""
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
