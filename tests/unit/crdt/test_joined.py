"""`maxreg` and `minreg`: which values are joined, which ones a delete removes, and which numbers are valid."""

import math

import pytest
from acting import act, everywhere

from crdtkv import cbor
from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import CausalState, Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.joined import MaxRegister, MinRegister
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InvalidRequest, ProtocolError

MAX, MIN = Entry.empty("maxreg"), Entry.empty("minreg")
both_kinds = pytest.mark.parametrize("empty", [MAX, MIN], ids=["maxreg", "minreg"])
NO_NUMBERS: list[object] = [
    math.nan,
    math.inf,
    -math.inf,
    2**63,
    -(2**63),
    10**400,
    True,
    False,
    None,
    "3",
    b"\x03",
    [3],
]


def value(entry: Entry) -> int | float | None:
    assert isinstance(entry.state, MaxRegister | MinRegister)
    joined = entry.state.joined
    assert joined is None or isinstance(joined, int | float)
    return joined


@both_kinds
def test_what_was_never_set_is_nothing(empty: Entry) -> None:
    assert value(empty) is None
    assert empty.is_tombstone
    assert empty.state.newest() == 0
    assert repr(empty.state) == f"{empty.type_tag}()"


def test_the_greatest_and_the_smallest_of_concurrent_numbers_are_seen_everywhere() -> None:
    for empty, expected in ((MAX, 7.5), (MIN, -3)):
        held = everywhere(
            act(empty, ("a", 1), "set", 5), act(empty, ("b", 1), "set", 7.5), act(empty, ("c", 1), "set", -3)
        )
        assert value(held) == expected
        assert repr(held.state) == f"{empty.type_tag}({expected})"


def test_a_write_that_is_not_beyond_what_is_held_stands_for_it_all_the_same() -> None:
    held = act(MAX, ("a", 1), "set", 5)
    again = act(held, ("b", 1), "set", 4)
    assert again.state.to_wire() == ["b", 1, 5]
    deleted = act(held, ("c", 1), "delete")
    assert value(everywhere(deleted, again)) == 5


def test_a_write_beyond_what_is_held_takes_its_place() -> None:
    assert act(act(MAX, ("a", 1), "set", 5), ("b", 1), "set", 6).state.to_wire() == ["b", 1, 6]
    assert act(act(MIN, ("a", 1), "set", 5), ("b", 1), "set", 4).state.to_wire() == ["b", 1, 4]


def test_a_delete_takes_away_what_it_saw_and_a_smaller_number_can_be_set_again() -> None:
    deleted = act(act(MAX, ("a", 1), "set", 5), ("b", 1), "delete")
    assert value(deleted) is None
    assert deleted.state.is_blank
    assert value(act(deleted, ("a", 2), "set", 3)) == 3


@both_kinds
def test_a_write_that_was_concurrent_with_a_delete_survives_it(empty: Entry) -> None:
    shared = act(empty, ("a", 1), "set", 5)
    deleted = act(shared, ("a", 2), "delete")
    beyond = 9 if empty is MAX else 1
    assert value(everywhere(deleted, act(shared, ("b", 1), "set", beyond))) == beyond
    assert value(everywhere(deleted, act(empty, ("b", 1), "set", 4))) == 4


@both_kinds
def test_a_delete_with_a_context_takes_away_just_what_its_client_had_read(empty: Entry) -> None:
    read = act(empty, ("a", 1), "set", 5)
    held = everywhere(read, act(empty, ("b", 1), "set", 7))
    assert value(act(held, ("c", 1), "delete", seen=read.context)) == 7
    assert value(act(held, ("c", 1), "delete", seen=NOTHING)) is not None
    assert value(act(held, ("c", 1), "delete", seen=held.context)) is None


def test_of_a_whole_number_and_the_same_with_a_point_all_replicas_hold_the_same_one() -> None:
    for empty, expected in ((MAX, float), (MIN, int)):
        held = everywhere(act(empty, ("a", 1), "set", 3), act(empty, ("b", 1), "set", 3.0))
        assert type(value(held)) is expected
        assert type(value(act(act(empty, ("a", 1), "set", 3), ("b", 1), "set", 3.0))) is expected


