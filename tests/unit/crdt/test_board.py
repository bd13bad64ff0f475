"""The sorted set: scores that are set and incremented in several places at the same time, and the ranking."""

import math

import pytest
from acting import act, delta, everywhere

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.board import Board
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("board")
ANN, BOB, CAT = b"\x01", b"\x02", b"\x03"
NO_SCORES: list[object] = [math.nan, math.inf, -math.inf, 2**63, -(2**63), True, None, "1", b"\x01", [1]]


def ranking(entry: Entry) -> list[tuple[bytes, int | float]]:
    assert isinstance(entry.state, Board)
    return entry.state.ranking()


def score(entry: Entry, member: bytes = ANN) -> int | float | None:
    return dict(ranking(entry)).get(member)


def test_a_board_nobody_is_on_is_empty() -> None:
    assert ranking(EMPTY) == []
    assert EMPTY.is_tombstone
    assert EMPTY.state.newest() == 0


def test_members_are_ranked_by_score_and_of_equals_the_smaller_encoding_comes_first() -> None:
    held = act(EMPTY, ("a", 1), "set", CAT, 5)
    held = act(held, ("a", 2), "set", BOB, 7.5)
    held = act(held, ("a", 3), "increment", ANN, 5.0)
    assert ranking(held) == [(BOB, 7.5), (ANN, 5.0), (CAT, 5)]
    assert repr(held.state) == "board(02=7.5, 01=5.0, 03=5)"


def test_increments_from_anywhere_add_up() -> None:
    here, there = act(EMPTY, ("a", 1), "increment", ANN, 3), act(EMPTY, ("b", 1), "increment", ANN, 0.5)
    assert score(everywhere(act(here, ("a", 2), "increment", ANN, -1), there)) == 2.5


def test_of_concurrent_sets_the_one_with_the_highest_timestamp_counts() -> None:
    earlier, later = act(EMPTY, ("b", 1), "set", ANN, 10, at=5), act(EMPTY, ("a", 1), "set", ANN, 7, at=6)
    assert score(everywhere(earlier, later)) == 7
    assert everywhere(earlier, later).state.newest() == 6


def test_of_sets_with_the_same_timestamp_the_higher_dot_counts() -> None:
    assert score(everywhere(act(EMPTY, ("a", 9), "set", ANN, 10), act(EMPTY, ("b", 1), "set", ANN, 7))) == 7


def test_a_set_takes_the_place_of_all_it_has_seen() -> None:
    held = act(act(EMPTY, ("a", 1), "set", ANN, 10), ("b", 1), "increment", ANN, 5)
    assert score(held) == 15
    assert score(everywhere(held, act(held, ("a", 2), "set", ANN, 1))) == 1


def test_an_increment_that_was_concurrent_with_a_set_is_added_to_it() -> None:
    shared = act(EMPTY, ("b", 1), "increment", ANN, 5)
    reset, more = act(shared, ("a", 1), "set", ANN, 100), act(shared, ("b", 2), "increment", ANN, 2)
    assert score(everywhere(reset, more)) == 102


def test_a_member_that_is_removed_and_scored_at_the_same_time_keeps_what_it_scored_meanwhile() -> None:
    shared = act(act(EMPTY, ("a", 1), "set", ANN, 10), ("b", 1), "increment", ANN, 5)
    removed = act(shared, ("c", 1), "remove", ANN)
    assert ranking(removed) == []
    assert score(everywhere(removed, act(shared, ("b", 2), "increment", ANN, 2))) == 2
    assert score(everywhere(removed, act(shared, ("a", 2), "set", ANN, 3))) == 3
    assert ranking(everywhere(removed, shared)) == []


def test_removing_a_member_leaves_the_others_alone() -> None:
    held = act(act(EMPTY, ("a", 1), "set", ANN, 10), ("a", 2), "set", BOB, 20)
    removal = delta(held, ("b", 1), "remove", ANN)
    assert ranking(everywhere(held, removal)) == [(BOB, 20)]


def test_what_was_scored_while_the_board_was_deleted_survives_alone() -> None:
    shared = act(act(EMPTY, ("a", 1), "set", ANN, 10), ("a", 2), "increment", BOB, 5)
    deleted = act(shared, ("b", 1), "delete")
    assert deleted.is_tombstone
    assert ranking(everywhere(deleted, act(shared, ("a", 3), "increment", BOB, 2))) == [(BOB, 2)]
    assert ranking(everywhere(deleted, act(shared, ("a", 3), "increment", ANN, 1))) == [(ANN, 1)]


def test_a_removed_member_is_scored_from_zero_again() -> None:
    removed = act(act(EMPTY, ("a", 1), "increment", ANN, 5), ("a", 2), "remove", ANN)
    assert score(act(removed, ("a", 3), "increment", ANN, 1)) == 1
    assert not removed.state.is_blank


def test_increments_that_add_up_to_zero_leave_a_member() -> None:
    held = act(act(EMPTY, ("a", 1), "increment", ANN, 5), ("b", 1), "increment", ANN, -5)
    assert ranking(held) == [(ANN, 0)]
    assert ranking(act(EMPTY, ("a", 1), "increment", BOB, 0)) == [(BOB, 0)]


def test_an_increment_that_arrives_twice_counts_once() -> None:
    change = delta(EMPTY, ("a", 1), "increment", ANN, 5)
    assert score(EMPTY.merge(change).merge(change)) == 5


