"""`Session`: reads that never go back in time, and show all that the session has written.

A session remembers the causal context of every key it has read or written. A read whose answer lacks something of that
is asked again: at `LOCAL_QUORUM`, which usually has it, then with growing pauses, until the data center has received
it or time is up. So the guarantees hold at every level, and wherever the session goes on: on another node, in another
data center, or, by its token, in another process.
"""

import asyncio
import random
import time
from typing import Any

from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.causality.seen import Seen
from crdtkv.client.arguments import checked_timeout
from crdtkv.client.buckets import Buckets
from crdtkv.client.caller import FIRST_PAUSE_S, LONGEST_PAUSE_S, Caller
from crdtkv.client.place import Shelf
from crdtkv.crdt.entry import Entry
from crdtkv.errors import ReadTimeout, StaleReplica, Unavailable
from crdtkv.ids import DEFAULT_BUCKET, parse_identity
from crdtkv.quorum.level import LOCAL_QUORUM, ConsistencyLevel
from crdtkv.ring.token import partition_of, storage_key_of, token_of
from crdtkv.wire.messages import MutateReply, ScanReply, ScanRequest


class Session(Buckets):
    """The verbs of a client within a session; made by `Client.session`."""

    def __init__(self, caller: Caller, token: str | None) -> None:
        self._seen = Seen.from_token(token) if token is not None else Seen()
        self._caller = SessionCaller(caller, self._seen)
        super().__init__(Shelf(self._caller, DEFAULT_BUCKET, None))

    @property
    def token(self) -> str:
        """What the session has seen, as one word: `Client.session(token=…)` goes on from there, in any process."""
        return self._seen.to_token()

    def take(self, token: str) -> None:
        """See from now on also what another session has seen.

        Raises:
            InvalidRequest: it is no token, or there are too many keys.
        """
        other = Seen.from_token(token)
        self._seen.take(other)
        self._caller.observe(other.newest)


class SessionCaller(Caller):
    """Requests of a session."""

    def __init__(self, caller: Caller, seen: Seen) -> None:
        super().__init__(caller.router, caller.default_level, caller.timeout_s)
        self.observed = max(caller.observed, seen.newest)
        self._seen = seen

    def observe(self, timestamp: HybridTimestamp) -> None:
        """See `Caller.observe`."""
        super().observe(timestamp)
        self._seen.observe(timestamp)

    async def entry(self, identity: bytes, level: ConsistencyLevel, timeout: float | None) -> bytes | None:
        """Read one key, as new as the session has seen it.

        Raises:
            StaleReplica: what the session has seen did not come to this data center in time.
            CrdtkvError: as `Caller.entry` does.
        """
        self._seen.check_room(identity)
        deadline = time.monotonic() + (self.timeout_s if timeout is None else checked_timeout(timeout))
        pause_s = FIRST_PAUSE_S
        encoded = await super().entry(identity, level, timeout)
        while not self._seen.is_in(identity, context := _context_of(encoded)):
            left_s = deadline - time.monotonic()
            if left_s <= pause_s:
                raise StaleReplica(
                    f"{parse_identity(identity)!r} has not come to this data center as the session has seen it: "
                    "wait, or read where it was written"
                )
            encoded = await self._read_more(identity, level, deadline)
            if not self._seen.is_in(identity, _context_of(encoded)):
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._seen.read(identity, context)
        return encoded

    async def mutate(self, identity: bytes, *arguments: Any, **options: Any) -> MutateReply:
        """Carry out one operation, and remember it. Raises as `Caller.mutate` does."""
        self._seen.check_room(identity)
        reply = await super().mutate(identity, *arguments, **options)
        self._seen.written(identity, Dot(reply.actor, reply.counter), reply.timestamp)
        return reply

    async def scan(self, request: ScanRequest, route_by: bytes, level: ConsistencyLevel, timeout_s: float) -> ScanReply:
        """Read one page of a partition, every key in it as new as the session has seen it. Raises as `entry` does."""
        reply: ScanReply = await super().scan(request, route_by, level, timeout_s)
        found: dict[bytes, bytes | None] = dict(reply.rows)  # type: ignore[arg-type]
        for identity in self._in_page(request, reply.next_after):
            if not self._seen.is_in(identity, _context_of(found.get(identity))):
                found[identity] = await self.entry(identity, level, timeout_s)
        for identity, entry in found.items():
            if entry is not None:
                self._seen.check_room(identity)
                self._seen.read(identity, _context_of(entry))
        rows = sorted((item for item in found.items() if item[1] is not None), key=lambda item: storage_key_of(item[0]))
        return reply._replace(rows=[[identity, entry] for identity, entry in rows])

    def _in_page(self, request: ScanRequest, end: bytes | None) -> list[bytes]:
        """Return the keys the session knows that lie where a page does."""
        assert self.router.views[0].ring is not None
        partitions = self.router.views[0].ring.partitions
        return [
            identity
            for identity in list(self._seen.contexts)
            if identity.startswith(request.prefix)
            and partition_of(token_of(identity), partitions) == request.partition
            and request.after < storage_key_of(identity)
            and (end is None or storage_key_of(identity) <= end)
        ]

    async def _read_more(self, identity: bytes, level: ConsistencyLevel, deadline: float) -> bytes | None:
        """Read at a quorum, if there is one and the level asks fewer replicas; else at that level."""
        replicas = self.router.views[0].replication_factor
        if level.read_quorum(replicas) < LOCAL_QUORUM.read_quorum(replicas) or level.is_sloppy:
            try:
                return await super().entry(identity, LOCAL_QUORUM, deadline - time.monotonic())
            except (Unavailable, ReadTimeout):
                pass
        return await super().entry(identity, level, max(deadline - time.monotonic(), FIRST_PAUSE_S))


def _context_of(encoded: bytes | None) -> CausalContext:
    return Entry.from_bytes(encoded).context if encoded is not None else EMPTY
