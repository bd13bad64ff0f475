"""Registers: concurrent writes stay as siblings (I1), replaced or deleted values do not come back (I8).

If a read's context contains a write, the read shows its value, unless another operation may have replaced it:

- a write with a context replaces the versions in that context, and nothing else;
- a blind write replaces the versions that its coordinator held, which can be any that did not begin after its end, and
  on other replicas those with a lower timestamp;
- a blind delete also replaces all versions that the quorum it reads first has seen.

Conversely: if a read's context contains a write that certainly replaced another, the read does not show the other.
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, Operation, covers
from crdtkv.checking.violation import Violation


def check(key: KeyHistory, is_forgetful: bool) -> Iterator[Violation]:
    """Check one key, if it is a register; if disks were lost, a quorum may not have seen what it should."""
    if key.type != "register":
        return
    gone = {
        id(write): [by for by in key.acknowledged if surely_replaced(write, by, is_forgetful)]
        for write in key.acknowledged
    }
    yield from _out_of_order(key)
    if not is_forgetful:
        yield from _not_superseded(key)
    for read in key.results:
        for write in key.acknowledged:
            if write.kind != "put" or not covers(read.context, write.dot):
                continue
            if write.argument in (read.values or ()):
                for by in gone[id(write)]:
                    if covers(read.context, by.dot):
                        yield Violation("I8", f"{by} replaced {write}, but it came back: {read}")
            elif not any(perhaps_replaced(write, by) and by.may_be_in(read.context) for by in key.possible):
                yield Violation("I1", f"nothing can have replaced {write}, but it is gone: {read}")


def _out_of_order(key: KeyHistory) -> Iterator[Violation]:
    """Find reads whose siblings are not in the order of their timestamps, the winner first."""
    timestamps = {write.argument: write.timestamp for write in key.acknowledged if write.kind == "put"}
    for read in key.results:
        known = [timestamps[value] for value in read.values or () if value in timestamps]
        if known != sorted(known, reverse=True):
            yield Violation("I1", f"siblings are not in the order of their timestamps: {read}")


def _not_superseded(key: KeyHistory) -> Iterator[Violation]:
    """Find versions that a blind put should have superseded: it met them on a replica, with a higher timestamp."""
    puts = [write for write in key.acknowledged if write.kind == "put"]
    for by in puts:
        if by.seen is not None:
            continue
        met = [
            write.argument
            for write in puts
            if write.datacenter == by.datacenter
            and write.is_before(by)
            and write.timestamp < by.timestamp
            and write.writes + by.writes > by.replicas
        ]
        for read in key.results:
            reads_all = read.kind == "final" or (read.datacenter == by.datacenter and read.reads == read.replicas)
            if met and reads_all and by.is_before(read) and not set(met).isdisjoint(read.values or ()):
                yield Violation("I8", f"a blind put supersedes the versions it met, but one is visible: {by}, {read}")


def perhaps_replaced(write: Operation, by: Operation) -> bool:
    """Return whether `by` may have replaced `write`."""
    if by is write:
        return False
    if by.seen is not None:
        return covers(by.seen, write.dot)
    return not by.is_before(write) or by.timestamp > write.timestamp


def surely_replaced(write: Operation, by: Operation, is_forgetful: bool = False) -> bool:
    """Return whether `by` has replaced `write` on all replicas that have seen both."""
    if by is write or write.dot is None or by.dot is None:
        return False
    if by.seen is not None:
        return covers(by.seen, write.dot)
    return by.kind == "delete" and not is_forgetful and was_seen_by_quorum(write, by)


def was_seen_by_quorum(write: Operation, by: Operation) -> bool:
    """Return whether the replicas that `by` read first overlap those that have `write`."""
    return (
        write.datacenter == by.datacenter
        and write.outcome == "ok"
        and write.is_before(by)
        and write.writes + by.reads > by.replicas
    )