def test_inexact_scores_are_the_same_on_all_replicas_in_whatever_order_they_came() -> None:
    parts = [act(EMPTY, (actor, 1), "increment", ANN, 0.1 * n) for n, actor in enumerate("abcdefgh", 1)]
    assert score(everywhere(*parts)) == score(everywhere(*reversed(parts))) == math.fsum(0.1 * n for n in range(1, 9))


def test_a_delta_holds_the_member_of_the_call_alone() -> None:
    held = act(act(EMPTY, ("a", 1), "set", ANN, 10), ("a", 2), "increment", BOB, 5)
    assert repr(delta(held, ("b", 1), "set", CAT, 1)) == "Entry(board(03=1) seen {b:1})"
    assert repr(delta(held, ("b", 1), "set", ANN, 1)) == "Entry(board(01=1) seen {a:1, b:1})"
    assert repr(delta(held, ("b", 1), "remove", ANN)) == "Entry(board() seen {a:1, b:1})"


def test_a_score_that_expires_is_gone_and_increments_on_it_stay_a_member() -> None:
    held = act(EMPTY, ("a", 1), "set", ANN, 10, expires_at=50)
    assert score(held.at(49)) == 10
    assert held.at(50).is_tombstone
    assert score(act(held, ("a", 2), "increment", ANN, 3).at(50)) == 3


def test_what_each_node_has_added_to_a_score_expires_by_itself() -> None:
    here = act(EMPTY, ("a", 1), "increment", ANN, 1, expires_at=50)
    there = act(EMPTY, ("b", 1), "increment", ANN, 2, expires_at=60)
    assert score(everywhere(here, there).at(49)) == 3
    assert score(everywhere(here, there).at(50)) == 2
    assert everywhere(here, there).at(60).is_tombstone
    assert score(act(here, ("a", 2), "increment", ANN, 4).at(99)) == 5


def test_all_but_incrementing_acts_on_what_is_seen() -> None:
    names = ("set", "increment", "remove", "delete")
    assert [Board.needs_quorum_read(name, []) for name in names] == [True, False, True, True]


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    assert act(EMPTY, ("a", 1), "set", ANN, 1, at=5).without_older(10, Event(Dot("b", 1), 10)) is None


def test_a_member_holds_63_bits_for_each_node_and_refuses_more() -> None:
    full = act(EMPTY, ("a", 1), "increment", ANN, MAX_WHOLE)
    with pytest.raises(InvalidRequest, match="at most"):
        act(full, ("a", 2), "increment", ANN, 1)
    with pytest.raises(InvalidRequest, match="at most"):
        act(EMPTY, ("a", 1), "increment", ANN, 1e300)
    assert score(act(full, ("b", 1), "increment", ANN, MAX_WHOLE)) == 2 * MAX_WHOLE
    assert score(act(full, ("b", 1), "set", ANN, 1e300)) == 1e300


@pytest.mark.parametrize("operation", ["set", "increment"])
@pytest.mark.parametrize("amount", NO_SCORES, ids=lambda amount: f"{amount!r:.20}")
def test_a_score_that_is_no_finite_number_of_64_bits_is_refused(operation: str, amount: object) -> None:
    with pytest.raises(InvalidRequest):
        act(EMPTY, ("a", 1), operation, ANN, amount)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("set", []),
        ("set", [ANN]),
        ("set", ["ann", 1]),
        ("set", [1, ANN]),
        ("set", [ANN, 1, 2]),
        ("increment", [ANN]),
        ("increment", [None, 1]),
        ("remove", []),
        ("remove", [1]),
        ("remove", [ANN, BOB]),
        ("delete", [ANN]),
        ("add", [ANN]),
        ("", []),
    ],
)
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="a board knows set"):
        act(EMPTY, ("a", 1), operation, *arguments)


@pytest.mark.parametrize(
    ("operation", "arguments"), [("set", [ANN, 1]), ("increment", [ANN, 1]), ("remove", [ANN]), ("delete", [])]
)
def test_a_context_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="take no context"):
        act(EMPTY, ("a", 1), operation, *arguments, seen=NOTHING)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [ANN],
        [ANN, []],
        [ANN, [[], []]],
        [ANN, [["a", 1, 5, 10]]],
        [ANN, [["a", 1, 5, 10], [], []]],
        [ANN, [["a", 1, 0, 10], []]],
        [ANN, [["a", 1, True, 10], []]],
        [ANN, [["a", 1, 5.0, 10], []]],
        [ANN, [["a", 1, 5, "10"], []]],
        [ANN, [["a", 1, 5], []]],
        [ANN, [["b", 1, 5, 10, "a", 1, 5, 10], []]],
        [ANN, [[], ["a", 1, 5, 0]]],
        [ANN, [[], ["a", 0, 5, 0, 0]]],
        [ANN, [[], ["a", 1, True, 0, 0]]],
        [ANN, [[], ["a", 1, 5, -1, 0]]],
        [ANN, [[], ["a", 1, 1e300, 0, 0]]],
        [ANN, [[], ["b", 1, 5, 0, 0, "a", 1, 5, 0, 0]]],
        [BOB, [[], ["a", 1, 5, 0, 0]], ANN, [[], ["a", 2, 5, 0, 0]]],
        ["ann", [[], ["a", 1, 5, 0, 0]]],
        *([ANN, [["a", 1, 5, wrong], []]] for wrong in NO_SCORES),
        *([ANN, [[], ["a", 1, wrong, 0, 0]]] for wrong in NO_SCORES),
    ],
    ids=lambda wire: f"{wire!r:.50}",
)
def test_a_damaged_state_is_refused(wire: object) -> None:
    with pytest.raises(InvalidRequest):
        Board.from_wire(wire)
