"""The bounded counter: owners of rights, and that no two nodes use the same right."""

import pytest
from acting import act, everywhere

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InsufficientRights, InvalidRequest
from crdtkv.ids import actor_name

EMPTY = Entry.empty("bcounter")
A, B, C = actor_name("eu-1", 0xAA), actor_name("us-1", 0xBB), actor_name("us-2", 0xCC)


def value(entry: Entry) -> int:
    assert isinstance(entry.state, BoundedCounter)
    return entry.state.value


def rights(entry: Entry, *actors: str) -> list[int]:
    assert isinstance(entry.state, BoundedCounter)
    return [entry.state.rights_of(actor) for actor in actors]


def test_what_was_never_counted_is_zero_and_nobody_has_rights() -> None:
    assert value(EMPTY) == 0
    assert rights(EMPTY, A) == [0]
    assert EMPTY.is_tombstone
    assert EMPTY.state.newest() == 0


def test_an_increment_gives_rights_to_the_node_that_made_it() -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    assert value(held) == 10
    assert rights(held, A, B) == [10, 0]
    assert repr(held.state) == "bcounter(10)"


def test_a_decrement_uses_up_rights_of_the_node_that_makes_it() -> None:
    held = act(act(EMPTY, (A, 1), "increment", 10), (A, 2), "decrement", 4)
    assert value(held) == 6
    assert rights(held, A) == [6]
    assert value(act(held, (A, 3), "decrement", 6)) == 0


def test_without_enough_rights_a_decrement_is_refused_with_the_figures() -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    with pytest.raises(InsufficientRights) as refused:
        act(held, (B, 1), "decrement", 3)
    assert refused.value.fields == (3, 0, 10)
    with pytest.raises(InsufficientRights) as refused:
        act(held, (A, 2), "decrement", 11)
    assert refused.value.fields == (11, 10, 10)


def test_concurrent_decrements_never_go_below_zero() -> None:
    shared = act(act(EMPTY, (A, 1), "increment", 10), (A, 2), "transfer", 4, B)
    here, there = act(shared, (A, 3), "decrement", 6), act(shared, (B, 1), "decrement", 4)
    assert value(everywhere(here, there)) == 0
    for entry, actor, counter in ((here, A, 4), (there, B, 2)):
        with pytest.raises(InsufficientRights):
            act(entry, (actor, counter), "decrement", 1)


def test_rights_that_are_given_away_are_those_of_the_other_node() -> None:
    held = act(act(EMPTY, (A, 1), "increment", 10), (A, 2), "transfer", 4, B)
    assert value(held) == 10
    assert rights(held, A, B, C) == [6, 4, 0]
    further = act(held, (B, 1), "transfer", 3, C)
    assert rights(everywhere(held, further), A, B, C) == [6, 1, 3]
    with pytest.raises(InsufficientRights):
        act(further, (B, 2), "transfer", 2, C)


def test_rights_that_are_given_twice_add_up() -> None:
    held = act(act(EMPTY, (A, 1), "increment", 10), (A, 2), "transfer", 4, B)
    assert rights(act(held, (A, 3), "transfer", 1, B), A, B) == [5, 5]


def test_holders_are_those_who_may_decrement_also_if_they_never_wrote() -> None:
    held = act(act(act(EMPTY, (A, 1), "increment", 4), (A, 2), "transfer", 4, C), (B, 1), "increment", 1)
    assert isinstance(held.state, BoundedCounter)
    assert held.state.holders() == [B, C]


def test_a_node_can_give_what_it_has_as_far_as_its_share_can_tell_it() -> None:
    full = act(act(EMPTY, (A, 1), "increment", MAX_WHOLE), (A, 2), "transfer", MAX_WHOLE - 2, B)
    returned = act(full, (B, 1), "transfer", MAX_WHOLE - 2, A)
    assert isinstance(returned.state, BoundedCounter)
    assert rights(returned, A) == [MAX_WHOLE]
    assert returned.state.givable(A, B + "-1") == 2
    assert returned.state.givable(A, C) == MAX_WHOLE
    assert returned.state.givable(C, A) == 0
    act(returned, (A, 3), "transfer", 2, B)


def test_a_node_that_was_renamed_keeps_its_rights() -> None:
    held = act(act(EMPTY, (A, 1), "increment", 10), (B, 1), "increment", 2)
    renamed = act(held, (A + "-1", 1), "decrement", 7)
    assert rights(everywhere(held, renamed), A, A + "-1", A + "-5", B) == [3, 3, 3, 2]
    given = act(renamed, (B, 2), "transfer", 2, A + "-1")
    assert rights(given, A, B) == [5, 0]


