"""Dots and values: no acknowledged write is lost (I1), a dot names one operation (I3), reads invent no value (I5).

Also, the last reads of all data centers are equal (I7, as far as a client can see it).
"""

from collections.abc import Iterator

from crdtkv.checking.history import KeyHistory, Operation, covers
from crdtkv.checking.violation import Violation

#: Types whose readers see each written value separately.
_SHOWING_WHAT_WAS_WRITTEN = frozenset(("register", "lww", "set", "rwset", "gset"))


def check(key: KeyHistory, is_forgetful: bool) -> Iterator[Violation]:
    """Check one key of any type; if disks were lost, losses are allowed."""
    yield from _one_operation_a_dot(key)
    yield from _nothing_invented(key)
    if not is_forgetful:
        yield from _all_are_there(key)
        yield from _all_are_equal(key)


def _all_are_there(key: KeyHistory) -> Iterator[Violation]:
    for final in key.finals:
        for write in key.acknowledged:
            if write.dot is not None and not covers(final.context, write.dot):
                yield Violation("I1", f"{final.datacenter} has lost an acknowledged write: {write}")


def _all_are_equal(key: KeyHistory) -> Iterator[Violation]:
    for final in key.finals[1:]:
        first = key.finals[0]
        # If values expire, by clocks that differ, at least the contexts must be equal.
        if final.context != first.context or (final.values != first.values and not key.is_timed):
            yield Violation(
                "I7",
                f"{key.name} differs: {first.values} {first.context} in {first.datacenter}, "
                f"{final.values} {final.context} in {final.datacenter}",
            )


def _one_operation_a_dot(key: KeyHistory) -> Iterator[Violation]:
    named: dict[tuple[str, int], Operation] = {}
    for write in key.acknowledged:
        if write.dot is not None:
            earlier = named.setdefault(write.dot, write)
            if earlier is not write:
                yield Violation("I3", f"one dot for two operations: {earlier} and {write}")


def _nothing_invented(key: KeyHistory) -> Iterator[Violation]:
    if key.type not in _SHOWING_WHAT_WAS_WRITTEN:
        return
    written: dict[object, Operation] = {}
    for made in key.possible:
        if made.kind != "remove":
            for argument in made.arguments:
                written.setdefault(argument, made)
    refused = {argument for write in key.refused for argument in write.arguments}
    for read in key.results:
        for value in read.values or ():
            write = written.get(value)
            if write is None:
                what = "a value that was refused" if value in refused else "a value that no client wrote"
                yield Violation("I5", f"a read returned {what}: {read}")
            elif read.ended < write.began:
                yield Violation("I5", f"a read returned a value that was written later: {read}, {write}")
