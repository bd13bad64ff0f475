"""Sessions: read-your-writes and monotonic reads, at any node of any data center (I10)."""

from collections.abc import Iterable, Iterator

from crdtkv.checking.history import WRITES, Context, Dot, Operation, covers, missing
from crdtkv.checking.violation import Violation


def check(history: Iterable[Operation]) -> Iterator[Violation]:
    """Check all operations with a session; those of one session follow each other."""
    sessions: dict[tuple[str, str, str], list[Operation]] = {}
    for operation in history:
        if operation.session and operation.outcome == "ok":
            sessions.setdefault((operation.session, operation.type, operation.key), []).append(operation)
    for operations in sessions.values():
        yield from _check_one(sorted(operations, key=lambda operation: operation.began))


def _check_one(operations: list[Operation]) -> Iterator[Violation]:
    written: list[tuple[Dot, Operation]] = []
    read: list[tuple[Context, Operation]] = []
    for operation in operations:
        if operation.kind in WRITES:
            if operation.dot is not None:
                written.append((operation.dot, operation))
            continue
        context = operation.context or {}
        for dot, write in written:
            if write.is_before(operation) and not covers(context, dot):
                yield Violation("I10", f"a session does not read its own write: {write}, then {operation}")
        for seen, earlier in read:
            if earlier.is_before(operation) and missing(context, seen) is not None:
                yield Violation("I10", f"a session goes back in time: {earlier}, then {operation}")
        read.append((context, operation))
