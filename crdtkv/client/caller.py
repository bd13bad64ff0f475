"""`Caller`: one request until its end: routing, safe retries, one deadline.

What is retried: anything that certainly was not carried out (the link broke before sending, `Overloaded`), and reads.
A write that may have been carried out is not sent again: it ends as `WriteTimeout`, which says so. Between tries there
is a jittered, growing pause; the deadline covers all tries and travels with each.
"""

import asyncio
import random
import time
from typing import Any

from crdtkv.client.connection import Connection, LinkLost, NoAnswer
from crdtkv.client.router import DatacenterView, Router
from crdtkv.errors import CrdtkvError, NoNodeReachable, Overloaded, ReadTimeout, WriteTimeout
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.wire.messages import GetRequest, Message, MutateRequest, ScanRequest

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0
# The node answers at the deadline; the client waits this much longer for that answer.
GRACE_S = 0.5

Request = GetRequest | MutateRequest | ScanRequest


class Caller:
    """Carries requests out. `observed` is the highest timestamp this client has seen."""

    def __init__(self, router: Router, default_level: ConsistencyLevel | None, timeout_s: float) -> None:
        self.router = router
        self._default_level = default_level
        self._timeout_s = timeout_s
        self.observed = 0
        self._bucket_levels: dict[str, ConsistencyLevel] = {}

    def level(self, explicit: ConsistencyLevel | str | None, bucket: str) -> ConsistencyLevel:
        """Return the level of a call: its own, else the client's, else the bucket's.

        Raises:
            InvalidRequest: no such level.
        """
        if explicit is not None:
            return level_named(explicit) if isinstance(explicit, str) else explicit
        if self._default_level is not None:
            return self._default_level
        level = self._bucket_levels.get(bucket)
        if level is None:
            level = level_named(self.router.views[0].buckets.get(bucket, "LOCAL_QUORUM"))
            self._bucket_levels[bucket] = level
        return level

    async def get(self, identity: bytes, level: ConsistencyLevel, timeout: float | None) -> Any:
        """Read one key; returns `EntryReply`.

        Raises:
            ReadTimeout, Unavailable, Overloaded, NoNodeReachable: nothing was written, as always with reads.
        """
        timeout_s = timeout or self._timeout_s
        try:
            _, connection = self.router.route(identity)
            request = GetRequest(connection.next_id(), identity, level.to_wire(), int(timeout_s * 1000))
            return await connection.ask(request, timeout_s + GRACE_S)
        except (LinkLost, NoAnswer, Overloaded, NoNodeReachable) as error:
            request = GetRequest(0, identity, level.to_wire(), 0)
            return await self._again(identity, request, level, time.monotonic() + timeout_s, error)

    async def mutate(
        self,
        identity: bytes,
        operation: str,
        arguments: list[object],
        context: list[Any] | None,
        level: ConsistencyLevel,
        timeout: float | None,
    ) -> None:
        """Carry out one operation.

        Raises:
            WriteTimeout: it may have been applied.
            CrdtkvError: any other says that it was not (`maybe_applied`).
        """
        timeout_s = timeout or self._timeout_s
        deadline = time.monotonic() + timeout_s
        request = MutateRequest(
            0, identity, operation, arguments, context, self.observed, level.to_wire(), int(timeout_s * 1000)
        )
        try:
            view, connection = self.router.route(identity)
            reply: Any = await self._send_write(view, connection, request, level, timeout_s)
        except (LinkLost, Overloaded, NoNodeReachable) as error:
            reply = await self._again(identity, request, level, deadline, error)
        self.observed = max(self.observed, reply.timestamp)

    async def scan(self, request: ScanRequest, route_by: bytes, level: ConsistencyLevel, timeout_s: float) -> Any:
        """Read one page of a partition; `route_by` is an identity that lies in it."""
        return await self._again(route_by, request, level, time.monotonic() + timeout_s, None)

    async def _again(
        self, identity: bytes, request: Request, level: ConsistencyLevel, deadline: float, error: CrdtkvError | None
    ) -> Any:
        """Try until the deadline; `error` is how the try before went, None for the first."""
        pause_s = FIRST_PAUSE_S
        view = self.router.views[0]
        while True:
            if error is not None:
                left_s = deadline - time.monotonic()
                if left_s <= pause_s:
                    raise self._final(error, request, view, level)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            left_s = deadline - time.monotonic()
            try:
                view, connection = self.router.route(identity)
                fresh = request._replace(timeout_ms=max(1, int(left_s * 1000)))
                if isinstance(fresh, MutateRequest):
                    return await self._send_write(view, connection, fresh, level, left_s)
                return await connection.ask(fresh._replace(id=connection.next_id()), left_s + GRACE_S)
            except (LinkLost, NoAnswer, Overloaded, NoNodeReachable) as failure:
                error = failure

    async def _send_write(
        self,
        view: DatacenterView,
        connection: Connection,
        request: MutateRequest,
        level: ConsistencyLevel,
        left_s: float,
    ) -> Message:
        """Send a write once; what may have been carried out becomes `WriteTimeout` here."""
        try:
            return await connection.ask(request._replace(id=connection.next_id()), left_s + GRACE_S)
        except LinkLost as error:
            if not error.was_sent:
                raise
        except NoAnswer:
            pass
        raise WriteTimeout(0, level.write_quorum(view.replication_factor))

    def _final(
        self, error: CrdtkvError, request: Request, view: DatacenterView, level: ConsistencyLevel
    ) -> CrdtkvError:
        """Return what the caller sees when time is up."""
        if isinstance(error, (LinkLost, NoAnswer)):
            if isinstance(request, MutateRequest):
                return NoNodeReachable("no node took the write before the deadline: it was not applied")
            return ReadTimeout(0, level.read_quorum(view.replication_factor))
        return error