def test_of_two_copies_of_a_share_the_one_under_the_later_name_is_right() -> None:
    old = act(EMPTY, (A, 9), "increment", 10)
    new = act(old, (A + "-2", 1), "decrement", 4)
    newer = act(new, (A + "-10", 1), "decrement", 1)
    assert value(everywhere(old, new)) == 6
    assert value(everywhere(newer, new, old)) == 5


def test_another_incarnation_has_no_rights_of_the_one_that_was_lost() -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    with pytest.raises(InsufficientRights):
        act(held, (actor_name("eu-1", 0xAB), 1), "decrement", 1)


def test_a_counter_that_was_counted_down_to_zero_is_there() -> None:
    assert not act(act(EMPTY, (A, 1), "increment", 1), (A, 2), "decrement", 1).is_tombstone


def test_a_counter_cannot_be_deleted() -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    with pytest.raises(InvalidRequest, match="a bcounter cannot be deleted"):
        act(held, (A, 2), "delete")


def test_rights_do_not_expire() -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    assert held.state.without(frozenset([Dot(A, 1)])) is held.state
    assert held.without_older(10, Event(Dot(B, 1), 10)) is None


def test_nothing_acts_on_what_is_seen() -> None:
    assert not any(BoundedCounter.needs_quorum_read(name, []) for name in BoundedCounter.operations)


def test_a_node_holds_63_bits_and_refuses_more() -> None:
    full = act(EMPTY, (A, 1), "increment", MAX_WHOLE)
    with pytest.raises(InvalidRequest, match="at most"):
        act(full, (A, 2), "increment", 1)
    assert value(act(full, (B, 1), "increment", MAX_WHOLE)) == 2 * MAX_WHOLE
    assert value(Entry.from_peer(full.to_bytes(), "bcounter")) == MAX_WHOLE


@pytest.mark.parametrize("operation", ["increment", "decrement"])
@pytest.mark.parametrize("amount", [0, -1, 2**63, 1.0, True, None, "1", b"\x01", [1]], ids=repr)
def test_an_amount_that_is_no_positive_whole_number_is_refused(operation: str, amount: object) -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    with pytest.raises(InvalidRequest, match="a whole number from 1"):
        act(held, (A, 2), operation, amount)
    with pytest.raises(InvalidRequest, match="a whole number from 1"):
        act(held, (A, 2), "transfer", amount, B)


@pytest.mark.parametrize("to", [A, A + "-3"])
def test_nobody_gives_rights_to_itself(to: str) -> None:
    held = act(EMPTY, (A, 1), "increment", 10)
    with pytest.raises(InvalidRequest, match="to another node"):
        act(held, (A, 2), "transfer", 1, to)


@pytest.mark.parametrize(
    "to", ["", "-2", "us-1", "us-1.", ".00000000000000bb", "us-1.bb", B + "-", B + "-x", "x" * 200]
)
def test_rights_are_given_to_nobody_who_cannot_exist(to: str) -> None:
    # Nobody could use them; and no replica could read an empty name back.
    held = act(EMPTY, (A, 1), "increment", 10)
    with pytest.raises(InvalidRequest, match="is no node's incarnation"):
        act(held, (A, 2), "transfer", 1, to)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [("set", [1]), ("", []), ("increment", []), ("increment", [1, 2]), ("transfer", [1]), ("transfer", [B, 1])],
)
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="a bcounter knows"):
        act(EMPTY, (A, 1), operation, *arguments)


def test_a_context_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="take no context"):
        act(EMPTY, (A, 1), "increment", 1, seen=NOTHING)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [A, 1, 10, 0],
        [A, 0, 10, 0, []],
        [A, True, 10, 0, []],
        [A, 1, -1, 0, []],
        [A, 1, 10, -1, []],
        [A, 1, 2**63, 0, []],
        [A, 1, 10.0, 0, []],
        [A, 1, True, 0, []],
        [1, 1, 10, 0, []],
        ["", 1, 10, 0, []],
        [B, 1, 10, 0, [], A, 1, 10, 0, []],
        [A, 1, 10, 0, [], A + "-1", 1, 10, 0, []],
        [A, 1, 10, 0, None],
        [A, 1, 10, 0, [B]],
        [A, 1, 10, 0, [B, 0]],
        [A, 1, 10, 0, [B, 2**63]],
        [A, 1, 10, 0, [B, True]],
        [A, 1, 10, 0, [1, B]],
        [A, 1, 10, 0, [C, 1, B, 1]],
        [A, 1, 10, 0, [B, 1, B, 1]],
    ],
    ids=lambda wire: f"{wire!r:.80}",
)
def test_a_damaged_state_is_refused(wire: object) -> None:
    with pytest.raises(InvalidRequest):
        BoundedCounter.from_wire(wire)
