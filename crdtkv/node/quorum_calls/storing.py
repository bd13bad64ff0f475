"""`StoreCall`: a request that waits until enough replicas have stored something.

A replica that is about to follow a new ring epoch, or to enroll, sends a transient refusal: it is asked again. One that
is lost, or does not answer before the deadline, is remembered by hints, if this node holds the entries itself.
"""

from abc import abstractmethod
from collections.abc import Callable

from crdtkv.errors import CrdtkvError, WriteTimeout
from crdtkv.node.kernel.calls import AGAIN_S, TRANSIENT_REFUSALS, Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.quorum.tally import Outcome, Tally

Then = Callable[[], None]
Failed = Callable[[CrdtkvError], None]


class StoreCall(Call):
    """One request in flight. `then` is called when enough nodes have stored the entries, `failed` if they cannot.

    This node counts at once, so all that `then` sends must wait until this node's own commit is durable.
    """

    _tally: Tally
    #: Whether the answers of further replicas matter after `then` was called.
    _may_be_answered = False

    def __init__(self, kernel: Kernel, then: Then, failed: Failed) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._then = then
        self._failed = failed
        self._is_settled = False
        self._number = 0
        self._waiting: set[str] = set()
        self._again: list[str] = []
        self._started_s = kernel.step.now.monotonic_s

    def begin(self, tally: Tally, deadline_s: float) -> None:
        """Enter the table of calls."""
        self._tally = tally
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, deadline_s, "deadline")

    @abstractmethod
    def send_to(self, replica: str) -> None:
        """Send the request to a replica, or send it again."""

    @abstractmethod
    def remember(self, replica: str) -> None:
        """Store hints for a replica that may lack the entries."""

    def stored(self, replica: str) -> None:
        """Count a replica that has stored the entries."""
        self._step.stats.replica_rpc("write", self._step.now.monotonic_s - self._started_s)
        self._waiting.discard(replica)
        self._tally.ok(replica)
        self.progress()

    def lost(self, replica: str) -> None:
        """Count a lost replica as failed, and store hints for it."""
        if replica in self._waiting:
            self._waiting.discard(replica)
            self.remember(replica)
            self._tally.fail(replica)
            self.progress()

    def refused(self, replica: str, code: str) -> None:
        """Ask again after a transient refusal; else give the replica up."""
        if code not in TRANSIENT_REFUSALS:
            self.lost(replica)
        elif replica in self._waiting:
            if not self._again:
                self._calls.set_timer(self._number, self._step.now.monotonic_s + AGAIN_S, "again")
            self._again.append(replica)

    def timer(self, purpose: str) -> None:
        """Send again after a refusal, or fail at the deadline, with hints for the replicas that have not answered."""
        if purpose == "again":
            again, self._again = self._again, []
            for replica in again:
                if replica in self._waiting:
                    self.send_to(replica)
            return
        for replica in sorted(self._waiting):
            self.remember(replica)
        self._settle_as_failed()
        self._calls.end(self._number)

    def progress(self) -> None:
        """Settle if the outcome is known, and end if no further answer matters."""
        outcome = self._tally.outcome
        if outcome is Outcome.REACHED and not self._is_settled:
            self._is_settled = True
            self._then()
        elif outcome is Outcome.IMPOSSIBLE:
            self._settle_as_failed()
        if not self._waiting or (self._is_settled and not self._may_be_answered):
            self._calls.end(self._number)

    def _settle_as_failed(self) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._failed(WriteTimeout(self._tally.received, self._tally.required))
