"""Prefix scans over all partitions, several at a time.

Keys are placed by hash, so every partition may have keys with the prefix, and keys are returned in ring order. A scan
with `after` begins in the partition of that key. A scan with `limit` reads one partition first; then it reads as many
at a time as the missing keys require at the density of keys so far.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.entry import ValueEntry
from crdtkv.client.request_executor import RequestExecutor
from crdtkv.client.values import shown_key
from crdtkv.crdt.entry import Entry
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.ring.token import partition_at, storage_key_of

PARTITIONS_AHEAD = 8
PAGE_ROWS = 500
PAGE_TIMEOUT_S = 10.0

_Found = list[tuple[bytes, Entry]]


class Extent(NamedTuple):
    """The keys to read: identities with `prefix`, behind the identity `after` in ring order, at most `limit` keys."""

    prefix: bytes
    after: bytes | None = None
    limit: int | None = None


async def scan(
    executor: RequestExecutor,
    extent: Extent,
    strip: bytes,
    level: ConsistencyLevel,
    timeout_s: float,
    codec: Codec[Any] = CBOR,
) -> AsyncIterator[tuple[str | bytes, ValueEntry[Any]]]:
    """Yield (key, entry) pairs of the extent that are not tombstones; `strip`, a prefix of identities, is cut off."""
    executor.host.check_loop()
    partitions = executor.view.ring.partitions
    _, after, limit = extent
    unread = iter(range(0 if after is None else partition_at(after, partitions), partitions))
    behind = b"" if after is None else storage_key_of(after)
    reading: deque[asyncio.Task[_Found]] = deque()
    count = partitions_read = 0
    try:
        while True:
            ahead = _ahead(limit, count, partitions_read)
            while len(reading) < ahead and (partition := next(unread, None)) is not None:
                work = _read_partition(executor, partition, extent, behind, level, timeout_s)
                reading.append(asyncio.create_task(work))
                behind = b""
            if not reading:
                return
            for identity, entry in await reading.popleft():
                if count == limit:
                    return
                count += 1
                yield shown_key(identity[len(strip) :]), ValueEntry(identity, entry, entry.state, codec)
            if count == limit:
                return
            partitions_read += 1
    finally:
        for task in reading:
            task.cancel()


def _ahead(limit: int | None, count: int, partitions_read: int) -> int:
    """Return how many partitions to read at a time, after `count` keys were read from `partitions_read` partitions.

    The number starts at one and at most doubles: `after` may be near the end of its partition, so the first partition
    may be a bad sample of the density.
    """
    if limit is None:
        return PARTITIONS_AHEAD
    at_most = min(PARTITIONS_AHEAD, 1 << partitions_read)
    return min(at_most, -(-(limit - count) * partitions_read // count)) if count else at_most


async def _read_partition(
    executor: RequestExecutor, partition: int, extent: Extent, after: bytes, level: ConsistencyLevel, timeout_s: float
) -> _Found:
    page_rows = PAGE_ROWS if extent.limit is None else min(PAGE_ROWS, extent.limit)
    rows = await executor.scan(partition, extent.prefix, page_rows, level, timeout_s, after, extent.limit)
    entries = [(identity, Entry.from_bytes(encoded)) for identity, encoded in rows]
    return [(identity, entry) for identity, entry in entries if not entry.is_tombstone]
