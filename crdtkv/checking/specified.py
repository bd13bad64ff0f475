"""Every type: a read shows what the specification computes from the operations in its context.

The simulator records the operations that nodes made, so operations of unknown outcome are like any others. That allows
three checks of any type: the client received what was made (I3); a read contains no dot that no node made (I5); and it
shows exactly what `specification` computes from its dots at the time of the read, which is known as an interval
(`value`). `dots` and `quorums` check that acknowledged dots are in the contexts.

In addition, an operation that removes or replaces values has seen all that quorums had acknowledged before (I8).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from crdtkv.checking.history import Dot, KeyHistory, Operation, dots_of
from crdtkv.checking.registers import was_seen_by_quorum
from crdtkv.checking.specification.operation import Operation as Made
from crdtkv.checking.specification.types import SPECIFICATIONS
from crdtkv.checking.specification.view import Everything, View
from crdtkv.checking.violation import Violation

#: Operations that read a quorum first, at levels that have one.
_REMOVING = frozenset(("delete", "remove", "disable"))


def check(key: KeyHistory, made: Mapping[Dot, Made], is_forgetful: bool) -> Iterator[Violation]:
    """Check one key of any type; `made` are its operations."""
    yield from _is_as_told(key, made)
    if not is_forgetful:
        yield from _has_met_enough(key, made)
    specification = SPECIFICATIONS[key.type]
    everything = specification.everything(made)
    shown: dict[frozenset[Dot], list[Any]] = {}
    for read in key.results:
        dots = dots_of(read.context)
        unknown = sorted(dots.difference(made))
        if unknown:
            yield Violation("I5", f"no node made {unknown[0]}: {read} {read.context}")
            continue
        if not everything.is_timed:
            if dots not in shown:
                shown[dots] = specification.values(View(everything, dots))
            if read.values != shown[dots]:
                yield Violation("value", f"it should be {shown[dots]}: {read} {read.context}")
            continue
        right: list[list[Any]] = []
        for now in _moments(read, everything):
            values = specification.values(View(everything, dots, now))
            right += [values] if values not in right else []
        if read.values not in right:
            yield Violation("value", f"it should be one of {right}: {read} {read.context}")


def _moments(read: Operation, everything: Everything) -> list[int]:
    """Return the hybrid times at which a read may have been answered, one for each expiry in the interval."""
    expiries = {one.expires_at for one in everything.operations.values() if one.expires_at is not None}
    return [read.earliest, *sorted(at for at in expiries if read.earliest < at <= read.latest)]


def _is_as_told(key: KeyHistory, made: Mapping[Dot, Made]) -> Iterator[Violation]:
    for write in key.acknowledged:
        if write.dot is None:
            continue
        one = made.get(write.dot)
        if one is None or (one.name, one.arguments, one.timestamp) != (write.kind, write.arguments, write.timestamp):
            yield Violation("I3", f"a client received {write}, but it is {one}")


def _has_met_enough(key: KeyHistory, made: Mapping[Dot, Made]) -> Iterator[Violation]:
    for by in key.acknowledged:
        one = made.get(by.dot) if by.dot is not None else None
        if one is None or by.seen is not None or not _removes(by):
            continue
        for write in key.acknowledged:
            if write.dot is not None and was_seen_by_quorum(write, by) and write.dot not in one.held:
                yield Violation("I8", f"{by} has not seen a write that a quorum had: {write}")


def _removes(write: Operation) -> bool:
    name = write.arguments[1] if write.kind == "update" else write.kind
    return name in _REMOVING