def test_there_is_no_negative_zero() -> None:
    held = act(MAX, ("a", 1), "set", -0.0)
    assert math.copysign(1, value(held) or 0.0) == 1
    wire = cbor.decode(held.to_bytes())
    with pytest.raises(ProtocolError, match="canonical"):
        Entry.from_peer(cbor.encode([*wire[:2], ["a", 1, -0.0], *wire[3:]]), "maxreg")


def test_numbers_at_the_limits_are_read_back() -> None:
    for number in (MAX_WHOLE, -MAX_WHOLE, 1.7e308, -1.7e308, 5e-324, 0):
        for empty in (MAX, MIN):
            again = Entry.from_peer(act(empty, ("a", 1), "set", number).to_bytes(), empty.type_tag)
            assert value(again) == number


def test_a_write_that_expires_takes_nothing_with_it_that_would_have_lasted_longer() -> None:
    # A write is joined with what is there, and what it comes to lasts as long as the longest of it.
    held = act(act(MAX, ("a", 1), "set", 5), ("b", 1), "set", 3, expires_at=50)
    assert value(held.at(99)) == 5
    longer = act(act(MAX, ("a", 1), "set", 5, expires_at=80), ("b", 1), "set", 7, expires_at=50)
    assert (value(longer.at(79)), value(longer.at(80))) == (7, None)
    concurrent = everywhere(act(MAX, ("a", 1), "set", 5), act(MAX, ("b", 1), "set", 9, expires_at=50))
    assert value(concurrent.at(49)) == 9
    assert value(concurrent.at(50)) == 5


def test_a_write_that_lasts_takes_the_place_of_one_that_expires_even_if_it_is_not_beyond_it() -> None:
    held = act(act(MAX, ("a", 1), "set", 5, expires_at=50), ("b", 1), "set", 3)
    assert not held.expiries
    assert value(held.at(99)) == 5


def test_only_deleting_acts_on_what_is_seen() -> None:
    assert [MaxRegister.needs_quorum_read(name, []) for name in ("set", "delete")] == [False, True]


@both_kinds
def test_a_blind_write_elsewhere_has_nothing_to_supersede(empty: Entry) -> None:
    assert act(empty, ("a", 1), "set", 5).without_older(10, Event(Dot("b", 1), 10)) is None


@both_kinds
@pytest.mark.parametrize("number", NO_NUMBERS, ids=lambda number: f"{number!r:.20}")
def test_what_is_no_finite_number_of_64_bits_is_refused(empty: Entry, number: object) -> None:
    with pytest.raises(InvalidRequest, match="a number is a whole one"):
        act(empty, ("a", 1), "set", number)


@both_kinds
@pytest.mark.parametrize(
    ("operation", "arguments"), [("set", []), ("set", [1, 2]), ("delete", [1]), ("add", [b"\x01"]), ("", [])]
)
def test_an_unknown_operation_is_refused(empty: Entry, operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest):
        act(empty, ("a", 1), operation, *arguments)


@both_kinds
def test_a_context_is_taken_by_a_delete_alone(empty: Entry) -> None:
    with pytest.raises(InvalidRequest, match=f"set of a {empty.type_tag} takes no context"):
        act(empty, ("a", 1), "set", 1, seen=NOTHING)


@pytest.mark.parametrize("kind", [MaxRegister, MinRegister])
@pytest.mark.parametrize(
    "wire",
    [
        None,
        ["a", 1],
        ["a", 1, 5, "b"],
        ["a", 0, 5],
        ["a", True, 5],
        [1, 1, 5],
        ["b", 1, 5, "a", 1, 5],
        ["a", 1, 5, "a", 1, 5],
        *(["a", 1, number] for number in NO_NUMBERS),
    ],
    ids=lambda wire: f"{wire!r:.30}",
)
def test_a_damaged_state_is_refused(kind: type[CausalState], wire: object) -> None:
    with pytest.raises(InvalidRequest):
        kind.from_wire(wire)
