"""The add-wins set and the grow-only set: results of concurrent adds, removes and deletes, and refused operations."""

import pytest
from acting import act, delta, everywhere

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.sets import AddWinsSet, GrowOnlySet
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("set")
X, Y, Z = b"\x01", b"\x02", b"\x03"
DAMAGED: list[object] = [
    None,
    7,
    {},
    [X],
    [X, []],
    [X, None],
    [X, ["a", 1], Y],
    ["x", ["a", 1]],
    [1, ["a", 1]],
    [Y, ["a", 1], X, ["a", 2]],
    [X, ["a", 1], X, ["a", 2]],
    [X, ["a"]],
    [X, ["a", 0]],
    [X, ["a", -1]],
    [X, ["a", 2**63]],
    [X, ["a", True]],
    [X, ["a", 1.0]],
    [X, [b"a", 1]],
    [X, ["a", 2, "a", 1]],
    [X, ["a", 1, "a", 1]],
]


def members(entry: Entry) -> list[bytes]:
    assert isinstance(entry.state, AddWinsSet)
    return entry.state.members


def test_what_was_never_added_to_is_empty() -> None:
    assert members(EMPTY) == []
    assert EMPTY.is_tombstone
    assert EMPTY.state.newest() == 0


def test_concurrent_adds_are_all_members() -> None:
    assert members(everywhere(act(EMPTY, ("a", 1), "add", X, Z), act(EMPTY, ("b", 1), "add", Y, Z))) == [X, Y, Z]


def test_a_remove_takes_away_what_its_coordinator_holds() -> None:
    added = act(EMPTY, ("a", 1), "add", X, Y)
    removed = act(added, ("b", 1), "remove", X)
    assert members(everywhere(added, removed)) == [Y]


def test_an_add_survives_a_concurrent_remove_of_the_same_element() -> None:
    shared = act(EMPTY, ("a", 1), "add", X)
    removed, again = act(shared, ("a", 2), "remove", X), act(shared, ("b", 1), "add", X)
    assert members(everywhere(removed, again)) == [X]


def test_a_remove_with_a_context_spares_what_its_client_had_not_read() -> None:
    read = act(EMPTY, ("a", 1), "add", X, Y)
    held = everywhere(read, act(EMPTY, ("b", 1), "add", X))
    assert members(act(held, ("c", 1), "remove", X, Y, seen=read.context)) == [X]
    assert members(act(held, ("c", 1), "remove", X, Y)) == []


def test_removing_one_element_of_a_call_says_nothing_about_the_others() -> None:
    added = act(EMPTY, ("a", 1), "add", X, Y, Z)
    assert list(added.context.dots()) == [Dot("a", 1), Dot("a", 2), Dot("a", 3)]
    removal = delta(added, ("b", 1), "remove", Y)
    assert members(everywhere(added, removal)) == [X, Z]


def test_an_element_named_twice_in_one_call_is_added_once() -> None:
    added = act(EMPTY, ("a", 1), "add", X, Y, X)
    assert members(added) == [X, Y]
    assert added.context.highest("a") == 2


def test_an_element_that_is_added_again_stands_under_its_last_dot_alone() -> None:
    again = act(act(EMPTY, ("a", 1), "add", X), ("a", 2), "add", X)
    assert again.state.to_wire() == [X, ["a", 2]]


def test_removing_what_is_no_member_changes_nothing_that_is_seen() -> None:
    added = act(EMPTY, ("a", 1), "add", X)
    assert members(act(added, ("b", 1), "remove", Y)) == [X]
    assert act(EMPTY, ("b", 1), "remove", Y).is_tombstone


def test_a_remove_leaves_nothing_of_the_element_behind() -> None:
    removed = act(act(EMPTY, ("a", 1), "add", X), ("a", 2), "remove", X)
    assert removed.state.is_blank
    assert removed.is_tombstone
    assert repr(removed) == "Entry(set() seen {a:2})"


