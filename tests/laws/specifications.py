"""What each type means, said once more without its data structures: a value is a function of a set of operations.

An operation is told with what it had *seen* when it happened. A type is added to the laws by a class with `calls`,
the operations to try, and a line in `SPECIFICATIONS`; the laws themselves know no type.
"""

from typing import Any, NamedTuple

from crdtkv.causality.dot import Dot
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.register import Register

SUPERSEDE = "supersede"


class Operation(NamedTuple):
    """One operation. `seen` is the set of operations it acted on: what its client had read, or its coordinator held.

    `supersede` is a replica's own: it drops what is older than `timestamp` among what it has seen.
    """

    dot: Dot
    timestamp: int
    name: str
    arguments: tuple[Any, ...]
    seen: frozenset[Dot]


Call = tuple[str, tuple[Any, ...]]
PUTS_AND_DELETES: tuple[Call, ...] = (("put", (b"\x01",)), ("put", (b"\x61x",)), ("delete", ()))


class RegisterSpecification:
    """The puts that no operation which had seen them replaced, the latest first."""

    calls = PUTS_AND_DELETES
    takes_context = True

    def expected(self, operations: list[Operation]) -> tuple[bool, object]:
        """Return whether nothing is left, and what is left."""
        puts = [one for one in operations if one.name == "put"]
        left = [put for put in puts if not any(_replaces(other, put) for other in operations)]
        latest_first = sorted(left, key=lambda put: (put.timestamp, put.dot), reverse=True)
        return not left, [(put.dot, put.timestamp, put.arguments[0]) for put in latest_first]

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, [tuple(version) for version in state.siblings()]


def _replaces(other: Operation, put: Operation) -> bool:
    if put.dot not in other.seen:
        return False
    return other.timestamp > put.timestamp if other.name == SUPERSEDE else True


class LastWriterWinsSpecification:
    """The operation with the highest (timestamp, dot)."""

    calls = PUTS_AND_DELETES
    takes_context = False

    def expected(self, operations: list[Operation]) -> tuple[bool, object]:
        """Return whether the last writer deleted, and its write."""
        if not operations:
            return True, None
        last = max(operations, key=lambda one: (one.timestamp, one.dot))
        value = last.arguments[0] if last.name == "put" else None
        return value is None, (last.timestamp, last.dot, value)

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, None if state.winner is None else tuple(state.winner)


class CounterSpecification:
    """The sum of the increments that no delete had seen."""

    calls: tuple[Call, ...] = (("increment", (1,)), ("increment", (-3,)), ("increment", (0,)), ("delete", ()))
    takes_context = False

    def expected(self, operations: list[Operation]) -> tuple[bool, object]:
        """Return whether no increment is left, and the sum of those that are."""
        deletes = [one for one in operations if one.name == "delete"]
        increments = [one for one in operations if one.name == "increment"]
        left = [one for one in increments if not any(one.dot in delete.seen for delete in deletes)]
        return not left, sum(one.arguments[0] for one in left)

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, state.value


SPECIFICATIONS: dict[str, Any] = {
    Register.type_tag: RegisterSpecification(),
    LastWriterWins.type_tag: LastWriterWinsSpecification(),
    Counter.type_tag: CounterSpecification(),
}
