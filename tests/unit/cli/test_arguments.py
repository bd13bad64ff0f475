"""Values on the command line: JSON, or else plain text; printed values can be typed again."""

import json
import math
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.cli.arguments import checked_seconds, either, key_of, only_for, parsed_member, parsed_number, parsed_value
from crdtkv.cli.fields import fields_on, parsed
from crdtkv.cli.output import in_order, json_text, member_text
from crdtkv.errors import InvalidRequest

MEMBERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@pytest.mark.parametrize("text", ["plain", "", "NaN", "-Infinity", "{oops", "1 2", "9" * 10_000])
def test_what_is_no_json_is_text(text: str) -> None:
    assert parsed_value(text) == text


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "1e400", "[" * 100_000, "[" * 100_000 + "]" * 100_000], ids=len)
def test_json_of_which_something_would_be_lost_is_refused_but_as_text(text: str) -> None:
    for parse in (parsed_value, parsed_member):
        with pytest.raises(InvalidRequest, match=r"pass it as text \(--text\)"):
            parse(text)
        assert parse(text, as_text=True) == text


def test_keys_are_the_bytes_that_were_typed() -> None:
    typed = os.fsdecode(b"\xff")
    assert (key_of("grüße"), key_of(typed), key_of(None)) == ("grüße", b"\xff", None)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0, -1, 86_401, 1e17])
def test_seconds_are_a_number_within_bounds(value: float) -> None:
    with pytest.raises(InvalidRequest, match="--timeout takes seconds, above 0 and up to 86,400, not "):
        checked_seconds("--timeout", value, 0, 86_400, is_least_taken=False)
    assert checked_seconds("--wait", 0, 0, 86_400) == 0
    assert checked_seconds("--wait", 86_400, 0, 86_400) == 86_400


def test_text_that_is_json_can_be_taken_as_text() -> None:
    assert parsed_value("17") == 17
    assert parsed_value("17", as_text=True) == "17"


@given(MEMBERS | st.lists(MEMBERS).map(tuple))
def test_a_member_is_shown_as_it_would_be_typed(member: Any) -> None:
    shown = member_text(member)
    assert "\n" not in shown
    typed = parsed_member(shown)
    assert (type(typed), typed) == (type(member), member)


@pytest.mark.parametrize("text", ['{"a": 1}', '[1, {"a": 1}]'])
def test_an_object_cannot_be_a_member(text: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be a member"):
        parsed_member(text)
    assert parsed_member(text, as_text=True) == text


def test_numbers_are_finite_and_have_64_bits() -> None:
    assert [parsed_number(text) for text in ("3", "-3.5", "1e3")] == [3, -3.5, 1000.0]
    for text in ("x", "true", "NaN", str(2**63), '"3"', "null"):
        with pytest.raises(InvalidRequest, match="a number is"):
            parsed_number(text)


def test_members_are_ordered_as_people_expect() -> None:
    assert in_order(["b", 10, "a", 9.5, True, None]) == [9.5, 10, "a", "b", None, True]


def test_every_value_has_some_json() -> None:
    shown = json_text({"keys": {b"\0": 1, (1, "a"): 2, 3: 4}, "set": {2, 10, "x"}, "bytes": [b"\xff"]})
    assert json.loads(shown) == {
        "keys": {'{"bytes": "00"}': 1, '[1, "a"]': 2, "3": 4},
        "set": [2, 10, "x"],
        "bytes": [{"bytes": "ff"}],
    }


def test_a_verb_says_what_it_is_for() -> None:
    only_for("put", "lww", ("register", "lww"))
    with pytest.raises(InvalidRequest, match="put is for register or lww, not for set: choose with --type"):
        only_for("put", "set", ("register", "lww"))
    with pytest.raises(InvalidRequest, match="unknown type 'rope'"):
        only_for("put", "rope", ("register", "lww"))
    assert [either(("a",)), either(("a", "b", "c"))] == ["a", "a, b or c"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("register:name", [("register", "name")]),
        ("map:address/register:street", [("map", "address"), ("register", "street")]),
        ("map:a/map:b/set:c", [("map", "a"), ("map", "b"), ("set", "c")]),
        ("map:a", [("map", "a")]),
        ("register:a/b:c", [("register", "a/b:c")]),
        ("register:a/set:b", [("register", "a/set:b")]),
        ("map:a/b/set:c", [("map", "a/b"), ("set", "c")]),
    ],
)
def test_a_path_names_maps_and_a_field(path: str, fields: list[tuple[str, str]]) -> None:
    assert fields_on(path) == fields


@pytest.mark.parametrize("path", ["", "name", "register:", ":name", "rope:name", "bcounter:n", "map:a/set:"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match="a path is type:name"):
        fields_on(path)


def test_operations_of_fields_take_what_their_type_says() -> None:
    assert parsed("register", "put", ["[1]"]) == [[1]]
    assert parsed("set", "add", ["[1]", "x", "17"]) == [(1,), "x", 17]
    assert parsed("counter", "increment", []) == []
    assert parsed("board", "increment", ["ada", "2.5"]) == ["ada", 2.5]
    assert parsed("map", "delete", []) == []


@pytest.mark.parametrize(
    ("type_tag", "operation", "arguments", "message"),
    [
        ("register", "put", [], "put of a register takes VALUE"),
        ("register", "put", ["1", "2"], "put of a register takes VALUE"),
        ("set", "add", [], "add of a set takes MEMBER…"),
        ("counter", "increment", ["1", "2"], r"increment of a counter takes \[NUMBER\]"),
        ("board", "set", ["ada"], "set of a board takes MEMBER NUMBER"),
        ("board", "set", ["ada", "x"], "a number is"),
        ("flag", "enable", ["1"], "enable of a flag takes no arguments"),
        ("gset", "remove", ["x"], "a gset knows get, add or delete, not 'remove'"),
        ("map", "put", ["1"], "a map knows get or delete, not 'put'"),
    ],
)
def test_wrong_operations_of_fields_are_refused(
    type_tag: str, operation: str, arguments: list[str], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parsed(type_tag, operation, arguments)