def test_an_old_copy_brings_nothing_back() -> None:
    before = act(EMPTY, ("a", 1), "add", X, Y)
    assert members(everywhere(before, act(before, ("b", 1), "remove", X))) == [Y]
    assert members(everywhere(before, act(before, ("b", 1), "delete"))) == []


def test_a_concurrent_add_survives_a_delete_of_the_whole() -> None:
    shared = act(EMPTY, ("a", 1), "add", X, Y)
    deleted, added = act(shared, ("a", 3), "delete"), act(shared, ("b", 1), "add", Y)
    assert members(everywhere(deleted, added)) == [Y]


def test_a_delete_with_a_context_takes_away_just_what_its_client_had_read() -> None:
    read = act(EMPTY, ("a", 1), "add", X)
    held = act(read, ("b", 1), "add", Y)
    assert members(act(held, ("c", 1), "delete", seen=read.context)) == [Y]


def test_a_delta_holds_the_elements_of_the_call_alone() -> None:
    held = act(EMPTY, ("a", 1), "add", *(bytes([0x18, 0x18 + number]) for number in range(100)))
    added = delta(held, ("b", 1), "add", X)
    assert repr(added) == "Entry(set(01) seen {b:1})"
    assert repr(delta(held, ("b", 1), "remove", Y)) == "Entry(set() seen {b:1})"


def test_some_elements_expire_and_the_others_stay() -> None:
    held = act(act(EMPTY, ("a", 1), "add", X, Y, expires_at=50), ("a", 3), "add", Y, Z)
    assert members(held.at(49)) == [X, Y, Z]
    assert members(held.at(50)) == [Y, Z]
    assert held.expires_at is None


def test_members_are_shown_sorted_by_their_encoding() -> None:
    assert repr(act(EMPTY, ("a", 1), "add", Z, X).state) == "set(01, 03)"


def test_all_but_adding_acts_on_what_is_seen() -> None:
    assert [AddWinsSet.needs_quorum_read(name, []) for name in ("add", "remove", "delete")] == [False, True, True]


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    assert act(EMPTY, ("a", 1), "add", X).without_older(10, Event(Dot("b", 1), 10)) is None


@pytest.mark.parametrize("operation", ["add", "remove"])
@pytest.mark.parametrize("arguments", [[], ["x"], [1], [None], [X, "x"], [[X]], [bytearray(X)]], ids=repr)
def test_what_is_no_list_of_elements_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match=f"{operation} takes one or more elements"):
        act(EMPTY, ("a", 1), operation, *arguments)


@pytest.mark.parametrize(("operation", "arguments"), [("put", [X]), ("", []), ("delete", [X]), ("increment", [1])])
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest):
        act(EMPTY, ("a", 1), operation, *arguments)


@pytest.mark.parametrize("wire", DAMAGED, ids=repr)
@pytest.mark.parametrize("kind", [AddWinsSet, GrowOnlySet])
def test_a_damaged_state_is_refused(kind: type[AddWinsSet], wire: object) -> None:
    with pytest.raises(InvalidRequest):
        kind.from_wire(wire)


# The grow-only set.

GROWING = Entry.empty("gset")


def test_nothing_is_removed_from_a_grow_only_set() -> None:
    added = act(GROWING, ("a", 1), "add", X)
    with pytest.raises(InvalidRequest, match="a gset knows add, delete, not 'remove'"):
        act(added, ("a", 2), "remove", X)


def test_a_grow_only_set_has_all_that_was_ever_added_anywhere() -> None:
    held = everywhere(act(GROWING, ("a", 1), "add", X), act(GROWING, ("b", 1), "add", Y, X))
    assert repr(held.state) == "gset(01, 02)"


def test_deleting_a_grow_only_set_spares_what_was_added_concurrently() -> None:
    shared = act(GROWING, ("a", 1), "add", X)
    deleted, added = act(shared, ("a", 2), "delete"), act(shared, ("b", 1), "add", Y)
    assert members(everywhere(deleted, added)) == [Y]
    assert members(act(added, ("c", 1), "delete", seen=NOTHING)) == [X, Y]
