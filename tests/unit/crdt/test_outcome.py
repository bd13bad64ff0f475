"""The outcome of an operation: the resulting number of a counter or of a member's score, and nothing else."""

from typing import Any

import pytest

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.crdt.outcome import counts, outcome_of

ACTOR = "eu-1.00000000000000aa"


def told(type_tag: str, *operations: tuple[Any, ...]) -> Any:
    """Return what the last of some operations tells."""
    entry = Entry.empty(type_tag)
    for number, (operation, *arguments) in enumerate(operations, 1):
        entry = entry.merge(entry.delta(operation, arguments, Event(Dot(ACTOR, number), number)))
    operation, *arguments = operations[-1]
    return outcome_of(entry.state, operation, list(arguments)) if counts(operation, list(arguments)) else None


@pytest.mark.parametrize(
    ("type_tag", "operations", "outcome"),
    [
        ("counter", [("increment", 3), ("increment", -5)], -2),
        ("counter", [("increment", MAX_WHOLE)], MAX_WHOLE),
        ("counter", [("increment", 3), ("delete",), ("increment", 4)], 4),
        ("bcounter", [("increment", 10), ("decrement", 4)], 6),
        ("board", [("increment", b"a", 2), ("increment", b"b", 5), ("increment", b"a", 0.5)], 2.5),
        ("board", [("set", b"a", 10), ("increment", b"a", 1)], 11),
        ("map", [("update", ["counter", b"n"], "increment", 2), ("update", ["counter", b"n"], "increment", 5)], 7),
        ("map", [("update", ["map", b"m", "counter", b"n"], "increment", 2)], 2),
        ("map", [("update", ["board", b"m"], "increment", b"a", 2)], 2),
        ("counter", [("increment", 3), ("delete",)], None),
        ("board", [("set", b"a", 10)], None),
        ("register", [("put", b"x")], None),
        ("map", [("update", ["register", b"n"], "put", b"x")], None),
    ],
    ids=repr,
)
def test_increments_and_decrements_tell_the_number_they_made(type_tag: str, operations: Any, outcome: Any) -> None:
    found = told(type_tag, *operations)
    assert found == outcome
    assert type(found) is type(outcome)
