"""`Write`: one operation, tried until it is certain, and never carried out twice by that.

A try that ends without an answer may have been carried out. So all tries have one operation id, by which nodes find out
(`node.replica.operations`), and no try begins while an earlier one could still begin: each names a time, by the node's
own clock, after which the node must not begin it. A further try names the nodes that were tried, which have to be asked
before it is carried out. It stays in their data center, because others have not heard of the operation yet.

A write of which it is not known in time whether it was carried out ends as `WriteTimeout`.
"""

from typing import Any, NamedTuple

from crdtkv.client.core.calls import RoutedCall
from crdtkv.client.core.datacenter import DatacenterView
from crdtkv.client.core.failures import LinkLost, NoAnswer, Unsettled
from crdtkv.client.core.node_link import GRACE_S, NodeLink
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.parts import ClientParts
from crdtkv.errors import CrdtkvError, InvalidRequest, NoNodeReachable, Unavailable, WriteTimeout
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.wire.messages import MutateReply, MutateRequest

OPERATION_ID_BYTES = 16
#: How long after it was sent a node may begin a try.
BEGIN_WITHIN_S = 1.0
#: How long after the first try another one may follow: nodes remember operations for twice as long.
RETRY_WITHIN_S = 60.0


class Mutation(NamedTuple):
    """What is to be done with a key: an operation of its type, on what `context` names, or on what is there."""

    operation: str
    arguments: list[object]
    context: list[Any] | None = None
    ttl_ms: int | None = None


class Write(RoutedCall):
    """The tries of one operation; the result is the `MutateReply`, which names the write."""

    __slots__ = ("_began_at", "_link", "_mutation", "_observations", "_observed", "_sent_at", "_tried", "_unsettled",
                 "_unsettled_in", "operation_id")  # fmt: skip

    _began_at: float
    _sent_at: float
    _observed: int
    _link: NodeLink

    def __init__(
        self,
        identity: bytes,
        mutation: Mutation,
        level: ConsistencyLevel,
        timeout_s: float,
        observations: Observations,
    ) -> None:
        super().__init__(identity, level, timeout_s)
        self._mutation = mutation
        self._observations = observations
        #: The id of the operation, once this has begun.
        self.operation_id = b""
        #: The nodes that may have carried it out, their data center, and how the last of these tries may yet end.
        self._tried: tuple[str, ...] = ()
        self._unsettled_in: DatacenterView | None = None
        self._unsettled: Unsettled | None = None

    def begin(self, parts: ClientParts) -> None:
        """Choose the operation id, and send; in a session, only if there is room to remember the write."""
        self.parts = parts
        self.operation_id = parts.random.randbytes(OPERATION_ID_BYTES)
        self._began_at = parts.step.now
        self._observed = self._observations.newest
        try:
            self._observations.check_room(self.identity)
        except InvalidRequest as error:
            self.end(error=error)
            return
        super().begin(parts)

    def send(self, link: NodeLink) -> None:
        """Send one more try, or wait for a place."""
        if self._unsettled_in is not None and self._unsettled_in is not self.view:
            raise NoNodeReachable("no node is reachable where the write may have been carried out")
        self._link = link
        if link.window.is_full:
            link.window.wait(self, self.deadline_s)
        else:
            self._send_now()

    def placed(self) -> None:
        """Send: there is a place."""
        try:
            self._send_now()
        except CrdtkvError as error:
            self.failed(error)

    def _send_now(self) -> None:
        link, now = self._link, self.parts.step.now
        if self._unsettled is not None and now + BEGIN_WITHIN_S > self._began_at + RETRY_WITHIN_S:
            raise self._unsettled.timeout  # nodes are about to forget the operation
        left_s, mutation = self.deadline_s - now, self._mutation
        request = MutateRequest(
            link.next_id(),
            self.identity,
            mutation.operation,
            mutation.arguments,
            mutation.context,
            self._observed,
            self.level.to_wire(),
            max(1, int(left_s * 1000)),
            mutation.ttl_ms,
            self.operation_id,
            [*self._tried] or None,
            max(1, link.clock_ms(now + BEGIN_WITHIN_S)),
        )
        self._sent_at = now
        link.ask(request, self, left_s + GRACE_S, BEGIN_WITHIN_S)

    def answered(self, reply: Any) -> None:
        """Take the acknowledgment."""
        if self.is_over:
            return
        assert isinstance(reply, MutateReply)
        self._observations.written(self.identity, reply)
        self.end(reply)

    def failed(self, error: CrdtkvError) -> None:
        """Take the end of a try; if it may have been carried out, the write is unsettled from now on."""
        if isinstance(error, WriteTimeout) and self._unsettled is not None and error is self._unsettled.timeout:
            self.end(error=error)
            return
        if isinstance(error, (NoAnswer, WriteTimeout)) or (isinstance(error, LinkLost) and error.was_sent):
            timeout = error if isinstance(error, WriteTimeout) else self._timeout()
            error = self._unsettle(timeout)
        elif isinstance(error, Unavailable) and self._unsettled is not None:
            error = self._unsettled  # who may know is not there: perhaps it comes back in time
        super().failed(error)

    def no_answer(self) -> CrdtkvError:
        """Return the error of a write that no node has taken."""
        return NoNodeReachable("no node took the write before the deadline: it was not applied")

    def verdict(self, error: CrdtkvError) -> CrdtkvError:
        """Return `WriteTimeout` if an earlier try may have been carried out."""
        if error.maybe_applied or self._unsettled is None:
            return error
        return self._unsettled.timeout

    def _unsettle(self, timeout: WriteTimeout) -> Unsettled:
        server = self._link.server
        assert server is not None
        if server.name not in self._tried:
            self._tried += (server.name,)
        self._unsettled_in = self.view
        self._unsettled = Unsettled(self._sent_at + BEGIN_WITHIN_S, timeout)
        return self._unsettled

    def _timeout(self) -> WriteTimeout:
        assert self.view is not None
        return WriteTimeout(0, self.level.write_quorum(self.view.replication_factor))
