"""`judge`: everything a history can be accused of.

Each checker has one concern and its file; this is the list of them. A store whose disks were wiped or set back has lost
what only they had acknowledged. `lost_disks` says how many: if any, checkers that need every acknowledged write to be
there are left out; if it is one, what a second replica had must be there (`lost_disks`).
"""

from collections.abc import Iterable, Sequence

from crdtkv.checking import counters, dots, last_writers, linearizable_keys, quorums, registers, sessions, sets
from crdtkv.checking import lost_disks as lost
from crdtkv.checking.history import Operation, by_key
from crdtkv.checking.violation import Violation


def judge(history: Iterable[Operation], lost_disks: int = 0) -> list[Violation]:
    """Return all violations, the gravest invariant first."""
    operations: Sequence[Operation] = list(history)
    is_forgetful = lost_disks > 0
    found: list[Violation] = []
    for key in by_key(operations):
        found += dots.check(key, is_forgetful)
        found += registers.check(key, is_forgetful)
        found += last_writers.check(key)
        found += counters.check(key, is_forgetful)
        found += sets.check(key, is_forgetful)
        if not is_forgetful:
            found += quorums.check(key)
        elif lost_disks == 1:
            found += lost.check(key, lost_disks)
    if not is_forgetful:
        found += sessions.check(operations)
        found += linearizable_keys.check(operations)
    return sorted(found)
