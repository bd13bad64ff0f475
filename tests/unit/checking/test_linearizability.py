"""Linearizability of one register: named histories, each judged by zones and by search, and properties of both."""

import math
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.checking.linearizability import Access, why_not_linearizable
from crdtkv.checking.small_histories import is_linearizable


def wrote(value: Hashable, began: float, ended: float = math.inf) -> Access:
    return Access("write", value, began, ended)


def read(value: Hashable, began: float, ended: float) -> Access:
    return Access("read", value, began, ended)


def assert_accepted(*history: Access) -> None:
    for listed in (history, history[::-1]):
        assert why_not_linearizable(listed) is None
        assert is_linearizable(listed)


def assert_found(reason: str, *history: Access) -> None:
    assert why_not_linearizable(history) == reason
    assert why_not_linearizable(history[::-1]) is not None
    assert not is_linearizable(history)


# Histories that one register, held in one place, could have had.


def test_an_empty_history_is_accepted() -> None:
    assert_accepted()


def test_a_read_before_any_write_finds_nothing() -> None:
    assert_accepted(read(None, 0, 1), wrote("a", 2, 3), read("a", 4, 5))


def test_a_read_during_a_write_may_find_the_value_before_or_after() -> None:
    assert_accepted(wrote("a", 0, 1), wrote("b", 2, 9), read("a", 3, 4))
    assert_accepted(wrote("a", 0, 1), wrote("b", 2, 9), read("b", 3, 4))


def test_concurrent_reads_may_be_split_by_the_write_they_run_beside() -> None:
    assert_accepted(wrote("a", 0, 1), wrote("b", 2, 9), read("b", 3, 6), read("a", 4, 7))


def test_concurrent_writes_may_take_effect_in_either_order() -> None:
    assert_accepted(wrote("a", 0, 3), wrote("b", 1, 2), read("a", 4, 5))
    assert_accepted(wrote("a", 0, 3), wrote("b", 1, 2), read("b", 4, 5))


def test_a_write_that_nobody_read_may_hide_between_two_others() -> None:
    assert_accepted(wrote("a", 0, 1), wrote("b", 0, 5), read("a", 4, 6))


def test_a_write_of_unknown_fate_may_be_read_much_later() -> None:
    assert_accepted(wrote("a", 0), wrote("b", 1, 2), read("b", 3, 4), read("a", 8, 9))


def test_a_write_of_unknown_fate_may_never_be_read() -> None:
    assert_accepted(wrote("a", 0, 1), wrote("b", 2), read("a", 3, 4), read("a", 8, 9))


# Histories that no such register could have had.


def test_a_read_that_misses_a_finished_write_is_found() -> None:
    assert_found(
        "the initial state came before the write of 'a' (0 to 1), "
        "yet the write of 'a' (0 to 1) came before the read of None (2 to 3)",
        wrote("a", 0, 1),
        read(None, 2, 3),
    )


def test_a_stale_read_after_the_newer_write_had_finished_is_found() -> None:
    assert_found(
        "the write of 'a' (0 to 1) came before the write of 'b' (2 to 3), "
        "yet the write of 'b' (2 to 3) came before the read of 'a' (4 to 5)",
        wrote("a", 0, 1),
        wrote("b", 2, 3),
        read("a", 4, 5),
    )


def test_a_read_of_an_older_value_after_a_newer_one_was_read_is_found() -> None:
    assert_found(
        "the write of 'a' (0 to 1) came before the read of 'b' (3 to 4), "
        "yet the read of 'b' (3 to 4) came before the read of 'a' (5 to 6)",
        wrote("a", 0, 1),
        wrote("b", 2, 9),
        read("b", 3, 4),
        read("a", 5, 6),
    )


