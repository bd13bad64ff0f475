"""Records: what a key holds as a line of JSON, and back, exactly."""

import json
from typing import Any

import pytest

from crdtkv import cbor
from crdtkv.causality.dot import Dot
from crdtkv.cli.records import (
    Record,
    check_record,
    fields_in,
    flag_in,
    members_in,
    name_in,
    number_in,
    record_of,
    scores_in,
    sketch_in,
    type_in,
    values_in,
    whole_in,
)
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InvalidRequest


def entry_of(type_tag: str, *operations: tuple[Any, ...]) -> Entry:
    """Return an entry on which operations were carried out."""
    entry = Entry.empty(type_tag)
    for operation, *arguments in operations:
        counter = max((dot.counter for dot in entry.context.dots()), default=0) + 1
        entry = entry.merge(entry.delta(operation, arguments, Event(Dot("a.00", counter), counter)))
    return entry


def record(type_tag: str, *operations: tuple[Any, ...]) -> Record:
    """Return the record of what operations made, as it is after it was written to a file."""
    made: Record = json.loads(json.dumps(record_of("k", entry_of(type_tag, *operations).state)))
    return made


def encoded(*values: Any) -> list[bytes]:
    return [cbor.encode_value(value) for value in values]


def test_a_register_is_its_key_and_value() -> None:
    assert record("register", ("put", *encoded({"a": 1}))) == {"key": "k", "value": {"a": 1}}
    assert record("lww", ("put", *encoded("x"))) == {"key": "k", "type": "lww", "value": "x"}


def test_what_json_cannot_say_is_kept_as_cbor() -> None:
    for value in (b"\0", float("inf"), {1: 2}, 2**200):
        found = record("register", ("put", *encoded(value)))
        assert values_in(found) == encoded(value)
    assert "cbor" in record("register", ("put", *encoded(float("inf"))))


def test_siblings_are_listed_the_winner_first() -> None:
    one, other = entry_of("register"), entry_of("register")
    one = one.merge(one.delta("put", encoded("early"), Event(Dot("a.00", 1), 1)))
    other = other.merge(other.delta("put", encoded(b"late"), Event(Dot("b.00", 1), 2)))
    found = record_of("k", one.merge(other).state)
    assert found == {"key": "k", "cbor": "446c617465", "siblings": [{"cbor": "446c617465"}, {"value": "early"}]}
    assert values_in(found) == encoded(b"late", "early")


def test_numbers_and_flags_are_values() -> None:
    assert whole_in(record("counter", ("increment", 3), ("increment", -5))) == -2
    assert whole_in(record("bcounter", ("increment", 3), ("decrement", 1))) == 2
    assert number_in(record("maxreg", ("set", 3), ("set", 2.5))) == 3
    assert number_in(record("minreg", ("set", 3), ("set", 2.5))) == 2.5
    assert flag_in(record("flag", ("enable",))) is True
    assert flag_in(record("dwflag", ("enable",))) is True


@pytest.mark.parametrize("type_tag", ["set", "rwset", "gset"])
def test_members_that_are_one_to_python_are_all_kept(type_tag: str) -> None:
    members = encoded(1, True, 1.0, "x", b"y", (1, "a"))
    assert sorted(members_in(record(type_tag, ("add", *members)))) == sorted(members)


def test_a_board_keeps_its_order_and_scores() -> None:
    ada, bob = encoded("ada", b"bob")
    found = record("board", ("set", ada, 3), ("increment", bob, 4.5))
    assert found["scores"] == [{"cbor": "43626f62", "score": 4.5}, {"value": "ada", "score": 3}]
    assert scores_in(found) == {bob: 4.5, ada: 3}


def test_fields_of_maps_are_records_themselves() -> None:
    found = record(
        "map",
        ("update", ["register", b"name"], "put", *encoded("Ada")),
        ("update", ["map", b"address", "set", b"\xff"], "add", *encoded("x")),
        ("update", ["counter", b"gone"], "increment", 1),
        ("update", ["counter", b"gone"], "delete"),
    )
    assert found == {
        "key": "k",
        "type": "map",
        "fields": [
            {
                "field": "address",
                "type": "map",
                "fields": [{"field_hex": "ff", "type": "set", "members": [{"value": "x"}]}],
            },
            {"field": "name", "value": "Ada"},
        ],
    }
    (address, _) = fields_in(found)
    assert (name_in(address, "field"), type_in(address)) == ("address", "map")
    assert name_in(fields_in(address)[0], "field") == b"\xff"


