"""`RequestExecutor`: the requests of one client or session as coroutines; each begins a call of the core and awaits it.

A canceled read has no effect. A canceled write may have been applied, or may be applied later.
"""

import asyncio
from typing import Any

from crdtkv.client.arguments import checked_timeout
from crdtkv.client.core.datacenter import DatacenterView
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.reading import Read
from crdtkv.client.core.scanning import Page, PartitionScan
from crdtkv.client.core.sessions import SessionRead
from crdtkv.client.core.waiting import Wait
from crdtkv.client.core.writing import Mutation, Write
from crdtkv.client.host import ClientHost
from crdtkv.client.written import Written
from crdtkv.quorum.level import ConsistencyLevel, level_named
from crdtkv.wire.messages import MutateReply


class RequestExecutor:
    """Executes requests. `observations` holds what its caller has seen; in a session every read must show all of it."""

    def __init__(
        self,
        host: ClientHost,
        default_level: ConsistencyLevel | None,
        timeout_s: float,
        observations: Observations | None = None,
    ) -> None:
        self.host = host
        self.default_level = default_level
        self.timeout_s = timeout_s
        self.observations = observations if observations is not None else Observations()
        self._bucket_levels: dict[str, ConsistencyLevel] = {}

    @property
    def view(self) -> DatacenterView:
        """The data center of rank 0: the preferred one if it was reached at `connect`."""
        return self.host.core.routing.views[0]

    def level(self, explicit: ConsistencyLevel | str | None, bucket: str) -> ConsistencyLevel:
        """Return the level of a request: its own, else the client's, else the bucket's.

        Raises:
            InvalidRequest: there is no such level.
        """
        if explicit is not None:
            return explicit if isinstance(explicit, ConsistencyLevel) else level_named(explicit)
        if self.default_level is not None:
            return self.default_level
        level = self._bucket_levels.get(bucket)
        if level is None:
            level = level_named(self.view.buckets.get(bucket, "LOCAL_QUORUM"))
            self._bucket_levels[bucket] = level
        return level

    async def entry(self, identity: bytes, level: ConsistencyLevel, timeout: float | None) -> bytes | None:
        """Read one key; return the bytes of its entry, None if there is no entry.

        Raises:
            ReadTimeout, Unavailable, Overloaded, NoNodeReachable, ClosedError: the read failed.
            StaleReplica: this data center did not receive in time what the session has seen.
            InvalidRequest: the timeout is invalid, or the session remembers too many keys.
        """
        timeout_s = self.timeout_s if timeout is None else checked_timeout(timeout)
        call: Read | SessionRead
        if self.observations.seen is None:
            call = Read(identity, level, timeout_s)
        else:
            call = SessionRead(identity, level, timeout_s, self.observations)
        try:
            return await self.host.begin(call)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            self.host.cancel(call)
            raise

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
        """Execute one operation; the reply has the dot and the timestamp of the write.

        Raises:
            WriteTimeout: the operation may have been applied.
            CrdtkvError: every other error means that it was not applied, unless `maybe_applied` is true.
        """
        timeout_s = self.timeout_s if timeout is None else checked_timeout(timeout)
        mutation = Mutation(operation, arguments, context, ttl_ms)
        call = Write(identity, mutation, level, timeout_s, self.observations)
        try:
            return await self.host.begin(call)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            self.host.cancel(call)
            raise

    async def wait_for(self, written: Written, datacenters: list[str], timeout: float | None) -> tuple[str, ...]:
        """Wait until a write is in these data centers. Raises the errors of `Client.wait_for`."""
        timeout_s = self.timeout_s if timeout is None else checked_timeout(timeout)
        call = Wait(written.identity, written.dot, datacenters, timeout_s)
        try:
            return Written.of(written.identity, await self.host.begin(call)).datacenters
        except asyncio.CancelledError:
            self.host.cancel(call)
            raise

    async def scan(
        self,
        partition: int,
        prefix: bytes,
        page_rows: int,
        level: ConsistencyLevel,
        timeout_s: float,
        after: bytes = b"",
        enough: int | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Read the keys of a partition behind the storage key `after`, page by page; return (identity, entry) pairs.

        The scan ends with the page after which at least `enough` live entries (no tombstones) were read. `timeout_s` is
        per page. Raises the errors of `entry`.
        """
        rows: list[tuple[bytes, bytes]] = []

        def take(page: Page) -> None:
            rows.extend(page.rows)

        call = PartitionScan(partition, prefix, page_rows, level, timeout_s, self.observations, after, enough)
        await self.host.run(call, take)
        return rows
