"""`LoadMeter`: measures the load of this node, for the figures it gossips."""

from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.membership.member import Load


class LoadMeter:
    """Requests per second since the last `read`, calls in flight, mean commit time, and how full the disk is."""

    def __init__(self, kernel: Kernel) -> None:
        self._step = kernel.step
        self._calls = kernel.calls
        #: The number of requests of other nodes that were carried out so far.
        self.served = 0
        self._read_at = kernel.step.now.monotonic_s
        self._requests_before = 0
        self.disk_used_percent = 0

    def read(self) -> Load:
        """Return the load of this node since the last call."""
        stats, now_s = self._step.stats, self._step.now.monotonic_s
        requests = self.served + sum(histogram.count for histogram in stats.requests.values())
        seconds = max(now_s - self._read_at, 1e-3)
        rate = round((requests - self._requests_before) / seconds)
        self._read_at, self._requests_before = now_s, requests
        commits = stats.commits
        commit_us = round(commits.sum_s / commits.count * 1e6) if commits.count else 0
        return Load(max(0, rate), len(self._calls), commit_us, self.disk_used_percent)
