"""Counters: acknowledged increments ≤ value ≤ acknowledged and unknown ones (I1), and the mirror for decrements.

More exactly: of the increments in a read's context, all must count that no delete can have reset; increments of unknown
outcome may count or not, or more than once if they were repeated. Increments that were certainly reset must not count
(I8).
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, Operation, covers
from crdtkv.checking.registers import was_seen_by_quorum
from crdtkv.checking.violation import Violation


def check(key: KeyHistory, is_forgetful: bool) -> Iterator[Violation]:
    """Check one key, if it is a counter; if disks were lost, a delete may have reset anything or nothing."""
    if key.type != "counter":
        return
    deletes = [write for write in key.possible if write.kind == "delete"]
    increments = [write for write in key.possible if write.kind == "increment"]
    for read in key.results:
        low = high = 0
        for write in increments:
            least, most = _share(write, read, deletes, is_forgetful)
            low, high = low + least, high + most
        value = (read.values or [0])[0]
        if not deletes and not read.values and any(covers(read.context, write.dot) for write in increments):
            yield Violation("I1", f"{key.name} was counted and never deleted, but shows nothing: {read}")
        if not low <= value <= high:
            yield Violation("I1", f"{key.name} counts {value}, not {low}..{high}: {read}")


def _share(write: Operation, read: Operation, deletes: list[Operation], is_forgetful: bool) -> tuple[int, int]:
    """Return the least and the most that an increment can add to what a read shows."""
    amount = write.argument
    assert isinstance(amount, int)
    most = amount * len(write.repeated or [None])
    perhaps = (min(0, most), max(0, most))
    if write.outcome != "ok" or write.dot is None:
        return perhaps
    if not covers(read.context, write.dot):
        return 0, 0
    seen = [delete for delete in deletes if covers(read.context, delete.dot)]
    if not is_forgetful and any(was_seen_by_quorum(write, delete) for delete in seen):
        return 0, 0
    can_have_met = [delete for delete in deletes if is_forgetful or delete.dot is None or delete in seen]
    return perhaps if any(not delete.is_before(write) for delete in can_have_met) else (amount, amount)
