"""`Caller`: one request until its end: routing, safe retries, one deadline.

Reads are retried, and writes, also those that may have been carried out (`attempts`).
`Unavailable` and `InsufficientStorage` are believed when every replica says so.
A write of which it is not known in time whether it was carried out ends as `WriteTimeout`. Between tries there
is a jittered, growing pause; the deadline covers all tries and travels with each.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.client.arguments import checked_timeout
from crdtkv.client.attempts import Unsettled, WriteAttempts
from crdtkv.client.connection import GRACE_S, Connection, LinkLost, NoAnswer
from crdtkv.client.retry_budget import RetryBudget
from crdtkv.client.router import DatacenterView, Router
from crdtkv.errors import (
    CrdtkvError,
    InsufficientStorage,
    NoNodeReachable,
    Overloaded,
    ReadTimeout,
    StaleReplica,
    Unavailable,
)
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.wire.messages import MutateReply, MutateRequest, ScanRequest

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0

#: How a try may fail so that the same request is tried again.
RETRIED = (LinkLost, NoAnswer, Unsettled, Overloaded, Unavailable, InsufficientStorage, StaleReplica, NoNodeReachable)


class Caller:
    """Carries requests out. `observed` is the highest timestamp this client has seen."""

    def __init__(self, router: Router, default_level: ConsistencyLevel | None, timeout_s: float) -> None:
        self.router = router
        self.default_level = default_level
        self.timeout_s = timeout_s
        self.observed = 0
        self._retries = RetryBudget()
        self._bucket_levels: dict[str, ConsistencyLevel] = {}

    def observe(self, timestamp: HybridTimestamp) -> None:
        """Remember the highest timestamp seen: later writes of this client are ordered behind it."""
        self.observed = max(self.observed, timestamp)

    def level(self, explicit: ConsistencyLevel | str | None, bucket: str) -> ConsistencyLevel:
        """Return the level of a call: its own, else the client's, else the bucket's.

        Raises:
            InvalidRequest: no such level.
        """
        if explicit is not None:
            return explicit if isinstance(explicit, ConsistencyLevel) else level_named(explicit)
        if self.default_level is not None:
            return self.default_level
        level = self._bucket_levels.get(bucket)
        if level is None:
            level = level_named(self.router.views[0].buckets.get(bucket, "LOCAL_QUORUM"))
            self._bucket_levels[bucket] = level
        return level

    async def entry(self, identity: bytes, level: ConsistencyLevel, timeout: float | None) -> bytes | None:
        """Read one key: its entry's bytes, None if it was never written.

        Raises:
            ReadTimeout, Unavailable, Overloaded, NoNodeReachable: nothing was written, as always with reads.
        """
        timeout_s = self.timeout_s if timeout is None else checked_timeout(timeout)
        deadline = time.monotonic() + timeout_s
        self._retries.earn()
        try:
            connection = self.router.route(identity, level)[1]
            if not connection.window.is_full:
                return await connection.ask_entry(identity, level.to_wire(), int(timeout_s * 1000) or 1)  # type: ignore[no-any-return]
            return await _read_in_turn(connection, identity, level, deadline)  # type: ignore[no-any-return]
        except RETRIED as error:

            def ask(_: DatacenterView, connection: Connection, left_s: float) -> Awaitable[Any]:
                return _read_in_turn(connection, identity, level, time.monotonic() + left_s)

            return await self._again(identity, ask, deadline, error, self._no_answer_to_read(level), level)  # type: ignore[no-any-return]

    async def mutate(
        self,
        identity: bytes,
        operation: str,
        arguments: list[object],
        context: list[Any] | None,
        level: ConsistencyLevel,
        timeout: float | None,
        ttl_ms: int | None = None,
    ) -> MutateReply:
        """Carry out one operation; the reply names the write.

        Raises:
            WriteTimeout: it may have been applied.
            CrdtkvError: any other says that it was not (`maybe_applied`).
        """
        timeout_s = self.timeout_s if timeout is None else checked_timeout(timeout)
        deadline = time.monotonic() + timeout_s
        request = MutateRequest(
            0,
            identity,
            operation,
            arguments,
            context,
            self.observed,
            level.to_wire(),
            int(timeout_s * 1000) or 1,
            ttl_ms,
        )
        attempts = WriteAttempts(request, level)
        self._retries.earn()
        try:
            try:
                view, connection = self.router.route(identity, level)
                reply = await attempts.once(view, connection, timeout_s)
            except RETRIED as error:
                not_sent = NoNodeReachable("no node took the write before the deadline: it was not applied")
                reply = await self._again(identity, attempts.once, deadline, error, not_sent, level)
        except CrdtkvError as error:
            raise attempts.verdict(error) from None
        self.observe(reply.timestamp)
        return reply

    async def scan(self, request: ScanRequest, route_by: bytes, level: ConsistencyLevel, timeout_s: float) -> Any:
        """Read one page of a partition; `route_by` is an identity that lies in it. Raises as `entry` does."""

        def ask(_: DatacenterView, connection: Connection, left_s: float) -> Awaitable[Any]:
            fresh = request._replace(id=connection.next_id(), timeout_ms=max(1, int(left_s * 1000)))
            return connection.ask(fresh, left_s + GRACE_S, patience_s=0.0)

        no_answer = self._no_answer_to_read(level)
        return await self._again(route_by, ask, time.monotonic() + timeout_s, None, no_answer, level)

    async def _again(
        self,
        identity: bytes,
        ask: Callable[[DatacenterView, Connection, float], Awaitable[Any]],
        deadline: float,
        error: CrdtkvError | None,
        no_answer: CrdtkvError,
        level: ConsistencyLevel,
    ) -> Any:
        """Try until the deadline; `error` is how the try before went, None for the first.

        What the caller sees when time is up is the last error, `no_answer` in place of the internal ones.
        """
        pause_s = FIRST_PAUSE_S
        refusals = skip = 0
        while True:
            if isinstance(error, (Unavailable, InsufficientStorage)):
                # Perhaps only that node sees too few others (it has just started), or has a full disk: ask each replica
                # before giving up.
                refusals += 1
                if refusals >= self.router.views[0].replication_factor:
                    raise error
            elif error is not None:
                wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
                if isinstance(error, Unsettled):
                    wait_s += max(0.0, error.settled_at - time.monotonic())
                elif isinstance(error, Overloaded):
                    wait_s = max(wait_s, error.retry_after_s * random.uniform(1.0, 1.5))  # noqa: S311 - jitter
                if isinstance(error, (Overloaded, NoAnswer)) and not self._retries.spend():
                    wait_s = max(wait_s, LONGEST_PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                if deadline - time.monotonic() <= wait_s:
                    raise no_answer if isinstance(error, (LinkLost, NoAnswer)) else error
                await asyncio.sleep(wait_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            if isinstance(error, Overloaded):
                skip += 1
            try:
                others = skip % self.router.views[0].replication_factor
                view, connection = self.router.route(identity, level, skip=refusals + others)
                return await ask(view, connection, deadline - time.monotonic())
            except RETRIED as failure:
                error = failure

    def _no_answer_to_read(self, level: ConsistencyLevel) -> ReadTimeout:
        return ReadTimeout(0, level.read_quorum(self.router.views[0].replication_factor))


async def _read_in_turn(connection: Connection, identity: bytes, level: ConsistencyLevel, deadline: float) -> Any:
    """Read one key when there is a place in flight for that."""
    if connection.window.is_full:
        await connection.window.place(deadline - time.monotonic())
    # Rounded, so that reads which have waited for nearly the same time are still sent together.
    left_ms = max(1, int((deadline - time.monotonic()) * 10) * 100)
    return await connection.ask_entry(identity, level.to_wire(), left_ms)
