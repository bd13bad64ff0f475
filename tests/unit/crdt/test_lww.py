"""Last writer wins: the highest timestamp, ties broken by dot, and deletes that take part like any write."""

import pytest

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("lww")


def put(on: Entry, dot: tuple[str, int], timestamp: int, value: bytes) -> Entry:
    return on.merge(on.delta("put", [value], Event(Dot(*dot), timestamp)))


def delete(on: Entry, dot: tuple[str, int], timestamp: int) -> Entry:
    return on.merge(on.delta("delete", [], Event(Dot(*dot), timestamp)))


def test_what_was_never_written_is_empty() -> None:
    assert EMPTY.is_tombstone
    assert repr(EMPTY) == "Entry(lww() seen {})"
    assert EMPTY.state.newest() == 0


def test_the_later_of_two_concurrent_writes_wins_on_every_replica() -> None:
    earlier, later = put(EMPTY, ("b", 1), 10, b"\x01"), put(EMPTY, ("a", 1), 20, b"\x02")
    assert repr(earlier.merge(later).state) == "lww(a:1=02)"
    assert repr(later.merge(earlier).state) == "lww(a:1=02)"
    assert earlier.merge(later).state.newest() == 20


def test_of_writes_with_the_same_timestamp_the_higher_dot_wins_on_every_replica() -> None:
    one, other = put(EMPTY, ("a", 9), 10, b"\x01"), put(EMPTY, ("b", 1), 10, b"\x02")
    assert repr(one.merge(other).state) == "lww(b:1=02)"
    assert repr(other.merge(one).state) == "lww(b:1=02)"


def test_a_later_delete_wins_against_a_write_and_an_earlier_one_does_not() -> None:
    written = put(EMPTY, ("a", 1), 20, b"\x01")
    assert written.merge(delete(EMPTY, ("b", 1), 30)).is_tombstone
    assert repr(written.merge(delete(EMPTY, ("b", 1), 10)).state) == "lww(a:1=01)"


def test_a_write_after_a_delete_is_there_again() -> None:
    deleted = delete(put(EMPTY, ("a", 1), 10, b"\x01"), ("a", 2), 20)
    assert deleted.is_tombstone
    assert deleted.state.newest() == 20
    assert repr(put(deleted, ("a", 3), 30, b"\x02")) == "Entry(lww(a:3=02) seen {a:3})"


def test_the_loser_is_seen_all_the_same() -> None:
    merged = put(EMPTY, ("a", 1), 10, b"\x01").merge(put(EMPTY, ("b", 1), 20, b"\x02"))
    assert repr(merged.context) == "{a:1, b:1}"


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    assert put(EMPTY, ("a", 1), 10, b"\x01").without_older(20, Event(Dot("b", 1), 20)) is None


def test_a_context_is_refused_because_the_last_writer_wins_anyway() -> None:
    with pytest.raises(InvalidRequest, match="takes no context"):
        EMPTY.delta("put", [b"\x01"], Event(Dot("a", 1), 10), NOTHING)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [("increment", [1]), ("put", []), ("put", ["text"]), ("put", [b"", b""]), ("delete", [b""])],
)
def test_an_unknown_operation_or_argument_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="an lww knows put"):
        EMPTY.delta(operation, arguments, Event(Dot("a", 1), 10))


def test_what_lost_against_a_write_that_has_expired_does_not_come_back() -> None:
    loser = put(EMPTY, ("a", 1), 10, b"\x01")
    winner = EMPTY.merge(EMPTY.delta("put", [b"\x02"], Event(Dot("b", 1), 20), None, 30))
    for merged in (loser.merge(winner), winner.merge(loser)):
        assert repr(merged.at(29).state) == "lww(b:1=02)"
        assert repr(merged.at(30).state) == "lww()"
        assert merged.at(30).is_tombstone


def test_a_put_over_one_that_has_expired_is_the_last_writer_everywhere() -> None:
    expired = EMPTY.merge(EMPTY.delta("put", [b"\x01"], Event(Dot("a", 1), 20), None, 30))
    again = put(expired, ("b", 1), 40, b"\x02")
    for merged in (expired.merge(again), again.merge(expired)):
        assert repr(merged.at(50).state) == "lww(b:1=02)"
        assert not merged.expiries
