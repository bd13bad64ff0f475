"""Consistency levels: how many replicas they ask, which of them overlap, and the text they travel as."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import InvalidRequest
from crdtkv.quorum.level import ANY, LOCAL_ALL, LOCAL_QUORUM, ONE, ConsistencyLevel, Quorum, level_named, majority

COUNTS = st.integers(1, 9)
LEVELS = st.sampled_from([ANY, ONE, LOCAL_QUORUM, LOCAL_ALL]) | st.builds(Quorum, r=COUNTS, w=COUNTS)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (9, 5)])
def test_a_majority_is_more_than_half(count: int, expected: int) -> None:
    assert majority(count) == expected


@given(st.integers(1, 1000))
def test_two_majorities_overlap_and_one_replica_less_would_not_do(count: int) -> None:
    assert 2 * majority(count) > count
    assert 2 * (majority(count) - 1) <= count


@pytest.mark.parametrize(
    ("level", "of_three", "of_one"), [(ANY, 1, 1), (ONE, 1, 1), (LOCAL_QUORUM, 2, 1), (LOCAL_ALL, 3, 1)]
)
def test_named_levels_ask_as_many_replicas_to_read_as_to_write(
    level: ConsistencyLevel, of_three: int, of_one: int
) -> None:
    assert (level.read_quorum(3), level.write_quorum(3)) == (of_three, of_three)
    assert (level.read_quorum(1), level.write_quorum(1)) == (of_one, of_one)


def test_explicit_counts_are_taken_as_they_are() -> None:
    level = Quorum(r=1, w=3)
    assert (level.read_quorum(3), level.write_quorum(3)) == (1, 3)
    assert repr(level) == "Quorum(r=1, w=3)"


def test_explicit_counts_past_the_number_of_replicas_are_refused() -> None:
    level = Quorum(r=4, w=1)
    assert level.write_quorum(3) == 1
    with pytest.raises(InvalidRequest, match=r"Quorum\(r=4, w=1\) asks more replicas than the 3 there are"):
        level.read_quorum(3)


@pytest.mark.parametrize(("r", "w"), [(0, 1), (1, 0), (-1, 1), (1.0, 1), (True, 1), (1, True), ("1", 1), (None, 1)])
def test_explicit_counts_are_whole_numbers_from_1(r: object, w: object) -> None:
    with pytest.raises(InvalidRequest, match="whole numbers from 1"):
        Quorum(r, w)  # type: ignore[arg-type]


@given(COUNTS)
def test_what_a_quorum_wrote_a_quorum_reads(replication_factor: int) -> None:
    read, write = LOCAL_QUORUM.read_quorum(replication_factor), LOCAL_QUORUM.write_quorum(replication_factor)
    assert read + write > replication_factor
    assert read <= replication_factor


@given(LEVELS)
def test_a_level_is_itself_again_after_travelling(level: ConsistencyLevel) -> None:
    assert level_named(level.to_wire()) == level


@pytest.mark.parametrize("text", ["local_quorum", "Local_Quorum", "LOCAL_QUORUM"])
def test_a_level_is_named_in_any_case(text: str) -> None:
    assert level_named(text) is LOCAL_QUORUM


@pytest.mark.parametrize("text", ["2,1", " 2 , 1 ", "02,1"])
def test_two_numbers_name_explicit_counts(text: str) -> None:
    assert level_named(text) == Quorum(r=2, w=1)


@pytest.mark.parametrize(
    "text",
    ["", "QUORUM", "EVENTUAL", "LOCAL_QUORUM ", "2", "2,", ",1", "0,1", "2,0", "-2,1", "2,1,1", "2.0,1", "a,b", "²,1"],
)
def test_what_names_no_level_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        level_named(text)


def test_long_digits_are_refused_before_they_are_counted() -> None:
    with pytest.raises(InvalidRequest):
        level_named("1," + "9" * 10_000)


@pytest.mark.parametrize("text", [None, 7, ["LOCAL_QUORUM"], b"ONE", (2, 1)])
def test_a_level_is_named_by_text_only(text: object) -> None:
    with pytest.raises(InvalidRequest):
        level_named(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made_up",
    [(7,), ("MOST",), ("QUORUM",), ("QUORUM", 0, 1), ("QUORUM", 1, 2**70), ("QUORUM", True, 1), ("ONE", 1, 1), ([],)],
    ids=repr,
)
def test_a_level_that_no_node_would_know_cannot_be_made(made_up: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidRequest, match="no such level"):
        ConsistencyLevel(*made_up)
