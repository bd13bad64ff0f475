"""Scanning: all partitions, a few at a time.

Keys are placed by hash, so a prefix lies everywhere: every partition is asked, and keys come in ring order.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from crdtkv.client.caller import Caller
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.entry import ValueEntry
from crdtkv.client.values import shown_key
from crdtkv.crdt.entry import Entry
from crdtkv.quorum.level import ConsistencyLevel

PARTITIONS_AHEAD = 8
PAGE_ROWS = 500
PAGE_TIMEOUT_S = 10.0

_Found = list[tuple[bytes, Entry]]


async def scan(
    caller: Caller,
    start: bytes,
    strip: bytes,
    level: ConsistencyLevel,
    timeout_s: float,
    codec: Codec[Any] = CBOR,
) -> AsyncIterator[tuple[str | bytes, ValueEntry[Any]]]:
    """Yield every key whose identity begins with `start`, without the prefix `strip`."""
    caller.host.check_loop()
    partitions = caller.view.ring.partitions
    reading: deque[asyncio.Task[_Found]] = deque()
    try:
        for partition in range(partitions + PARTITIONS_AHEAD):
            if partition < partitions:
                reading.append(asyncio.create_task(_read_partition(caller, partition, start, level, timeout_s)))
            if len(reading) >= PARTITIONS_AHEAD or partition >= partitions:
                if not reading:
                    break
                for identity, entry in await reading.popleft():
                    yield shown_key(identity[len(strip) :]), ValueEntry(identity, entry, entry.state, codec)
    finally:
        for task in reading:
            task.cancel()


async def _read_partition(
    caller: Caller, partition: int, prefix: bytes, level: ConsistencyLevel, timeout_s: float
) -> _Found:
    rows = await caller.scan(partition, prefix, PAGE_ROWS, level, timeout_s)
    entries = [(identity, Entry.from_bytes(encoded)) for identity, encoded in rows]
    return [(identity, entry) for identity, entry in entries if not entry.is_tombstone]
