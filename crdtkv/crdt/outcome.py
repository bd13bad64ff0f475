"""The number that an operation has produced, for its client: of a counter, or of a member of a board.

Most operations have no outcome: they write what their client sent.
"""

from crdtkv.crdt.board import Board
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.map import Map, path_of
from crdtkv.crdt.number import Number
from crdtkv.errors import InvalidRequest

_COUNTING = ("increment", "decrement")


def counts(operation: str, arguments: list[object]) -> bool:
    """Return whether an operation, perhaps on a field of a map, has an outcome."""
    return operation in _COUNTING or (operation == "update" and len(arguments) > 1 and arguments[1] in _COUNTING)


def outcome_of(state: CausalState, operation: str, arguments: list[object]) -> Number | None:
    """Return the number after an operation that was carried out on a state, None if there is none.

    A retry may bring other arguments than the try that was carried out, which nobody has checked.
    """
    found: CausalState | None = state
    if operation == "update":
        path, operation, *arguments = arguments  # type: ignore[assignment]
        if not isinstance(path, list):
            return None
        try:
            fields = path_of(path)
        except InvalidRequest:
            return None
        for field in fields:
            found = found.fields.get(field) if isinstance(found, Map) else None
    if isinstance(found, (Counter, BoundedCounter)):
        return found.value
    member = arguments[0] if arguments else None
    if isinstance(found, Board) and operation == "increment" and isinstance(member, bytes):
        score = found.scores.get(member)
        return score.value if score is not None and score.is_shown else 0
    return None
