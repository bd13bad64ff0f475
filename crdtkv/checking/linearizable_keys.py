"""Registers that were only used at `LINEARIZABLE` are linearizable, each key by itself (Herlihy and Wing, 1990)."""

from collections.abc import Iterable, Iterator

from crdtkv.checking.history import KINDS, Operation, by_key
from crdtkv.checking.linearizability import Access, why_not_linearizable
from crdtkv.checking.violation import Violation

LEVEL = "LINEARIZABLE"
_CALLS = KINDS - {"final"}


def check(history: Iterable[Operation]) -> Iterator[Violation]:
    """Check every key that has such operations; each data center counts as a separate register."""
    calls: dict[str, list[Operation]] = {}
    for operation in history:
        if operation.level == LEVEL and operation.kind in _CALLS:
            calls.setdefault(operation.datacenter, []).append(operation)
    for datacenter, operations in sorted(calls.items()):
        for key in by_key(operations):
            if key.type != "register" or any(write.kind != "put" for write in key.possible):
                continue  # after a delete, a read that finds nothing does not show which delete it saw
            if any(write.repeated for write in key.possible):
                continue  # a write took effect twice, which is allowed after a loss
            accesses = [Access("write", write.argument, write.began, write.effect_ended) for write in key.possible]
            accesses += [
                Access("read", next(iter(read.values or ()), None), read.began, read.ended) for read in key.results
            ]
            reason = why_not_linearizable(accesses)
            if reason is not None:
                yield Violation("linearizable", f"{key.name} in {datacenter}: {reason}")
