"""Entries around their state: types that do not mix, expiries, bytes that are kept, and damage that is detected."""

import pytest

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry, may_expire
from crdtkv.crdt.registry import OPERATIONS, TYPES, type_named
from crdtkv.errors import InvalidRequest, ProtocolError

EMPTY = Entry.empty("register")


def put(on: Entry, dot: tuple[str, int], timestamp: int, value: bytes, expires_at: int | None = None) -> Entry:
    return on.merge(on.delta("put", [value], Event(Dot(*dot), timestamp), None, expires_at))


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


def test_an_expiry_is_of_what_the_operation_wrote() -> None:
    entry = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=50)
    assert entry.expiries == {Dot("a", 1): 50}
    assert entry.at(49) is entry
    assert repr(entry.at(50)) == "Entry(register() seen {a:1})"
    assert not entry.at(50).expiries


def test_the_last_write_decides_whether_and_when_it_expires() -> None:
    expiring = put(ONE, ("a", 2), 30, b"\x03", expires_at=50)
    assert expiring.expiries == {Dot("a", 2): 50}
    assert not put(expiring, ("a", 3), 40, b"\x04").expiries
    assert put(expiring, ("a", 3), 40, b"\x04", expires_at=45).expiries == {Dot("a", 3): 45}


def test_of_concurrent_writes_each_lives_its_own_time() -> None:
    one, other = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=50), put(EMPTY, ("b", 1), 20, b"\x02", expires_at=60)
    for merged in (one.merge(other), other.merge(one)):
        assert merged.expiries == {Dot("a", 1): 50, Dot("b", 1): 60}
        assert repr(merged.at(50).state) == "register(b:1=02)"
        assert merged.at(60).is_tombstone
    assert repr(one.merge(OTHER).at(99).state) == "register(b:1=02)"
    assert repr(OTHER.merge(one).at(99).state) == "register(b:1=02)"


def test_an_older_copy_brings_no_expiry_back() -> None:
    expiring = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=50)
    lasting = put(expiring, ("a", 2), 30, b"\x03")
    for merged in (expiring.merge(lasting), lasting.merge(expiring)):
        assert merged == lasting
        assert not merged.expiries


def test_who_writes_clears_what_is_over_and_no_old_copy_brings_it_back() -> None:
    empty = Entry.empty("set")
    old = empty.merge(empty.delta("add", [b"\x01"], Event(Dot("a", 1), 10), None, 50))
    delta = old.delta("add", [b"\x02"], Event(Dot("b", 1), 60))
    assert repr(delta) == "Entry(set(02) seen {a:1, b:1})"
    for merged in (old.merge(delta), delta.merge(old)):
        assert repr(merged) == "Entry(set(02) seen {a:1, b:1})"
        assert not merged.expiries
    # A moment earlier both would be members.
    assert repr(old.merge(old.delta("add", [b"\x02"], Event(Dot("b", 1), 49))).state) == "set(01, 02)"


def test_a_put_that_had_read_nothing_leaves_an_expired_sibling_unseen_until_a_later_one_supersedes_it() -> None:
    old = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=50)
    written = old.merge(old.delta("put", [b"\x02"], Event(Dot("b", 1), 60), CausalContext()))
    assert repr(written.at(60).state) == "register(b:1=02)"
    assert repr(put(written, ("b", 2), 70, b"\x03")) == "Entry(register(b:2=03) seen {a:1, b:2})"


def test_a_put_that_had_read_nothing_says_nothing_of_what_an_expired_one_had_superseded() -> None:
    # It once named the expired put alone as seen. Who got it before that put, and held what that had replaced, then
    # believed to have seen the replacing, and kept what all others had dropped.
    first = put(EMPTY, ("b", 1), 10, b"\x01")
    expired = put(first, ("b", 2), 20, b"\x02", expires_at=30)
    delta = expired.delta("put", [b"\x03"], Event(Dot("a", 1), 60), CausalContext())
    late = first.merge(delta).merge(expired)
    assert late.to_bytes() == expired.merge(delta).to_bytes()
    assert repr(late.at(60).state) == "register(a:1=03)"


def test_an_operation_leaves_what_it_does_not_supersede_its_expiry() -> None:
    both = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=90).merge(OTHER)
    written = both.merge(both.delta("put", [b"\x03"], Event(Dot("b", 2), 60), OTHER.context, 70))
    assert written.expiries == {Dot("a", 1): 90, Dot("b", 2): 70}


