"""Sets: an added element is visible (I1) unless it was removed, and a removed one does not come back (I8).

The operations on an element in a read's context, and the deletes of the key, decide whether the read must show the
element. If two operations were concurrent, the type decides which one wins: the add (`set`), or the remove (`rwset`). A
delete of the whole key never wins against an add that it has not seen.
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, Operation, covers
from crdtkv.checking.registers import was_seen_by_quorum
from crdtkv.checking.violation import Violation


def check(key: KeyHistory, is_forgetful: bool) -> Iterator[Violation]:
    """Check one key, if it is a set; if disks were lost, an operation may have seen anything or nothing."""
    if key.type not in ("set", "rwset"):
        return
    may_be_deleted = any(write.kind == "delete" for write in key.possible)
    adds: dict[object, list[Operation]] = {}
    for write in key.possible:
        if write.kind == "add":
            adds.setdefault(write.argument, []).append(write)
    for read in key.results:
        shown = set(read.values or ())
        for element, its_adds in adds.items():
            against = [
                write
                for write in key.possible
                if (write.kind == "delete" or (write.kind == "remove" and write.argument == element))
                and write.may_be_in(read.context)
            ]
            if element in shown:
                if all(
                    any(_surely_ends(write, add, is_forgetful, may_be_deleted, key.type) for write in against)
                    for add in its_adds
                ):
                    yield Violation("I8", f"{element} was removed after every add, but it is visible: {read}")
                continue
            for add in its_adds:
                is_known = add.outcome == "ok" and covers(read.context, add.dot)
                if is_known and not any(_perhaps_ends(write, add, key.type, is_forgetful) for write in against):
                    yield Violation("I1", f"an added element is missing: {add}, {read}")


def _surely_ends(write: Operation, add: Operation, is_forgetful: bool, may_be_deleted: bool, type_tag: str) -> bool:
    """Return whether an element cannot be a member on replicas that have seen both operations."""
    if write.dot is None or write.outcome != "ok" or add.dot is None:
        return False
    if write.seen is not None and covers(write.seen, add.dot):
        return True
    if type_tag == "rwset" and write.kind == "remove" and write.began >= add.effect_ended:
        # The add cannot have seen the remove. But a delete of the key may have seen the remove, and not the add.
        return not may_be_deleted
    return write.seen is None and not is_forgetful and was_seen_by_quorum(add, write)


def _perhaps_ends(write: Operation, add: Operation, type_tag: str, is_forgetful: bool) -> bool:
    """Return whether an element may be no member because of an operation."""
    if type_tag == "rwset" and write.kind == "remove":
        # The remove wins unless the add has seen it; an add at a quorum has seen what a quorum had.
        return is_forgetful or not was_seen_by_quorum(write, add)
    if write.seen is not None:
        return covers(write.seen, add.dot)
    return not write.is_before(add)
