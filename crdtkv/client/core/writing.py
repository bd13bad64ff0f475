"""`Write`: one operation, retried until its outcome is known, and applied at most once.

An attempt without an answer may have been applied. So all attempts have one operation id, by which nodes recognize the
operation (`node.replica.operations`), and no attempt is sent while an earlier one could still begin: each attempt has
a time, by the node's clock, after which the node must not begin it. A retry has the names of the nodes that were tried;
the new coordinator must ask these first. A retry stays in their data center, because others do not know the operation
yet.

A write whose outcome is unknown at its deadline ends with `WriteTimeout`.
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
#: A node may begin an attempt this long after it was sent.
BEGIN_WITHIN_S = 1.0
#: Retries end this long after the first attempt; nodes remember operations for twice as long.
RETRY_WITHIN_S = 60.0


class Mutation(NamedTuple):
    """An operation of the type of a key; with `context`, on what was read, else on what the coordinator stores."""

    operation: str
    arguments: list[object]
    context: list[Any] | None = None
    ttl_ms: int | None = None


class Write(RoutedCall):
    """One write with its retries; the result is the `MutateReply`, with the dot and the timestamp of the write."""

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
        #: The operation id, set by `begin`.
        self.operation_id = b""
        #: The nodes that may have applied the write, their data center, and the last attempt of unknown outcome.
        self._tried: tuple[str, ...] = ()
        self._unsettled_in: DatacenterView | None = None
        self._unsettled: Unsettled | None = None

    def begin(self, parts: ClientParts) -> None:
        """Draw the operation id and send; in a session, only if the session has room for the key."""
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
        """Send an attempt, or wait until the window of the link has room."""
        if self._unsettled_in is not None and self._unsettled_in is not self.view:
            raise NoNodeReachable("no node is reachable in the data center that may have applied the write")
        self._link = link
        if link.window.is_full:
            link.window.wait(self, self.deadline_s)
        else:
            self._send_now()

    def placed(self) -> None:
        """Send the attempt: the window of the link has room."""
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
        """End with the acknowledgment."""
        if self.is_over:
            return
        assert isinstance(reply, MutateReply)
        self._observations.written(self.identity, reply)
        self.end(reply)

    def failed(self, error: CrdtkvError) -> None:
        """Handle the failure of an attempt; if it may have been applied, note that the outcome is unknown."""
        if isinstance(error, WriteTimeout) and self._unsettled is not None and error is self._unsettled.timeout:
            self.end(error=error)
            return
        if isinstance(error, (NoAnswer, WriteTimeout)) or (isinstance(error, LinkLost) and error.was_sent):
            timeout = error if isinstance(error, WriteTimeout) else self._timeout()
            error = self._unsettle(timeout)
        elif isinstance(error, Unavailable) and self._unsettled is not None:
            error = self._unsettled  # the nodes that know the outcome may be back before the deadline
        super().failed(error)

    def no_answer(self) -> CrdtkvError:
        """Return `NoNodeReachable`: no node has accepted the write."""
        return NoNodeReachable("no node accepted the write before the deadline: it was not applied")

    def verdict(self, error: CrdtkvError) -> CrdtkvError:
        """Return `WriteTimeout` if an earlier attempt may have been applied, else `error`."""
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
