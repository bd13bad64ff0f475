"""Last writer wins: of the writes that a read has seen, it shows the one with the highest timestamp (I1, I8)."""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, Operation, covers
from crdtkv.checking.violation import Violation


def check(key: KeyHistory) -> Iterator[Violation]:
    """Check one key, if it is an lww."""
    if key.type != "lww":
        return
    unknown = [_shown(write) for write in key.possible if write.outcome != "ok"]
    for read in key.results:
        seen = [write for write in key.acknowledged if covers(read.context, write.dot)]
        highest = max((write.timestamp for write in seen), default=0)
        if read.timestamp < highest:
            winner = next(write for write in seen if write.timestamp == highest)
            yield Violation("I1", f"the last writer lost: {winner}, but {read} at {read.timestamp}")
            continue
        allowed = [_shown(write) for write in seen if write.timestamp == read.timestamp] + unknown
        if read.context and read.values not in allowed:
            yield Violation("I1", f"the value is not the last writer's, {allowed}: {read}")


def _shown(write: Operation) -> list[object]:
    return [] if write.kind == "delete" else [write.argument]
