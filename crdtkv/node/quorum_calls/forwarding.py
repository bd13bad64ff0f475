"""`ForwardCall`: a request for a key of which this node is no replica, forwarded to a node that is.

The answer is passed on without decoding. If the replica is lost, a read goes to the next one; a write does not, because
the first may have carried it out. The time of a read that one replica answers alone counts in `latencies`; other reads
take longer than the answer of one replica.
"""

from collections.abc import Sequence

from crdtkv.errors import CrdtkvError, ReadTimeout, Unavailable, WriteTimeout
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.quorum_calls.latencies import Latencies
from crdtkv.node.replica.operations import Operations
from crdtkv.wire.messages import ErrorReply, GetRequest, Message, MutateRequest, ScanRequest

#: No clock shows more: a wrong clock of a node must not produce a request that cannot be encoded.
MAX_CLOCK_MS = 2**62

Forwardable = GetRequest | MutateRequest | ScanRequest


class ForwardCall(Call):
    """One forwarded request in flight."""

    def __init__(
        self,
        kernel: Kernel,
        latencies: Latencies,
        operations: Operations,
        requester: Requester,
        request: Forwardable,
        required: int,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._operations = operations
        self._latencies = latencies
        self._is_measured = required == 1 and isinstance(request, GetRequest)
        self._requester = requester
        self._request = request
        self._required = required
        self._target = ""
        self._number = 0

    def start(self, replicas: Sequence[str], deadline_s: float) -> None:
        """Send the request to the first of these nodes that is alive."""
        self._left = [name for name in replicas if name in self._cluster.alive]
        if not self._left:
            self._requester.refuse(self._step, Unavailable(self._required, 0))
            return
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, deadline_s, "deadline")
        self._send()

    def answered(self, replica: str, message: Message) -> None:
        """Pass on the answer to the requester."""
        if replica != self._target:
            return
        self._calls.end(self._number)
        if self._is_measured:
            self._latencies.answered(replica, self._step.now.monotonic_s - self._sent_at)
        passed_on: Message = message._replace(id=self._requester.id)  # type: ignore[call-arg]
        self._step.effects.send(self._requester.peer, passed_on)
        outcome = message.code if isinstance(message, ErrorReply) else "ok"
        seconds = self._step.now.monotonic_s - self._requester.started_s
        self._step.stats.request("forward", self._requester.level, outcome, seconds)

    def lost(self, replica: str) -> None:
        """Send a read to the next replica if its replica is lost; fail a write."""
        if replica in self._left:
            self._left.remove(replica)
        if replica != self._target:
            return
        if self._left and not isinstance(self._request, MutateRequest):
            self._send()
        else:
            self.timer("deadline")

    def timer(self, purpose: str) -> None:
        """Fail the request at its deadline."""
        self._calls.end(self._number)
        if not isinstance(self._request, MutateRequest):
            self._latencies.unanswered(self._target, self._step.now.monotonic_s - self._sent_at)
        error: CrdtkvError = ReadTimeout(0, self._required)
        if isinstance(self._request, MutateRequest):
            error = WriteTimeout(0, self._required)
        self._requester.refuse(self._step, error)

    def _send(self) -> None:
        self._target = self._left.pop(0)
        self._sent_at = self._step.now.monotonic_s
        request = self._request._replace(id=self._number)
        if not isinstance(request, MutateRequest):
            self._step.effects.send(self._target, request)
            return
        if request.begin_by_ms:
            # Converted to the target's clock, with the lower bound of its difference: the target never begins too late.
            begin_by_ms = request.begin_by_ms + int(self._cluster.clocks_ahead_s.get(self._target, 0.0) * 1000)
            request = request._replace(begin_by_ms=min(max(1, begin_by_ms), MAX_CLOCK_MS))
        if request.operation_id:
            # A coordinator that asks this node about a retry must learn which node may have carried it out.
            self._operations.note_handed_on(request.operation_id, self._target)
        self._step.effects.send_when_durable(self._target, request)