def test_a_sketch_is_its_count_and_its_bytes() -> None:
    entry = entry_of("hll", ("add", *encoded("a", "b")), ("add", *encoded("c")))
    found = record_of("k", entry.state)
    assert found["value"] == 3
    assert sketch_in(found) == entry.state.joined  # type: ignore[attr-defined]


def test_an_expiry_is_told() -> None:
    found = record_of(b"\xff", entry_of("flag", ("enable",)).state, 12.5)
    assert found == {"key_hex": "ff", "type": "flag", "expires_at_s": 12.5, "value": True}


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (name_in, {"value": 1}),
        (name_in, {"key_hex": "xy"}),
        (type_in, {"type": "rope"}),
        (type_in, {"type": ["set"]}),
        (values_in, {}),
        (values_in, {"cbor": 7}),
        (values_in, {"siblings": [1]}),
        (whole_in, {"value": 1.5}),
        (whole_in, {"value": True}),
        (number_in, {"value": "3"}),
        (number_in, {"value": 2**63}),
        (flag_in, {"value": 1}),
        (members_in, {"value": ["x"]}),
        (members_in, {"members": ["x"]}),
        (scores_in, {"scores": [{"value": "ada"}]}),
        (scores_in, {"scores": {"ada": 1}}),
        (fields_in, {"fields": {"name": "Ada"}}),
        (sketch_in, {"value": 3}),
    ],
)
def test_what_is_no_record_is_refused(read: Any, wrong: Record) -> None:
    with pytest.raises(InvalidRequest):
        read(wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"value": 1, "valeu": 2}, 'has no "valeu"'),
        ({"value": 1, "members": []}, 'has no "members"'),
        ({"type": "counter", "value": 1, "cbor": "01"}, 'has no "cbor"'),
        ({"type": "lww", "value": 1, "siblings": [{"value": 1}]}, 'has no "siblings"'),
        ({"type": "set", "members": [{"value": 1, "score": 2}]}, 'has no "score"'),
        ({"type": "board", "scores": [{"value": 1, "score": 2, "rank": 0}]}, 'has no "rank"'),
        ({"type": "map", "fields": [{"field": "f", "value": 1, "expires_at_s": 9}]}, 'has no "expires_at_s"'),
        ({"type": "map", "fields": [{"field": "f", "key": "k", "value": 1}]}, 'has no "key"'),
        ({"key_hex": "6b", "value": 1}, '"key" or "key_hex", not both'),
        ({"value": 1, "cbor": "01"}, '"value" or "cbor", not both'),
        ({"value": 1, "siblings": [{"value": 2}]}, '"siblings" are one value or more'),
        ({"value": 1, "siblings": []}, '"siblings" are one value or more'),
        ({"value": 1, "siblings": None}, '"siblings" is a list'),
        ({"type": "board", "scores": [{"value": 1, "score": 2}, {"cbor": "01", "score": 3}]}, "a member once"),
        ({"type": "map", "fields": [{"field": "f", "value": 1}, {"field_hex": "66", "value": 2}]}, "a field once"),
        ({"type": "hll", "value": 1.5, "sketch": "000101"}, "a whole number"),
        ({"type": "hll", "value": 1, "sketch": "0001"}, "a sketch has"),
    ],
    ids=str,
)
def test_nothing_in_a_record_is_dropped_without_a_word(wrong: Record, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        check_record({"key": "k", **wrong})


def test_every_record_that_is_written_is_one() -> None:
    for found in (
        record("register", ("put", *encoded({"a": 1}))),
        record("lww", ("put", *encoded(b"x"))),
        record("bcounter", ("increment", 3)),
        record("rwset", ("add", *encoded(1, b"x"))),
        record("board", ("set", *encoded("ada"), 3)),
        record("hll", ("add", *encoded("a"))),
        record("map", ("update", ["map", b"m", "hll", b"\xff"], "add", *encoded("x"))),
        {**record("flag", ("enable",)), "expires_at_s": 1.5},
    ):
        check_record(found)
