"""The number that an operation has produced, for its client: of a counter, or of a member of a board.

Most operations have no outcome: they write what their client sent.
"""

from crdtkv.crdt.board import Board
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.map import Map, path_of
from crdtkv.crdt.number import Number

_COUNTING = ("increment", "decrement")


def counts(operation: str, arguments: list[object]) -> bool:
    """Return whether an operation, perhaps on a field of a map, has an outcome."""
    return operation in _COUNTING or (operation == "update" and len(arguments) > 1 and arguments[1] in _COUNTING)


def outcome_of(state: CausalState, operation: str, arguments: list[object]) -> Number | None:
    """Return the number after an operation that was carried out on a state, None if there is none."""
    found: CausalState | None = state
    if operation == "update":
        path, operation, *arguments = arguments  # type: ignore[assignment]
        assert isinstance(path, list)
        for field in path_of(path):
            assert isinstance(found, Map)
            found = found.fields.get(field)
            if found is None:
                return None
    if isinstance(found, (Counter, BoundedCounter)):
        return found.value
    if isinstance(found, Board) and operation == "increment":
        score = found.scores.get(arguments[0])  # type: ignore[call-overload]
        return score.value if score is not None and score.is_shown else 0
    return None
