"""`WriteAttempts`: one write, tried until it is certain, and never carried out twice by that.

A try that ends without an answer may have been carried out. So all tries have one operation id, by which nodes find out
(`node.operations`), and no try begins while an earlier one could still begin: each names a time, by the node's own
clock, after which the node must not begin it. A further try names the nodes that were tried, which have to be asked
before it is carried out. It stays in their data center, because others have not heard of the operation yet.
"""

import secrets
import time
from typing import Any

from crdtkv.client.connection import GRACE_S, Connection, LinkLost, NoAnswer
from crdtkv.client.router import DatacenterView
from crdtkv.errors import CrdtkvError, NoNodeReachable, Unavailable, WriteTimeout
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.wire.messages import MutateReply, MutateRequest

#: How long after it was sent a node may begin a try.
BEGIN_WITHIN_S = 1.0
#: How long after the first try another one may follow: nodes remember operations for twice as long.
RETRY_WITHIN_S = 60.0


class Unsettled(CrdtkvError):
    """A try may have been carried out; at `settled_at` (monotonic seconds) it cannot begin any more. Internal."""

    def __init__(self, settled_at: float, timeout: WriteTimeout) -> None:
        super().__init__("the write may have been carried out")
        self.settled_at = settled_at
        self.timeout = timeout


class WriteAttempts:
    """The tries of one operation."""

    def __init__(self, request: MutateRequest, level: ConsistencyLevel) -> None:
        self._request = request._replace(operation_id=secrets.token_bytes(16))
        self._level = level
        self._began_at = time.monotonic()
        self._unsettled_in: DatacenterView | None = None
        self._unsettled: Unsettled | None = None
        self._tried: list[object] = []

    async def once(self, view: DatacenterView, connection: Connection, left_s: float) -> MutateReply:
        """Send the write once more.

        Raises:
            Unsettled: it may have been carried out, and may be tried again.
            WriteTimeout: it may have been carried out, and there is no time to try again.
            CrdtkvError: what the node answered, or `LinkLost` for a link that broke before.
        """
        if self._unsettled_in not in (None, view):
            raise NoNodeReachable("no node is reachable where the write may have been carried out")
        if connection.window.is_full:
            asked_at = time.monotonic()
            await connection.window.place(left_s)
            left_s -= time.monotonic() - asked_at
        sent_at = time.monotonic()
        if self._unsettled is not None and sent_at + BEGIN_WITHIN_S > self._began_at + RETRY_WITHIN_S:
            raise self._unsettled.timeout  # nodes are about to forget the operation
        request = self._request._replace(
            id=connection.next_id(),
            timeout_ms=max(1, int(left_s * 1000)),
            tried=list(self._tried) or None,
            begin_by_ms=max(1, connection.clock_ms(sent_at + BEGIN_WITHIN_S)),
        )
        try:
            reply: Any = await connection.ask(request, left_s + GRACE_S, BEGIN_WITHIN_S)
        except LinkLost as error:
            if not error.was_sent:
                raise
            timeout = self._timeout(view)
        except NoAnswer:
            timeout = self._timeout(view)
        except WriteTimeout as error:
            timeout = error
        except Unavailable:
            if self._unsettled is None:
                raise
            # Who may know is not there: perhaps it comes back in time.
            raise self._unsettled from None
        else:
            assert isinstance(reply, MutateReply)
            return reply
        assert connection.server is not None
        if connection.server.name not in self._tried:
            self._tried.append(connection.server.name)
        self._unsettled_in = view
        self._unsettled = Unsettled(sent_at + BEGIN_WITHIN_S, timeout)
        raise self._unsettled

    def verdict(self, error: CrdtkvError) -> CrdtkvError:
        """Return what the caller is told if `error` is how the last try ended."""
        if error.maybe_applied or self._unsettled is None:
            return error
        return self._unsettled.timeout

    def _timeout(self, view: DatacenterView) -> WriteTimeout:
        return WriteTimeout(0, self._level.write_quorum(view.replication_factor))
