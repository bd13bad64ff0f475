"""Quorums that overlap: with R + W > N a read sees every write that was acknowledged before it began (I10).

Two reads whose replicas overlap do not go back in time, because a quorum read returns only when as many replicas as it
asks hold the result. Both hold within one data center, whichever nodes and clients are involved, and together they give
read-your-writes and monotonic reads to clients that use only such levels. They hold between data centers, too, if one
of the two levels counts in each of them. A scan sees as much as a read does, but repairs nothing: a later read need not
see what a scan has shown.
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, covers, missing
from crdtkv.checking.levels import EVERYWHERE
from crdtkv.checking.violation import Violation


def check(key: KeyHistory) -> Iterator[Violation]:
    """Check one key of any type."""
    for read in key.results:
        for write in key.acknowledged:
            if (
                (write.datacenter == read.datacenter or write.level in EVERYWHERE or read.level in EVERYWHERE)
                and write.dot is not None
                and write.is_before(read)
                and write.writes + read.reads > read.replicas
                and not covers(read.context, write.dot)
            ):
                yield Violation("I10", f"a quorum read misses {write}: {read} {read.context}")
        for earlier in key.results:
            if (
                earlier.kind != "scan"
                and (earlier.datacenter == read.datacenter or read.level in EVERYWHERE)
                and earlier.is_before(read)
                and earlier.reads + read.reads > read.replicas
            ):
                lost = missing(read.context or {}, earlier.context or {})
                if lost is not None:
                    yield Violation("I10", f"reads go back in time, {lost} is missing: {earlier}, then {read}")
