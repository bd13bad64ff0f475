"""The remove-wins set: an element that is added here and removed there at the same time is not a member."""

import pytest
from acting import act, delta, everywhere

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("rwset")
X, Y, Z = b"\x01", b"\x02", b"\x03"


def members(entry: Entry) -> list[bytes]:
    assert isinstance(entry.state, RemoveWinsSet)
    return entry.state.members


def test_what_was_never_added_to_is_empty() -> None:
    assert members(EMPTY) == []
    assert EMPTY.is_tombstone
    assert EMPTY.state.newest() == 0


def test_a_remove_wins_against_a_concurrent_add() -> None:
    shared = act(EMPTY, ("a", 1), "add", X, Y)
    removed, again = act(shared, ("a", 3), "remove", X), act(shared, ("b", 1), "add", X)
    assert members(everywhere(removed, again)) == [Y]


def test_a_remove_of_what_is_no_member_wins_against_an_add_still_on_its_way() -> None:
    removed, added = act(EMPTY, ("a", 1), "remove", X), act(EMPTY, ("b", 1), "add", X)
    assert members(everywhere(removed, added)) == []


def test_an_add_that_saw_the_remove_brings_the_element_back() -> None:
    removed = act(act(EMPTY, ("a", 1), "add", X), ("a", 2), "remove", X)
    again = act(removed, ("b", 1), "add", X)
    assert members(everywhere(removed, again)) == [X]


def test_an_add_that_saw_one_of_two_concurrent_removes_does_not_undo_the_other() -> None:
    shared = act(EMPTY, ("a", 1), "add", X)
    one, other = act(shared, ("a", 2), "remove", X), act(shared, ("b", 1), "remove", X)
    again = act(one, ("a", 3), "add", X)
    assert members(everywhere(again, other)) == []
    assert members(act(everywhere(again, other), ("c", 1), "add", X)) == [X]


def test_an_add_with_a_context_takes_back_just_the_removes_its_client_had_read() -> None:
    read = act(EMPTY, ("a", 1), "remove", X)
    held = everywhere(read, act(EMPTY, ("b", 1), "remove", X))
    assert members(act(held, ("c", 1), "add", X, seen=read.context)) == []
    assert members(act(held, ("c", 1), "add", X, seen=held.context)) == [X]
    assert members(act(held, ("c", 1), "add", X)) == [X]


def test_deleting_the_whole_is_no_removal_of_each_element() -> None:
    shared = act(EMPTY, ("a", 1), "add", X, Y)
    deleted, added = act(shared, ("a", 3), "delete"), act(shared, ("b", 1), "add", Y)
    assert members(everywhere(deleted, added)) == [Y]


def test_a_delete_takes_away_the_removes_it_saw_as_well() -> None:
    removed = act(act(EMPTY, ("a", 1), "add", X), ("a", 2), "remove", X)
    assert act(removed, ("a", 3), "delete").state.is_blank
    late = act(EMPTY, ("b", 1), "add", X)
    assert members(everywhere(removed, late)) == []
    assert members(everywhere(act(removed, ("a", 3), "delete"), late)) == [X]


def test_a_delete_with_a_context_spares_what_its_client_had_not_read() -> None:
    added = act(EMPTY, ("a", 1), "add", X)
    assert members(act(added, ("b", 1), "delete", seen=NOTHING)) == [X]
    assert members(act(added, ("b", 1), "delete", seen=added.context)) == []


def test_a_remove_stays_behind_unseen() -> None:
    removed = act(EMPTY, ("a", 1), "remove", X, Y)
    assert removed.is_tombstone
    assert not removed.state.is_blank
    assert repr(removed) == "Entry(rwset() seen {a:2})"
    assert removed.state.to_wire() == [X, ["a", 1, 0], Y, ["a", 2, 0]]


def test_either_supersedes_all_of_the_element_that_it_has_seen() -> None:
    both = everywhere(act(EMPTY, ("a", 1), "add", X), act(EMPTY, ("b", 1), "remove", X))
    assert act(both, ("a", 2), "remove", X).state.to_wire() == [X, ["a", 2, 0]]
    assert act(both, ("a", 2), "add", X).state.to_wire() == [X, ["a", 2, 1]]


def test_removing_one_element_of_a_call_says_nothing_about_the_others() -> None:
    added = act(EMPTY, ("a", 1), "add", X, Y, Z)
    assert members(everywhere(added, delta(added, ("b", 1), "remove", Y))) == [X, Z]


def test_a_remove_that_expires_lets_go_of_the_adds_it_had_not_seen() -> None:
    held = everywhere(act(EMPTY, ("a", 1), "remove", X, expires_at=50), act(EMPTY, ("b", 1), "add", X))
    assert members(held.at(49)) == []
    assert members(held.at(50)) == [X]


def test_what_a_remove_hides_until_it_expires_is_not_over() -> None:
    # If it were taken for a tombstone, it could be forgotten, and the add with it.
    removed = act(EMPTY, ("a", 1), "remove", X, expires_at=50)
    lasting = everywhere(removed, act(EMPTY, ("b", 1), "add", X))
    assert lasting.expires_at is None
    assert everywhere(removed, act(EMPTY, ("b", 1), "add", X, expires_at=90)).expires_at == 90
    assert everywhere(removed, act(EMPTY, ("b", 1), "add", X, expires_at=40)).expires_at == 0


def test_with_very_many_expiries_an_entry_is_over_at_the_latest_after_all() -> None:
    held = EMPTY
    for number in range(1, 60):
        held = act(held, ("a", number), "remove", bytes([0x18, number]), expires_at=1000 + number)
    expires_at = held.expires_at
    assert expires_at is not None
    assert expires_at <= 1059


def test_everything_acts_on_what_is_seen() -> None:
    assert all(RemoveWinsSet.needs_quorum_read(name, []) for name in ("add", "remove", "delete"))


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    assert act(EMPTY, ("a", 1), "add", X).without_older(10, Event(Dot("b", 1), 10)) is None


@pytest.mark.parametrize("operation", ["add", "remove"])
@pytest.mark.parametrize("arguments", [[], ["x"], [1], [X, None], [[X]]], ids=repr)
def test_what_is_no_list_of_elements_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match=f"{operation} takes one or more elements"):
        act(EMPTY, ("a", 1), operation, *arguments)


@pytest.mark.parametrize(("operation", "arguments"), [("put", [X]), ("", []), ("delete", [X])])
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="an rwset knows add"):
        act(EMPTY, ("a", 1), operation, *arguments)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [X],
        [X, []],
        [X, ["a", 1]],
        [X, ["a", 1, 2]],
        [X, ["a", 1, -1]],
        [X, ["a", 1, True]],
        [X, ["a", 1, False]],
        [X, ["a", 1, 1.0]],
        [X, ["a", 1, None]],
        [X, ["a", 0, 1]],
        [X, [1, "a", 1]],
        [X, ["a", 1, 1, "a", 1, 0]],
        [X, ["b", 1, 1, "a", 1, 0]],
        [Y, ["a", 1, 1], X, ["a", 2, 1]],
        ["x", ["a", 1, 1]],
    ],
    ids=repr,
)
def test_a_damaged_state_is_refused(wire: object) -> None:
    with pytest.raises(InvalidRequest):
        RemoveWinsSet.from_wire(wire)
