"""The counter: increments from anywhere add up, a delete takes away exactly what it saw, and nothing overflows."""

import pytest

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("counter")


def increment(on: Entry, dot: tuple[str, int], amount: object) -> Entry:
    return on.merge(on.delta("increment", [amount], Event(Dot(*dot), 1)))


def delete(on: Entry, dot: tuple[str, int]) -> Entry:
    return on.merge(on.delta("delete", [], Event(Dot(*dot), 1)))


def value_of(entry: Entry) -> int:
    assert isinstance(entry.state, Counter)
    return entry.state.value


def test_what_was_never_counted_is_zero_and_empty() -> None:
    assert value_of(EMPTY) == 0
    assert EMPTY.is_tombstone


def test_increments_and_decrements_of_all_replicas_add_up() -> None:
    here = increment(increment(EMPTY, ("a", 1), 5), ("a", 2), -2)
    there = increment(EMPTY, ("b", 1), 10)
    assert value_of(here.merge(there)) == 13
    assert value_of(there.merge(here)) == 13


def test_an_increment_that_arrives_twice_counts_once() -> None:
    delta = EMPTY.delta("increment", [5], Event(Dot("a", 1), 1))
    assert value_of(EMPTY.merge(delta).merge(delta)) == 5


def test_a_counter_that_adds_up_to_zero_is_not_empty() -> None:
    entry = increment(increment(EMPTY, ("a", 1), 5), ("b", 1), -5)
    assert value_of(entry) == 0
    assert not entry.is_tombstone


def test_counting_nothing_is_counting_all_the_same() -> None:
    assert not increment(EMPTY, ("a", 1), 0).is_tombstone


def test_a_delete_takes_away_what_it_saw() -> None:
    deleted = delete(increment(increment(EMPTY, ("a", 1), 5), ("b", 1), 7), ("b", 2))
    assert value_of(deleted) == 0
    assert deleted.is_tombstone


def test_a_concurrent_increment_of_the_same_replica_survives_a_delete_exactly() -> None:
    # What a counter made of add-and-remove dots gets wrong: it brings back what was reset.
    shared = increment(EMPTY, ("a", 1), 5)
    deleted = delete(shared, ("b", 1))
    counted = increment(shared, ("a", 2), 3)
    assert value_of(deleted.merge(counted)) == 3
    assert value_of(counted.merge(deleted)) == 3
    assert not deleted.merge(counted).is_tombstone


def test_counting_goes_on_after_a_delete() -> None:
    deleted = delete(increment(EMPTY, ("a", 1), 5), ("a", 2))
    assert value_of(increment(deleted, ("a", 3), 4)) == 4
    assert value_of(delete(increment(deleted, ("a", 3), 4), ("a", 4))) == 0


def test_two_concurrent_deletes_take_the_same_away_once() -> None:
    shared = increment(EMPTY, ("a", 1), 5)
    one, other = delete(shared, ("a", 2)), delete(shared, ("b", 1))
    assert value_of(one.merge(other)) == 0
    assert value_of(increment(one, ("a", 3), 2).merge(other)) == 2


def test_an_old_copy_brings_nothing_back() -> None:
    before = increment(EMPTY, ("a", 1), 5)
    after = delete(before, ("b", 1))
    assert value_of(after.merge(before)) == 0
    assert value_of(before.merge(after)) == 0


def test_a_delta_brings_all_its_coordinator_holds() -> None:
    held = increment(EMPTY, ("a", 1), 5)
    delta = held.delta("increment", [7], Event(Dot("b", 1), 1))
    assert value_of(EMPTY.merge(delta)) == 12


def test_a_counter_holds_63_bits_for_each_actor_and_refuses_more() -> None:
    full = increment(EMPTY, ("a", 1), MAX_WHOLE)
    with pytest.raises(InvalidRequest, match="at most"):
        increment(full, ("a", 2), 1)
    assert value_of(increment(full, ("b", 1), MAX_WHOLE)) == 2 * MAX_WHOLE
    assert value_of(increment(full, ("a", 2), -2 * MAX_WHOLE)) == -MAX_WHOLE
    again = Entry.from_peer(full.to_bytes(), "counter")
    assert value_of(again) == MAX_WHOLE


@pytest.mark.parametrize("amount", [MAX_WHOLE + 1, -MAX_WHOLE - 1, 10**40, 1.0, True, "1", None, b"1", [1]])
def test_an_amount_that_is_no_whole_number_in_range_is_refused(amount: object) -> None:
    with pytest.raises(InvalidRequest):
        increment(EMPTY, ("a", 1), amount)


@pytest.mark.parametrize(
    ("operation", "arguments"), [("put", [b""]), ("increment", []), ("increment", [1, 1]), ("delete", [1]), ("", [])]
)
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="a counter knows increment"):
        EMPTY.delta(operation, arguments, Event(Dot("a", 1), 1))


def test_a_context_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="take no context"):
        EMPTY.delta("increment", [1], Event(Dot("a", 1), 1), NOTHING)


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    counted = increment(EMPTY, ("a", 1), 5)
    assert counted.without_older(10, Event(Dot("b", 1), 10)) is None
    assert counted.state.newest() == 0
    assert repr(counted) == "Entry(counter(5) seen {a:1})"


def test_what_each_node_has_counted_expires_by_itself() -> None:
    here = EMPTY.merge(EMPTY.delta("increment", [5], Event(Dot("a", 1), 1), None, 50))
    there = EMPTY.merge(EMPTY.delta("increment", [7], Event(Dot("b", 1), 1), None, 60))
    held = here.merge(there)
    assert value_of(held.at(49)) == 12
    assert value_of(held.at(50)) == 7
    assert held.at(60).is_tombstone
    assert held.at(50).at(60).is_tombstone
    assert held.expires_at == 60
    assert value_of(increment(here, ("a", 2), 1).at(99)) == 6


def test_who_counts_on_what_has_expired_begins_at_zero_and_what_came_meanwhile_is_added() -> None:
    expired = EMPTY.merge(EMPTY.delta("increment", [5], Event(Dot("a", 1), 1), None, 50))
    again = expired.merge(expired.delta("increment", [2], Event(Dot("b", 1), 60)))
    meanwhile = increment(expired, ("a", 2), 3)
    assert value_of(again) == 2
    assert value_of(again.merge(meanwhile)) == value_of(meanwhile.merge(again)) == 5


def test_an_increment_that_expires_soon_takes_nothing_with_it_that_lasts_longer() -> None:
    def at(on: Entry, counter: int, amount: int, expires_at: int | None) -> Entry:
        return on.merge(on.delta("increment", [amount], Event(Dot("a", counter), counter), None, expires_at))

    assert value_of(at(at(EMPTY, 1, 5, None), 2, 1, 50).at(99)) == 6
    longer = at(at(EMPTY, 1, 5, 80), 2, 1, 50)
    assert (value_of(longer.at(79)), value_of(longer.at(80))) == (6, 0)


def test_what_has_expired_does_not_come_back_with_the_increment_of_a_node_that_had_missed_it() -> None:
    missed = EMPTY.merge(EMPTY.delta("increment", [7], Event(Dot("a", 1), 1), None, 50))
    later = EMPTY.merge(EMPTY.delta("increment", [1], Event(Dot("b", 1), 60)))
    assert value_of(missed.merge(later).at(60)) == 1


def test_a_deleted_counter_does_not_wait_for_what_would_have_expired() -> None:
    timed = EMPTY.merge(EMPTY.delta("increment", [5], Event(Dot("a", 1), 1), None, 2**60))
    assert delete(timed, ("b", 1)).expires_at == 0