def test_two_readers_that_see_concurrent_writes_in_opposite_orders_are_found() -> None:
    assert_found(
        "the read of 'a' (1 to 2) came before the read of 'b' (3 to 4), "
        "yet the read of 'b' (1 to 2) came before the read of 'a' (3 to 4)",
        wrote("a", 0, 9),
        wrote("b", 0, 9),
        read("a", 1, 2),
        read("b", 3, 4),
        read("b", 1, 2),
        read("a", 3, 4),
    )


def test_a_lost_write_is_found_by_the_first_read_that_lacks_it() -> None:
    assert_found(
        "the write of 'a' (0 to 1) came before the write of 'b' (2 to 4), "
        "yet the write of 'b' (2 to 4) came before the read of 'a' (6 to 7)",
        wrote("a", 0, 1),
        wrote("b", 2, 4),
        read("a", 3, 5),
        read("a", 6, 7),
    )


def test_a_value_that_went_away_and_came_back_is_found() -> None:
    assert_found(
        "the initial state came before the read of 'a' (6 to 7), "
        "yet the write of 'a' (0 to 1) came before the read of None (4 to 5)",
        wrote("a", 0, 1),
        read("a", 2, 3),
        read(None, 4, 5),
        read("a", 6, 7),
    )


def test_a_read_that_ended_before_its_write_began_is_found() -> None:
    assert_found(
        "the read of 'a' (0 to 1) came before the write of 'a' (2 to 3)",
        read("a", 0, 1),
        wrote("a", 2, 3),
    )


def test_a_write_of_unknown_fate_cannot_be_read_before_it_began() -> None:
    assert_found("the read of 'a' (0 to 1) came before the write of 'a' (2 to inf)", read("a", 0, 1), wrote("a", 2))


def test_a_read_of_what_nobody_wrote_is_found() -> None:
    assert_found("the read of 'b' (2 to 3) found a value that no call wrote", wrote("a", 0, 1), read("b", 2, 3))


def test_a_write_of_unknown_fate_that_was_read_cannot_be_undone() -> None:
    assert_found(
        "the write of 'a' (0 to 1) came before the read of 'b' (3 to 4), "
        "yet the read of 'b' (3 to 4) came before the read of 'a' (5 to 6)",
        wrote("a", 0, 1),
        wrote("b", 2),
        read("b", 3, 4),
        read("a", 5, 6),
    )


def test_a_value_held_while_other_writes_came_and_went_is_found() -> None:
    held = (wrote("a", 0, 1), read("a", 9, 10))
    inside = wrote("b", 4, 5)
    reason = (
        "the write of 'a' (0 to 1) came before the write of 'b' (4 to 5), "
        "yet the write of 'b' (4 to 5) came before the read of 'a' (9 to 10)"
    )
    assert_found(reason, *held, inside)
    assert_found(reason, *held, wrote("from the beginning", 1, 1), inside)
    assert_found(reason, *held, wrote("past the end", 3, 12), inside)
    assert_found(reason, *held, wrote("unknown", 3), inside)


# Calls that touch are concurrent: the end of one at the beginning of the other orders nothing.


def test_a_read_that_begins_as_the_newer_write_ends_may_find_the_older_value() -> None:
    assert_accepted(wrote("a", 0, 1), wrote("b", 2, 3), read("a", 3, 4))


def test_a_read_that_ends_as_its_write_begins_may_find_it() -> None:
    assert_accepted(read("a", 0, 1), wrote("a", 1, 2))


def test_values_held_one_right_after_the_other_do_not_overlap() -> None:
    assert_accepted(wrote("a", 0, 1), read("a", 2, 3), wrote("b", 1, 2), read("b", 3, 4))


def test_a_write_that_begins_as_the_older_one_ends_may_come_first() -> None:
    assert_accepted(wrote("a", 0, 1), wrote("b", 1, 2), read("a", 3, 4))


def test_instant_calls_at_one_instant_may_come_in_any_order() -> None:
    assert_accepted(read("b", 1, 1), read("a", 1, 1), wrote("b", 1, 1), wrote("a", 1, 1), read(None, 1, 1))


