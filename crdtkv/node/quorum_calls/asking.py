"""`AskingCall`: a read that asks as many replicas as its level requires, and others if those are lost or slow.

`replica_selector` decides which replicas are asked first, `hedging` when to ask one more. The time that each replica
took, or was waited for in vain, goes to `latencies`.
"""

from abc import abstractmethod
from collections.abc import Collection
from typing import Generic, TypeVar

from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.quorum_calls.hedging import SHORTEST_S, Hedging
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.quorum.read_call import ReadQuorum

#: The latency of a request that was refused, or lost with its link, unless it took longer.
LOST_S = 0.05

Quorum = TypeVar("Quorum", bound=ReadQuorum)


class AskingCall(Call, Generic[Quorum]):
    """One read in flight: its replicas, and its timers."""

    _read: Quorum
    _replicas: Collection[str]

    def __init__(self, kernel: Kernel, selector: ReplicaSelector, hedging: Hedging) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._selector = selector
        self._hedging = hedging
        self._number = 0
        self._asked_at: dict[str, float] = {}

    def begin(self, replicas: Collection[str], read: Quorum, deadline_s: float) -> None:
        """Ask the first replicas; the call must be in the table."""
        self._replicas, self._read = replicas, read
        self._calls.set_timer(self._number, deadline_s, "deadline")
        if read.has_spares:
            self._hedging.earn()
            self._waits_since = self._step.now.monotonic_s
            # Most reads have ended by then. Only for the others the time to wait is computed.
            self._calls.set_timer(self._number, self._waits_since + SHORTEST_S, "hedge")
        for name in read.to_ask:
            self.ask(name)

    @property
    def is_asking(self) -> bool:
        """Whether the read needs an answer; not while it writes its result back."""
        return True

    @abstractmethod
    def ask(self, replica: str) -> None:
        """Send the request to a replica."""

    @abstractmethod
    def go_on(self, spare: str | None) -> None:
        """Continue after the loss of a replica, with `spare` in its place if there is one."""

    @abstractmethod
    def too_late(self) -> None:
        """Handle that the deadline has passed."""

    def lost(self, replica: str) -> None:
        """Ask a spare replica instead of a lost one."""
        asked_at = self._asked_at.pop(replica, None)
        if asked_at is not None:
            self._selector.latencies.unanswered(replica, max(LOST_S, self._step.now.monotonic_s - asked_at))
        spare = self._read.fail(replica)
        if self.is_asking:
            self.go_on(spare)

    def timer(self, purpose: str) -> None:
        """Fail at the deadline, or hedge."""
        if purpose == "deadline":
            self.too_late()
        elif self.is_asking and self._read.has_spares:
            self._hedge()

    def note_answer(self, replica: str) -> None:
        """Measure the time of an answer."""
        asked_at = self._asked_at.pop(replica, None)
        if asked_at is not None:
            seconds = self._step.now.monotonic_s - asked_at
            self._step.stats.replica_rpc("read", seconds)
            self._selector.latencies.answered(replica, seconds)

    def wait_no_more(self) -> None:
        """Measure the time of the replicas that have not answered, and that the read needs no more."""
        now_s = self._step.now.monotonic_s
        for replica, asked_at in self._asked_at.items():
            self._selector.latencies.unanswered(replica, now_s - asked_at)
        self._asked_at.clear()

    def _hedge(self) -> None:
        """Ask one more replica, if the read has waited long enough and a hedge is left; set the next timer."""
        step, now_s, me = self._step, self._step.now.monotonic_s, self._cluster.node
        others = [name for name in self._replicas if name != me]
        wait_s = self._hedging.wait_s(others, self._read.required - (me in self._replicas))
        if now_s >= self._waits_since + wait_s:
            self._waits_since = now_s
            if self._hedging.spend():
                step.stats.count("hedged_reads")
                self.ask(self._read.hedge())
            else:
                step.stats.count("hedges_withheld")
        if self._read.has_spares:
            self._calls.set_timer(self._number, self._waits_since + wait_s, "hedge")
