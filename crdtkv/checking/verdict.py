"""`judge`: everything a history can be accused of.

Each checker has one concern and its file; this is the list of them. A store that has forgotten something it had
acknowledged, because its disks were wiped or set back, cannot keep every promise before it can tell such a replica
from a whole one; `is_forgetful` leaves out those that need every acknowledged write to be there.
"""

from collections.abc import Iterable, Sequence

from crdtkv.checking import counters, dots, last_writers, linearizable_keys, quorums, registers, sessions
from crdtkv.checking.history import Operation, by_key
from crdtkv.checking.violation import Violation


def judge(history: Iterable[Operation], is_forgetful: bool = False) -> list[Violation]:
    """Return all violations, the gravest invariant first."""
    operations: Sequence[Operation] = list(history)
    found: list[Violation] = []
    for key in by_key(operations):
        found += dots.check(key, is_forgetful)
        found += registers.check(key, is_forgetful)
        found += last_writers.check(key)
        found += counters.check(key, is_forgetful)
        if not is_forgetful:
            found += quorums.check(key)
    if not is_forgetful:
        found += sessions.check(operations)
        found += linearizable_keys.check(operations)
    return sorted(found)
