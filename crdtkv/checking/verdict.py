"""`judge`: runs all checkers on a history.

Each checker has one concern and its file; this is the list of them. A store whose disks were wiped or restored has lost
the writes that only they had. `lost_disks` is their number: if it is not 0, checkers that require every acknowledged
write are left out; if it is 1, writes that a second replica had are required (`lost_disks`).

Keys of every type are checked against their specification if the operations that nodes made are known. Some types also
have a checker of their own, which needs only the results of clients, but does not support times to live.
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
    """Return all violations, the most severe invariant first.

    `made` are the operations that the nodes made, None if they are not known.
    """
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
