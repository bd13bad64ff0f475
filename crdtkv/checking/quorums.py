"""Quorums that overlap: R + W > N makes a read see every write that was acknowledged before it began (I10).

And two reads of which the replicas overlap do not go back in time, because a quorum read answers only when as many
replicas as it asks hold what it returns. Both hold within one data center, whichever nodes and clients are involved,
and together they are read-your-writes and monotonic reads for anyone who stays at such levels. A scan sees as much as a
read does, but repairs nothing: what it has shown, a later read need not show.
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, covers, missing
from crdtkv.checking.violation import Violation


def check(key: KeyHistory) -> Iterator[Violation]:
    """Check one key of any type."""
    for read in key.results:
        for write in key.acknowledged:
            if (
                write.datacenter == read.datacenter
                and write.dot is not None
                and write.is_before(read)
                and write.writes + read.reads > read.replicas
                and not covers(read.context, write.dot)
            ):
                yield Violation("I10", f"a quorum read misses {write}: {read} {read.context}")
        for earlier in key.results:
            if (
                earlier.kind != "scan"
                and earlier.datacenter == read.datacenter
                and earlier.is_before(read)
                and earlier.reads + read.reads > read.replicas
            ):
                lost = missing(read.context or {}, earlier.context or {})
                if lost is not None:
                    yield Violation("I10", f"reads go back in time, {lost} is missing: {earlier}, then {read}")
