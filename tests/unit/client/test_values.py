"""Values of stored states: field names are unique, and a value that a codec refuses hides no other value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import crdtkv
from crdtkv import cbor
from crdtkv.causality.context import EMPTY
from crdtkv.causality.dot import Dot
from crdtkv.client.change import Change
from crdtkv.client.codecs import Codec
from crdtkv.client.entry import ReadContext, ValueEntry
from crdtkv.client.values import Undecodable, element_value, shown_names
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.map import Field
from crdtkv.errors import InvalidRequest
from crdtkv.ids import identity_of

IDENTITY = identity_of("default", "register", "k")
TYPES = st.sampled_from(["register", "counter", "set"])
NAMES = st.sampled_from(
    [
        b"a",
        b"a:counter",
        b"a:counter:counter",
        b"a:counter:register",
        b"a:set",
        b"0xff",
        b"\xff",
        b"\xff:set",
        b"0x30",
        b"b",
    ]
)


class User(BaseModel):
    name: str


USERS: Codec[User] = crdtkv.model(User)


def written(type_tag: str, *operations: tuple[Any, ...], concurrently: bool = False) -> Entry:
    """Return an entry after operations, in sequence or concurrent; the last one has the highest timestamp."""
    entry = Entry.empty(type_tag)
    for number, (operation, *arguments) in enumerate(operations, 1):
        event = Event(Dot(f"eu-{number}.0000000000000001", 1), number)
        delta = (Entry.empty(type_tag) if concurrently else entry).delta(operation, arguments, event)
        entry = entry.merge(delta)
    return entry


def read(entry: Entry, codec: Codec[Any]) -> ValueEntry[Any]:
    return ValueEntry(IDENTITY, entry, entry.state, codec)


def stored(value: Any) -> bytes:
    return cbor.encode_value(value)


# Field names.


@given(st.sets(st.builds(Field, TYPES, NAMES)))
def test_no_two_fields_of_a_map_get_the_same_name(fields: set[Field]) -> None:
    shown = shown_names(sorted(fields))
    assert shown.keys() == fields
    assert len(set(shown.values())) == len(fields)


@given(st.sets(st.builds(Field, st.just("register"), st.binary(min_size=1, max_size=3))))
def test_a_field_whose_name_is_not_shared_keeps_its_name(fields: set[Field]) -> None:
    for field, name in shown_names(sorted(fields)).items():
        assert (name.encode() if isinstance(name, str) else name) == field.name


def test_names_that_are_shared_or_equal_such_a_form_get_their_type() -> None:
    a = [Field("counter", b"a"), Field("register", b"a"), Field("register", b"a:counter"), Field("register", b"b:set")]
    assert list(shown_names(a).values()) == ["a:counter", "a:register", "a:counter:register", "b:set"]
    a.append(Field("set", b"a:counter:register"))
    assert list(shown_names(a).values())[-1] == "a:counter:register:set"


def test_all_fields_of_a_map_are_returned() -> None:
    puts = [
        ("update", ["register", b"\xff"], "put", stored(1)),
        ("update", ["register", b"0xff"], "put", stored(2)),
        ("update", ["counter", b"n"], "increment", 3),
        ("update", ["register", b"n"], "put", stored(4)),
        ("update", ["register", b"n:counter"], "put", stored(5)),
    ]
    value = read(written("map", *puts), crdtkv.CBOR).value
    assert value == {b"\xff": 1, "0xff": 2, "n:counter": 3, "n:register": 4, "n:counter:register": 5}


# Values that a codec refuses.

GOOD, BAD = ("put", stored({"name": "Ada"})), ("put", stored({"nom": "Ada"}))


def test_a_value_that_the_codec_refuses_is_an_error_on_access() -> None:
    entry = read(written("register", BAD), USERS)
    assert entry.exists
    assert repr(entry) == "ValueEntry(undecodable)"
    for ask in (lambda: entry.value, lambda: entry.siblings):
        with pytest.raises(InvalidRequest, match="the stored value is not a valid User"):
            ask()
    assert entry.readable == []
    assert [one.plain for one in entry.undecodable] == [{"nom": "Ada"}]


def test_the_winner_is_returned_if_the_codec_refuses_a_sibling() -> None:
    entry = read(written("register", BAD, GOOD, concurrently=True), USERS)
    assert entry.value == User(name="Ada")
    assert entry.readable == [User(name="Ada")]
    assert [one.plain for one in entry.undecodable] == [{"nom": "Ada"}]
    assert repr(entry) == "ValueEntry(User(name='Ada') +1 siblings)"
    with pytest.raises(InvalidRequest, match="not a valid User"):
        entry.siblings  # noqa: B018 - the test is that it raises


def test_no_sibling_replaces_a_winner_that_the_codec_refuses() -> None:
    entry = read(written("register", GOOD, BAD, concurrently=True), USERS)
    with pytest.raises(InvalidRequest, match="not a valid User"):
        entry.value  # noqa: B018 - the test is that it raises
    assert entry.readable == [User(name="Ada")]
    assert repr(entry) == "ValueEntry(undecodable +1 siblings)"


def test_members_that_the_codec_refuses_hide_no_others() -> None:
    members = read(written("set", ("add", stored("a"), stored(7), stored("b"))), crdtkv.TEXT)
    assert members.readable == [{"a", "b"}]
    assert [one.plain for one in members.undecodable] == [7]
    board = read(written("board", ("set", stored("a"), 1), ("set", stored(7), 2)), crdtkv.TEXT)
    assert board.readable == [{"a": 1}]
    assert [one.plain for one in board.undecodable] == [7]


def test_a_member_that_is_not_hashable_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="a dict is stored as a member"):
        element_value(stored({"a": 1}), crdtkv.CBOR)


def test_a_change_is_read_without_decoding_its_value() -> None:
    change = Change(IDENTITY, written("register", BAD), {"register": USERS})
    assert not change.is_deleted
    assert repr(change) == "Change(register 'k': ValueEntry(undecodable))"
    assert change.context.seen
    assert change.entry.timestamp == 1
    with pytest.raises(InvalidRequest, match="not a valid User"):
        change.value  # noqa: B018 - the test is that it raises


def test_an_absent_value_has_no_values_and_no_refused_ones() -> None:
    for entry in (ValueEntry(IDENTITY, None, None), read(Entry.empty("register"), USERS)):
        assert (entry.exists, entry.value, entry.siblings, entry.readable, entry.undecodable) == (
            False, None, [], [], [],
        )  # fmt: skip


def test_bytes_that_are_not_cbor_are_undecodable() -> None:
    (one,) = read(written("register", ("put", b"\xff\xff")), crdtkv.CBOR).undecodable
    assert isinstance(one, Undecodable)
    assert one.encoded == b"\xff\xff"
    with pytest.raises(crdtkv.ProtocolError):
        one.plain  # noqa: B018 - the test is that it raises


# Contexts as text.


@given(st.binary(min_size=1, max_size=8), st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), max_size=6))
def test_a_context_survives_its_text_form(key: bytes, dots: list[tuple[str, int]]) -> None:
    seen = EMPTY
    for dot in dots:
        seen = seen.with_dot(Dot(*dot))
    context = ReadContext(identity_of("carts", "set", key), seen)
    text = context.to_text()
    assert text.replace("-", "").replace("_", "").isalnum()
    assert ReadContext.from_text(text) == context


NO_CONTEXTS: list[Any] = [
    "", "garbage", "{eu-1.00:3}", "caf\udce9", None, 7, b"bytes",
    cbor.encode_text([2, IDENTITY, [[], []]]),
    cbor.encode_text([True, IDENTITY, [[], []]]),
    cbor.encode_text([1, b"no identity", [[], []]]),
    cbor.encode_text([1, IDENTITY, [["b", 1, "a", 1], []]]),
    cbor.encode_text([1, IDENTITY, [["a", 2**63], []]]),
    cbor.encode_text([1, IDENTITY, "context"]),
    cbor.encode_text([1, IDENTITY]),
]  # fmt: skip


@pytest.mark.parametrize("text", NO_CONTEXTS, ids=lambda text: repr(text)[:24])
def test_text_that_is_not_a_context_is_refused(text: Any) -> None:
    with pytest.raises(InvalidRequest):
        ReadContext.from_text(text)


def test_a_context_with_fields_of_wrong_types_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not a context that was read"):
        ReadContext(IDENTITY, "seen").for_key(IDENTITY)  # type: ignore[arg-type]