def test_a_delete_has_nothing_that_expires() -> None:
    deleted = ONE.merge(ONE.delta("delete", [], Event(Dot("a", 2), 30), None, 50))
    assert not deleted.expiries
    assert deleted.expires_at == 0


def test_a_reader_sees_nothing_from_when_all_is_over() -> None:
    expiring = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=50)
    assert EMPTY.expires_at == 0
    assert ONE.expires_at is None
    assert expiring.expires_at == 50
    assert not expiring.is_tombstone
    assert expiring.merge(OTHER).expires_at is None
    assert expiring.merge(put(EMPTY, ("b", 1), 20, b"\x02", expires_at=60)).expires_at == 60


def test_a_blind_write_elsewhere_supersedes_what_expires_with_its_expiry() -> None:
    both = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=50).merge(put(EMPTY, ("b", 1), 20, b"\x02", expires_at=60))
    trimmed = both.without_older(15, Event(Dot("c", 1), 15))
    assert trimmed is not None
    assert trimmed.expiries == {Dot("b", 1): 60}


def test_what_expires_is_read_back_with_its_expiries() -> None:
    entry = put(EMPTY, ("a", 1), 10, b"\x01", expires_at=2**40).merge(put(EMPTY, ("b", 1), 20, b"\x02", expires_at=9))
    assert Entry.from_peer(entry.to_bytes(), "register").expiries == {Dot("a", 1): 2**40, Dot("b", 1): 9}
    assert cbor.decode(entry.to_bytes())[5] == ["a", 1, 2**40, "b", 1, 9]


@pytest.mark.parametrize(
    "expiries",
    [
        [],
        0,
        50,
        "a",
        ["a", 1],
        ["a", 1, 0],
        ["a", 1, -5],
        ["a", 1, 2**63],
        ["a", 1, True],
        ["a", 1, 5.0],
        ["a", 0, 5],
        ["a", 1, None],
        [b"a", 1, 5],
        [1, "a", 5],
        ["a", 1, 5, "a", 1, 5],
        ["b", 1, 5, "a", 1, 5],
        ["c", 1, 5],
        ["a", 2, 5],
    ],
    ids=repr,
)
def test_expiries_that_are_damaged_or_of_no_dot_of_the_state_are_refused(expiries: object) -> None:
    wire = cbor.decode(ONE.merge(OTHER).to_bytes())
    with pytest.raises(ProtocolError):
        Entry.from_peer(cbor.encode([*wire[:5], expiries]), "register")


@pytest.mark.parametrize("expires_at", [1, 0xF6, 0x1F6, 0x100F6, 0x1_0000_00F6, 2**62 + 0xF6, 2**63 - 1], ids=hex)
def test_from_the_bytes_of_an_entry_it_can_be_told_that_it_may_expire(expires_at: int) -> None:
    assert may_expire(put(EMPTY, ("a", 1), 10, b"\x01", expires_at=expires_at).to_bytes()) is True
    assert may_expire(ONE.to_bytes()) is False
    assert may_expire(EMPTY.to_bytes()) is False


def test_equal_entries_are_equal_whatever_they_were_made_of() -> None:
    assert Entry.from_bytes(ONE.to_bytes()) == ONE
    assert len({Entry.from_bytes(ONE.to_bytes()), ONE, Entry(ONE.state, ONE.context)}) == 1
    assert ONE != OTHER
    assert Entry(ONE.state, ONE.context, {Dot("a", 1): 5}) != ONE
    assert ONE.to_bytes() != ONE


def read_all(entry: Entry) -> None:
    assert entry.state is not None
    assert entry.context is not None
    assert entry.expiries is not None


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


def test_what_is_damaged_on_the_own_disk_is_told_when_it_is_read() -> None:
    wire = cbor.decode(ONE.to_bytes())
    for place in (2, 3, 4, 5):
        damaged = Entry.from_bytes(cbor.encode([*wire[:place], 7, *wire[place + 1 :]]))
        with pytest.raises(ProtocolError):
            read_all(damaged)


def test_an_entry_is_refused_under_a_key_of_another_type() -> None:
    with pytest.raises(ProtocolError, match="an entry of type register under a key of type lww"):
        Entry.from_replica(ONE.to_bytes(), "lww")


def test_an_entry_whose_state_names_an_operation_it_has_not_seen_is_refused() -> None:
    wire = cbor.decode(ONE.to_bytes())
    with pytest.raises(ProtocolError, match="only operations its context has seen"):
        Entry.from_replica(cbor.encode([*wire[:3], ["b", 1], [], None]), "register")
