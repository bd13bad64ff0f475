"""Guarantees after the loss of disks: a write that more replicas had fsynced than disks were lost is not lost.

A disk that was wiped, restored or exchanged loses the writes that only it had. A write that a second replica had
acknowledged must be in the last reads (I1), and a quorum read that overlaps such a write must see it (I10): a replica
that has lost data must not count until it has learned again.
"""

from collections.abc import Iterator
from dataclasses import replace

from crdtkv.checking import quorums
from crdtkv.checking.history import KeyHistory, covers
from crdtkv.checking.violation import Violation


def check(key: KeyHistory, lost_disks: int) -> Iterator[Violation]:
    """Check one key of any type."""
    safe = [write for write in key.acknowledged if write.writes > lost_disks]
    for final in key.finals:
        for write in safe:
            if write.dot is not None and not covers(final.context, write.dot):
                yield Violation("I1", f"{final.datacenter} has lost a write that {write.writes} replicas had: {write}")
    reads = [read for read in key.results if read.reads > lost_disks]
    yield from quorums.check(replace(key, acknowledged=safe, results=reads))
