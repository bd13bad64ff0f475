"""Entries around their state: types that do not mix, expiries, bytes that are kept, and damage that is told."""

import pytest

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.registry import OPERATIONS, TYPES, type_named
from crdtkv.errors import InvalidRequest, ProtocolError

EMPTY = Entry.empty("register")


def put(on: Entry, dot: tuple[str, int], timestamp: int, value: bytes) -> Entry:
    return on.merge(on.delta("put", [value], Event(Dot(*dot), timestamp)))


def expiring(entry: Entry, expires_at: int | None) -> Entry:
    return Entry(entry.state, entry.context, expires_at)


ONE, OTHER = put(EMPTY, ("a", 1), 10, b"\x01"), put(EMPTY, ("b", 1), 20, b"\x02")
NEWER = put(ONE, ("a", 2), 30, b"\x03")


def test_every_type_is_found_by_its_tag() -> None:
    assert {tag: type_named(tag).type_tag for tag in TYPES} == {tag: tag for tag in TYPES}
    assert frozenset().union(*(state_type.operations for state_type in TYPES.values())) == OPERATIONS


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="unknown type 'graph': this version knows register"):
        Entry.empty("graph")


def test_entries_of_different_types_are_not_merged() -> None:
    with pytest.raises(InvalidRequest, match="a counter cannot be merged into a register"):
        EMPTY.merge(Entry.empty("counter"))


def test_who_has_seen_all_the_other_has_is_the_merge() -> None:
    assert ONE.merge(NEWER) is NEWER
    assert NEWER.merge(ONE) is NEWER


def test_received_bytes_are_kept_as_they_are() -> None:
    received = Entry.from_bytes(NEWER.to_bytes())
    merged = Entry.from_bytes(ONE.to_bytes()).merge(received)
    assert merged.to_bytes() is received.to_bytes()


@pytest.mark.parametrize(
    ("one", "other", "merged"), [(5, 9, 9), (9, 5, 9), (None, 5, None), (5, None, None), (None, None, None), (5, 5, 5)]
)
@pytest.mark.parametrize(
    ("left", "right"), [(ONE, OTHER), (ONE, NEWER), (NEWER, ONE), (ONE, ONE)], ids=["concurrent", "<", ">", "="]
)
def test_the_longer_expiry_is_kept_and_none_is_the_longest(
    left: Entry, right: Entry, one: int | None, other: int | None, merged: int | None
) -> None:
    result = expiring(left, one).merge(expiring(right, other))
    assert result.expires_at == merged
    assert result == expiring(left.merge(right), merged)


def test_what_was_never_written_has_no_say_about_the_expiry() -> None:
    assert EMPTY.merge(expiring(ONE, 5)).expires_at == 5
    assert expiring(ONE, 5).merge(EMPTY).expires_at == 5


def test_an_operation_keeps_the_expiry_of_the_entry_it_acts_on() -> None:
    assert put(expiring(ONE, 5), ("a", 2), 30, b"\x03").expires_at == 5


def test_equal_entries_are_equal_whatever_they_were_made_of() -> None:
    assert Entry.from_bytes(ONE.to_bytes()) == ONE
    assert len({Entry.from_bytes(ONE.to_bytes()), ONE, expiring(ONE, None)}) == 1
    assert ONE != OTHER
    assert expiring(ONE, 5) != ONE
    assert ONE.to_bytes() != ONE


def read_all(entry: Entry) -> None:
    assert entry.state is not None
    assert entry.context is not None


def test_parsing_at_once_and_when_needed_give_the_same() -> None:
    lazy, eager = Entry.from_bytes(NEWER.to_bytes()), Entry.from_bytes(NEWER.to_bytes())
    assert eager.state.type_tag == "register"
    assert eager.context == NEWER.context
    assert repr(lazy) == repr(eager) == "Entry(register(a:2=03) seen {a:2})"


@pytest.mark.parametrize("item", [None, 1, "x", b"x", [], {}, [1], [1, "register"], [2, "register", [], [], [], None]])
def test_what_is_no_entry_is_refused(item: object) -> None:
    for parse in (Entry.from_bytes, lambda data: Entry.from_peer(data, "register")):
        with pytest.raises(ProtocolError):
            parse(cbor.encode(item))


def test_an_entry_of_a_type_from_the_future_is_refused_as_malformed() -> None:
    # A newer peer may know more types. The tags are of one length, so one can be put in place of the other.
    data = ONE.to_bytes().replace(b"register", b"hologram")
    assert data != ONE.to_bytes()
    with pytest.raises(ProtocolError):
        Entry.from_peer(data, "hologram")
    with pytest.raises(ProtocolError):
        read_all(Entry.from_bytes(data))
