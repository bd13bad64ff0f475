"""Scanning: all partitions, a few at a time, page by page.

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
from crdtkv.ring.token import partition_of, token_of
from crdtkv.wire.messages import ScanRequest

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
    caller.router.check_loop()
    ring = caller.router.views[0].ring
    assert ring is not None
    samples = _identities_by_partition(ring.partitions)
    reading: deque[asyncio.Task[_Found]] = deque()
    try:
        for partition in range(ring.partitions + PARTITIONS_AHEAD):
            if partition < ring.partitions:
                work = _read_partition(caller, partition, samples[partition], start, level, timeout_s)
                reading.append(asyncio.create_task(work))
            if len(reading) >= PARTITIONS_AHEAD or partition >= ring.partitions:
                if not reading:
                    break
                for identity, entry in await reading.popleft():
                    yield shown_key(identity[len(strip) :]), ValueEntry(identity, entry, entry.state, codec)
    finally:
        for task in reading:
            task.cancel()


async def _read_partition(
    caller: Caller, partition: int, route_by: bytes, prefix: bytes, level: ConsistencyLevel, timeout_s: float
) -> _Found:
    found: _Found = []
    after = b""
    while True:
        request = ScanRequest(0, partition, prefix, after, PAGE_ROWS, level.to_wire(), 0)
        reply = await caller.scan(request, route_by, level, timeout_s)
        for identity, encoded in reply.rows:
            entry = Entry.from_bytes(encoded)
            if not entry.is_tombstone:
                found.append((identity, entry))
        if reply.next_after is None:
            return found
        after = reply.next_after


def _identities_by_partition(partitions: int) -> dict[int, bytes]:
    """Find one made-up identity per partition, so that a partition is routed like a key in it."""
    samples: dict[int, bytes] = {}
    number = 0
    while len(samples) < partitions:
        identity = b"%d" % number
        samples.setdefault(partition_of(token_of(identity), partitions), identity)
        number += 1
    return samples
