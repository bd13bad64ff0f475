"""Entries as bytes: read back as written, one encoding for one entry, and nothing else accepted from outside."""

import pytest
from damaged import damaged, padded
from histories import reachable
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.registry import TYPES
from crdtkv.errors import ProtocolError

every_type = pytest.mark.parametrize("type_tag", sorted(TYPES))


def fresh(entry: Entry) -> Entry:
    """Return the same entry without the bytes it may have been parsed from."""
    return Entry(entry.state, entry.context, entry.expiries)


@st.composite
def entries(draw: st.DrawFn, type_tag: str) -> Entry:
    (entry,) = draw(reachable(type_tag, 1))
    return entry


@every_type
@settings(max_examples=40)
@given(data=st.data())
def test_an_entry_is_read_back_as_it_was_written(type_tag: str, data: st.DataObject) -> None:
    entry = data.draw(entries(type_tag))
    for again in (Entry.from_bytes(entry.to_bytes()), Entry.from_peer(entry.to_bytes(), type_tag)):
        assert repr(again) == repr(entry)
        assert again.context == entry.context
        assert again.expiries == entry.expiries
        assert again == entry
        assert hash(again) == hash(entry)


@every_type
@settings(max_examples=40)
@given(data=st.data())
def test_the_bytes_of_an_entry_are_those_of_its_parts(type_tag: str, data: st.DataObject) -> None:
    entry = data.draw(entries(type_tag))
    again = Entry.from_bytes(entry.to_bytes())
    assert fresh(again).to_bytes() == entry.to_bytes()


@every_type
@settings(max_examples=40)
@given(data=st.data())
def test_entries_that_differ_in_anything_are_different_bytes(type_tag: str, data: st.DataObject) -> None:
    one, other = data.draw(reachable(type_tag, 2))
    # Some types show less than they hold: their wire form is all of it.
    parts = [(e.state.to_wire(), list(e.context.dots()), sorted(e.expiries.items())) for e in (one, other)]
    same = parts[0] == parts[1] and repr(parts[0]) == repr(parts[1])
    assert (one.to_bytes() == other.to_bytes()) == same
    assert (one == other) == same
    for dot in one.state.dots():
        assert Entry(one.state, one.context, {**one.expiries, dot: 2**62}) != one


@every_type
@settings(max_examples=15)
@given(data=st.data())
def test_a_damaged_entry_is_refused_or_is_another_canonical_one(type_tag: str, data: st.DataObject) -> None:
    for wire in damaged(cbor.decode(data.draw(entries(type_tag)).to_bytes())):
        encoded = cbor.encode(wire)
        try:
            parsed = Entry.from_peer(encoded, type_tag)
        except ProtocolError:
            continue
        assert fresh(parsed).to_bytes() == encoded


@every_type
@settings(max_examples=40)
@given(data=st.data())
def test_the_same_entry_in_longer_cbor_is_refused_or_made_canonical(type_tag: str, data: st.DataObject) -> None:
    # Valid CBOR, and the same entry, but other bytes: kept as they are, replicas would never be byte-identical.
    entry = data.draw(entries(type_tag))
    try:
        parsed = Entry.from_peer(padded(cbor.decode(entry.to_bytes())), type_tag)
    except ProtocolError:
        return
    assert parsed.to_bytes() == entry.to_bytes()


@every_type
@settings(max_examples=40)
@given(data=st.data())
def test_a_cut_or_extended_entry_is_refused(type_tag: str, data: st.DataObject) -> None:
    encoded = data.draw(entries(type_tag)).to_bytes()
    for end in range(len(encoded)):
        with pytest.raises(ProtocolError):
            Entry.from_peer(encoded[:end], type_tag)
    with pytest.raises(ProtocolError):
        Entry.from_peer(encoded + b"\0", type_tag)


@every_type
@settings(max_examples=40)
@given(data=st.data())
def test_an_entry_with_one_other_byte_is_refused_or_can_be_merged(type_tag: str, data: st.DataObject) -> None:
    one, other = data.draw(entries(type_tag)), data.draw(entries(type_tag))
    encoded = bytearray(one.to_bytes())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = Entry.from_peer(bytes(encoded), type_tag)
    except ProtocolError:
        return
    merged = parsed.merge(other)
    assert merged.context.descends(other.context)
    assert Entry.from_bytes(merged.to_bytes()) == merged


@every_type
@settings(max_examples=40)
@given(data=st.data(), junk=st.binary(max_size=40))
def test_any_bytes_are_an_entry_or_refused(type_tag: str, data: st.DataObject, junk: bytes) -> None:
    for parse in (lambda: Entry.from_peer(junk, type_tag), lambda: Entry.from_bytes(junk).parse()):
        try:
            parse()
        except ProtocolError:
            continue


@every_type
def test_an_entry_of_another_type_is_refused(type_tag: str) -> None:
    for other in sorted(TYPES):
        if other != type_tag:
            with pytest.raises(ProtocolError, match=f"an entry of type {other} under a key of type {type_tag}"):
                Entry.from_peer(Entry.empty(other).to_bytes(), type_tag)
