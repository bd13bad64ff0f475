"""`judge`: everything a history can be accused of.

Each checker has one concern and its file; this is the list of them. A store whose disks were wiped or set back has lost
what only they had acknowledged. `lost_disks` says how many: if any, checkers that need every acknowledged write to be
there are left out; if it is one, what a second replica had must be there (`lost_disks`).

Keys of every type are judged by their specification where it is known what the nodes made. Some types have a judge of
their own besides, who needs nothing but what clients were told, but does not know of times to live.
"""

from collections.abc import Iterable, Mapping, Sequence

from crdtkv.checking import (
    counters,
    dots,
    last_writers,
    linearizable_keys,
    quorums,
    registers,
    rights,
    sessions,
    sets,
    specified,
)
from crdtkv.checking import lost_disks as lost
from crdtkv.checking.history import Dot, KeyHistory, Operation, by_key
from crdtkv.checking.specification.operation import Operation as Made
from crdtkv.checking.violation import Violation

#: By type and name of a key: the operations that the nodes made, by their dots.
AllMade = Mapping[tuple[str, str], Mapping[Dot, Made]]


def judge(history: Iterable[Operation], lost_disks: int = 0, made: AllMade | None = None) -> list[Violation]:
    """Return all violations, the gravest invariant first; `made` is what the nodes made, None if that is not known."""
    operations: Sequence[Operation] = list(history)
    is_forgetful = lost_disks > 0
    found: list[Violation] = []
    for key in by_key(operations):
        found += dots.check(key, is_forgetful)
        found += _by_type(key, is_forgetful)
        if made is not None:
            here = made.get((key.type, key.key), {})
            found += specified.check(key, here, is_forgetful)
            found += rights.check(key, here)
        if not is_forgetful:
            found += quorums.check(key)
        elif lost_disks == 1:
            found += lost.check(key, lost_disks)
    if not is_forgetful:
        found += sessions.check(operations)
        found += linearizable_keys.check(operations)
    return sorted(found)


def _by_type(key: KeyHistory, is_forgetful: bool) -> list[Violation]:
    if key.is_timed:
        return []
    return [
        *registers.check(key, is_forgetful),
        *last_writers.check(key),
        *counters.check(key, is_forgetful),
        *sets.check(key, is_forgetful),
    ]