# Histories that cannot be judged.


def test_a_value_written_twice_cannot_be_judged_by_zones() -> None:
    with pytest.raises(ValueError, match="must be unique"):
        why_not_linearizable([wrote("a", 0, 1), wrote("a", 2, 3)])


def test_a_value_written_twice_can_be_judged_by_search() -> None:
    history = [wrote("a", 0, 1), wrote("b", 2, 3), wrote("a", 4, 5), read("a", 6, 7)]
    assert is_linearizable(history)
    assert not is_linearizable([*history, read("b", 8, 9)])


def test_the_initial_state_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="not None"):
        why_not_linearizable([wrote(None, 0, 1)])


@pytest.mark.parametrize("malformed", [wrote("a", 2, 1), wrote("a", math.nan, 1), Access("delete", "a", 0, 1)])
def test_a_malformed_call_is_refused(malformed: Access) -> None:
    with pytest.raises(ValueError, match="not a read or write"):
        why_not_linearizable([malformed])


# Properties.

# Small whole numbers, so that calls often touch.
WIDENING = st.integers(0, 4)


@st.composite
def any_histories(draw: st.DrawFn) -> list[Access]:
    """Up to eight calls at any times; reads find any value, at times one that nobody wrote."""
    spans = draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6)), max_size=8))
    writes = draw(st.integers(0, len(spans)))
    history = []
    for value, (began, lasted) in enumerate(spans):
        if value < writes:
            history.append(wrote(value, began, draw(st.sampled_from([began + lasted, began + lasted, math.inf]))))
        else:
            found = draw(st.sampled_from([None, *range(writes), *range(writes), "unwritten"]))
            history.append(read(found, began, began + lasted))
    return history


@st.composite
def atomic_histories(draw: st.DrawFn) -> list[Access]:
    """What calls on a register report that take effect one by one, each some time after it began and before it ended.

    The caller of some writes never learns their fate, and some of those never took effect.
    """
    history = []
    held = None
    acts = st.sampled_from(["read", "read", "read", "write", "write", "unknown", "lost"])
    for instant, act in enumerate(draw(st.lists(acts, max_size=8))):
        began, ended = instant - draw(WIDENING), instant + draw(WIDENING)
        if act == "read":
            history.append(read(held, began, ended))
        else:
            history.append(wrote(instant, began, ended if act == "write" else math.inf))
            held = held if act == "lost" else instant
    return history


@st.composite
def nearly_atomic_histories(draw: st.DrawFn) -> list[Access]:
    """What an atomic register reports, but for one read, which finds something else."""
    history = draw(atomic_histories())
    reads = [place for place, access in enumerate(history) if access.kind == "read"]
    if reads:
        written = [access.value for access in history if access.kind == "write"]
        place = draw(st.sampled_from(reads))
        history[place] = history[place]._replace(value=draw(st.sampled_from([None, *written])))
    return history


@given(st.one_of(any_histories(), nearly_atomic_histories()))
def test_zones_and_search_agree(history: list[Access]) -> None:
    assert (why_not_linearizable(history) is None) == is_linearizable(history)


@given(atomic_histories())
def test_what_an_atomic_register_reports_is_accepted(history: list[Access]) -> None:
    assert_accepted(*history)


def test_ten_thousand_calls_are_judged() -> None:
    history = []
    for turn in range(2_500):
        now = 10 * turn
        history += [wrote(turn, now, now + 6), read(turn, now + 4, now + 11), read(turn, now + 5, now + 12)]
        history.append(wrote(f"unknown {turn}", now))
    assert why_not_linearizable(history) is None
    assert why_not_linearizable([*history, read(1_000, 20_000, 20_001)]) == (
        "the write of 1000 (10000 to 10006) came before the read of 1001 (10015 to 10022), "
        "yet the write of 1001 (10010 to 10016) came before the read of 1000 (20000 to 20001)"
    )
