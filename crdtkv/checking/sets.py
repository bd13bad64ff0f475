"""Sets: what was added is there (I1) unless it was removed, and what was removed stays away (I8).

Every element is added at most once, so of the operations that a read's context names exactly those on the element say
what it must show. Where two operations were concurrent, the type says which one wins: the add (`set`), or the remove
(`rwset`). A delete of the whole key never wins against an add that it has not seen.
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, Operation, covers
from crdtkv.checking.registers import was_seen_by_quorum
from crdtkv.checking.violation import Violation


def check(key: KeyHistory, is_forgetful: bool) -> Iterator[Violation]:
    """Check one key, if it is a set; of a forgetful store, an operation may have seen anything or nothing."""
    if key.type not in ("set", "rwset"):
        return
    adds = [write for write in key.possible if write.kind == "add"]
    for read in key.results:
        shown = set(read.values or ())
        deletes = [write for write in key.possible if write.kind == "delete"]
        for add in adds:
            if add.outcome != "ok" or not covers(read.context, add.dot):
                continue
            against = [
                write
                for write in key.possible
                if (write.kind == "delete" or (write.kind == "remove" and write.argument == add.argument))
                and (write.dot is None or covers(read.context, write.dot))
            ]
            if add.argument in shown:
                for write in against:
                    if _surely_ends(write, add, is_forgetful, bool(deletes), key.type):
                        yield Violation("I8", f"{add.argument} was removed by {write}, but it is there: {read}")
            elif not any(_perhaps_ends(write, add, key.type, is_forgetful) for write in against):
                yield Violation("I1", f"what was added is not there: {add}, {read}")


def _surely_ends(write: Operation, add: Operation, is_forgetful: bool, may_be_deleted: bool, type_tag: str) -> bool:
    """Tell whether an element cannot be a member where both operations are known."""
    if write.dot is None or write.outcome != "ok":
        return False
    if write.seen is not None and covers(write.seen, add.dot):
        return True
    if type_tag == "rwset" and write.kind == "remove" and write.began >= add.effect_ended:
        # The add cannot have seen it. But a delete of the key may have seen the remove, and not the add.
        return not may_be_deleted
    return write.seen is None and not is_forgetful and was_seen_by_quorum(add, write)


def _perhaps_ends(write: Operation, add: Operation, type_tag: str, is_forgetful: bool) -> bool:
    """Tell whether an element may be no member because of an operation."""
    if type_tag == "rwset" and write.kind == "remove":
        # It wins unless the add has seen it; an add at a quorum has seen what a quorum had.
        return is_forgetful or not was_seen_by_quorum(write, add)
    if write.seen is not None:
        return covers(write.seen, add.dot)
    return not write.is_before(add)
