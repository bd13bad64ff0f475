"""CBOR from outside: bounded, without tags or leftovers; and users' values, which always come back as they went in."""

import collections
import datetime
import re
import subprocess
import sys
import uuid
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.errors import InvalidRequest, ProtocolError, ValueTooLarge
from crdtkv.ids import MAX_VALUE_BYTES

MAX_UINT = 2**64 - 1
SCALARS = st.none() | st.integers(-MAX_UINT, MAX_UINT) | st.text() | st.binary()
PROTOCOL_DATA = st.recursive(SCALARS, lambda children: st.lists(children, max_size=4), max_leaves=12)

LEAVES = (
    SCALARS
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.integers()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.fractions()
)
HASHABLE = st.recursive(LEAVES, lambda children: st.frozensets(children, max_size=3), max_leaves=4)
VALUES = st.recursive(
    HASHABLE,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.integers(), children, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=10,
)


def nested(depth: int, leaf: object = 1) -> object:
    item = leaf
    for _ in range(depth):
        item = [item]
    return item


# Protocol data.


@given(PROTOCOL_DATA)
def test_protocol_data_is_decoded_as_it_was_encoded(item: object) -> None:
    data = cbor.encode(item)
    assert cbor.decode(data) == item
    assert cbor.decode_own(data) == item
    assert cbor.encode(cbor.decode(data)) == data


@given(PROTOCOL_DATA, PROTOCOL_DATA)
def test_a_second_item_is_refused(item: object, second: object) -> None:
    with pytest.raises(ProtocolError, match="more than one item"):
        cbor.decode(cbor.encode(item) + cbor.encode(second))


@given(PROTOCOL_DATA, st.binary(min_size=1, max_size=12))
def test_whatever_follows_the_item_is_refused(item: object, rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode(cbor.encode(item) + rest)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"\x00", id="another item"),
        pytest.param(b"\xff", id="a stray break"),
        pytest.param(b"\x18", id="the beginning of an integer"),
        pytest.param(b"\x82\x01", id="the beginning of an array"),
        pytest.param(b"\x45ab", id="the beginning of bytes"),
        pytest.param(b"\x49", id="the beginning of nine bytes"),
        pytest.param(b"\xc0", id="a tag without content"),
        pytest.param(b"\x1c", id="a reserved byte"),
    ],
)
def test_leftovers_are_refused_whether_whole_or_cut(rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode(b"\x01" + rest)


@given(PROTOCOL_DATA)
def test_a_cut_item_is_refused(item: object) -> None:
    data = cbor.encode(item)
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            cbor.decode(data[:end])


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (cbor.decode, cbor.decode_own, cbor.decode_value):
        try:
            decode(data)
        except ProtocolError:
            continue


@pytest.mark.parametrize("content", [1, "2020-01-01T00:00:00Z", b"abcd", [1, 2], []], ids=repr)
def test_no_tag_is_taken_from_the_network(content: object) -> None:
    for tag in (*range(300), 1004, 21097, 43000, 55799, 55800, 2**32, 2**64 - 1):
        with pytest.raises(ProtocolError):
            cbor.decode(cbor2.dumps([cbor2.CBORTag(tag, content)]))


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1])
def test_integers_past_64_bits_are_refused_because_they_are_tagged(value: int) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode(cbor.encode(value))


@pytest.mark.parametrize("decode", [cbor.decode, cbor.decode_own, cbor.decode_value])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x9f\x01\xff", id="array"),
        pytest.param(b"\xbf\x01\x02\xff", id="map"),
        pytest.param(b"\x5f\x41a\xff", id="bytes"),
        pytest.param(b"\x7f\x61a\xff", id="text"),
    ],
)
def test_indefinite_lengths_are_refused(decode: object, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)  # type: ignore[operator]


def test_duplicate_map_keys_are_refused() -> None:
    assert cbor.decode(b"\xa2\x01\x02\x03\x04") == {1: 2, 3: 4}
    with pytest.raises(ProtocolError):
        cbor.decode(b"\xa2\x01\x02\x01\x03")


@pytest.mark.parametrize("decode", [cbor.decode, cbor.decode_own])
def test_protocol_data_is_nested_at_most_16_deep(decode: object) -> None:
    assert decode(cbor2.dumps(nested(16))) == nested(16)  # type: ignore[operator]
    with pytest.raises(ProtocolError):
        decode(cbor2.dumps(nested(17)))  # type: ignore[operator]


@pytest.mark.parametrize("decode", [cbor.decode, cbor.decode_own, cbor.decode_value])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81" * 100_000 + b"\x00", id="deep arrays"),
        pytest.param(b"\xa1\x00" * 100_000 + b"\x00", id="deep maps"),
        pytest.param(b"\xc6" * 100_000 + b"\x00", id="deep tags"),
        pytest.param(b"\xd9\x01\x02\x81" * 50_000 + b"\x00", id="deep sets"),
        pytest.param(b"\x9b" + b"\x7f" * 8, id="an endless array"),
        pytest.param(b"\xbb" + b"\x7f" * 8, id="an endless map"),
        pytest.param(b"\x5b" + b"\x7f" * 8, id="endless bytes"),
        pytest.param(b"\x7b" + b"\x7f" * 8, id="endless text"),
        pytest.param(b"\x61\xff", id="text that is not UTF-8"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_hostile_bytes_are_refused_at_once(decode: object, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)  # type: ignore[operator]


def items_in(item: object) -> int:
    return 1 + sum(map(items_in, item)) if isinstance(item, list) else 1


@given(PROTOCOL_DATA, st.integers(1, 30))
def test_more_items_than_allowed_are_refused_and_as_many_are_not(item: object, items_max: int) -> None:
    data = cbor.encode(item)
    if items_in(item) <= items_max:
        assert cbor.decode(data, items_max) == item
    else:
        with pytest.raises(ProtocolError, match=f"more than {items_max} items"):
            cbor.decode(data, items_max)


@given(st.binary(max_size=60), st.integers(1, 30))
def test_any_bytes_are_decoded_or_refused_also_when_their_items_are_counted(data: bytes, items_max: int) -> None:
    try:
        item = cbor.decode(data, items_max)
    except ProtocolError:
        return
    assert repr(item) == repr(cbor.decode(data))


def test_long_strings_are_one_item() -> None:
    item = [b"x" * 100_000, "y" * 100_000]
    assert cbor.decode(cbor.encode(item), 3) == item


# Users' values.


@given(VALUES)
def test_every_value_that_is_taken_comes_back(value: object) -> None:
    assert cbor.decode_value(cbor.encode_value(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2024, 2, 29, 12, 30, 1, 250, tzinfo=datetime.UTC),
        datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        datetime.date(1969, 12, 31),
        Decimal("12.340"),
        uuid.UUID(int=7),
        {1, 2, 3},
        frozenset({"a"}),
        {"a": [1, {"b": None}], 7: True},
        {(1, 2): "a key of two"},
        2**200,
        -(2**200),
        1e300,
        float("inf"),
        Fraction(1, 3),
        IPv4Address("10.0.0.1"),
        IPv6Network("fe80::/10"),
        "",
        b"",
        None,
    ],
    ids=repr,
)
def test_a_value_comes_back_equal_and_of_its_type(value: object) -> None:
    back = cbor.decode_value(cbor.encode_value(value))
    assert back == value
    assert isinstance(back, set if isinstance(value, frozenset) else type(value))


def test_a_decimal_keeps_its_trailing_zeros() -> None:
    assert str(cbor.decode_value(cbor.encode_value(Decimal("12.340")))) == "12.340"


def test_what_is_not_a_number_comes_back_as_such() -> None:
    assert repr(cbor.decode_value(cbor.encode_value([float("nan")]))) == "[nan]"


def test_tuples_and_byte_arrays_come_back_as_lists_and_bytes() -> None:
    assert cbor.decode_value(cbor.encode_value((1, bytearray(b"x")))) == [1, b"x"]


@given(st.permutations([("b", 1), ("a", 2), (10, 3), ("aa", 4)]), st.permutations(["x", "yy", 3, b"z"]))
def test_equal_maps_and_sets_are_equal_bytes(items: list[tuple[object, int]], members: list[object]) -> None:
    encoded = cbor.encode_value([dict(items), set(members)])
    assert encoded == cbor.encode_value([{"aa": 4, 10: 3, "a": 2, "b": 1}, {b"z", 3, "yy", "x"}])


def test_a_value_is_nested_at_most_16_deep() -> None:
    assert cbor.decode_value(cbor.encode_value(nested(16))) == nested(16)
    with pytest.raises(InvalidRequest, match="at most 16 deep"):
        cbor.encode_value(nested(17))


def test_keys_of_maps_count_as_nested() -> None:
    key: object = 1
    for _ in range(17):
        key = (key,)
    with pytest.raises(InvalidRequest, match="at most 16 deep"):
        cbor.encode_value({key: 1})


@pytest.mark.parametrize("depth", [8, 9, 15, 16])
def test_nested_sets_that_are_taken_come_back(depth: int) -> None:
    value: object = 1
    for _ in range(depth):
        value = frozenset([value])
    assert_refused_or_kept(value)


@pytest.mark.parametrize("depth", [15, 16])
@pytest.mark.parametrize(
    "leaf", [Decimal("1.5"), Fraction(1, 3), 1j, IPv6Network("fe80::/10"), uuid.UUID(int=7), 2**80], ids=repr
)
def test_leaves_that_are_arrays_inside_come_back_from_any_depth_taken(depth: int, leaf: object) -> None:
    assert_refused_or_kept(nested(depth, leaf))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(re.compile("a+"), id="a pattern"),
        pytest.param(cbor2.CBORTag(35, "a+"), id="a tagged pattern"),
        pytest.param(cbor2.CBORTag(28, [1]), id="a shared value"),
        pytest.param(cbor2.CBORTag(29, 0), id="a reference"),
        pytest.param(cbor2.CBORTag(5, [1, 2]), id="a big float"),
        pytest.param(cbor2.CBORTag(0, "no date"), id="a date that is none"),
        pytest.param(cbor2.CBORTag(30, [1, 0]), id="a fraction of zero"),
    ],
)
def test_a_value_that_could_not_be_read_again_is_refused_before_it_is_written(value: object) -> None:
    assert_refused_or_kept(value)


def assert_refused_or_kept(value: object) -> None:
    try:
        data = cbor.encode_value(value)
    except InvalidRequest:
        return
    assert cbor.decode_value(data) == value


def test_a_value_that_contains_itself_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    ring: dict[str, object] = {}
    ring["self"] = {"again": ring}
    for value in (circle, ring):
        with pytest.raises(InvalidRequest):
            cbor.encode_value(value)


def test_a_part_used_twice_comes_back_twice() -> None:
    part = [1, 2]
    assert cbor.decode_value(cbor.encode_value([part, part])) == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xd8\x1c\x81\xd8\x1d\x00", id="an array that holds itself"),
        pytest.param(b"\xd8\x1c\xa1\x61a\xd8\x1d\x00", id="a map that holds itself"),
        pytest.param(b"\x82\xd8\x1c\x81\x01\xd8\x1d\x00", id="a part used twice"),
        pytest.param(b"\xd9\x01\x00\x82\x63abc\xd8\x19\x00", id="a text reference"),
        pytest.param(b"\xc5\x82\x1b" + b"\x7f" * 8 + b"\x01", id="a huge float"),
        pytest.param(b"\xd8\x23\x64(a+)", id="a pattern"),
    ],
)
def test_stored_values_with_dangerous_tags_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode_value(data)


NESTINGS = {
    "a list": "[value]",
    "a map": "{'key': value}",
    "a tuple": "(1, value)",
    "a frozenset": "frozenset([value])",
    "a deque": "collections.deque([value])",
    "a tag": "cbor2.CBORTag(4000, value)",
}


@pytest.mark.parametrize("nesting", NESTINGS.values(), ids=NESTINGS)
def test_a_value_nested_100_000_deep_is_refused_without_a_crash(nesting: str) -> None:
    program = f"""
import collections, os, cbor2
from crdtkv import cbor
from crdtkv.errors import InvalidRequest
value = 1
for _ in range(100_000):
    value = {nesting}
try:
    cbor.encode_value(value)
except InvalidRequest:
    print("refused", flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr[-500:]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        pytest.param(lambda: 1, id="a function"),
        pytest.param(int, id="a class"),
        pytest.param(datetime.datetime(2024, 1, 1), id="a time without a zone"),  # noqa: DTZ001
        pytest.param("\ud800", id="text that has no UTF-8"),
        pytest.param([1, {2: object()}], id="an object inside"),
        pytest.param(iter([1]), id="an iterator"),
    ],
)
def test_a_value_that_has_no_encoding_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        cbor.encode_value(value)


def test_a_value_of_512_kib_is_taken_and_one_byte_more_is_not() -> None:
    header = 5
    assert len(cbor.encode_value(b"x" * (MAX_VALUE_BYTES - header))) == MAX_VALUE_BYTES
    with pytest.raises(ValueTooLarge) as caught:
        cbor.encode_value(b"x" * (MAX_VALUE_BYTES - header + 1))
    assert caught.value.fields == (MAX_VALUE_BYTES + 1, MAX_VALUE_BYTES)


def test_a_mapping_of_another_class_is_stored_as_a_map() -> None:
    value = collections.OrderedDict([("b", 1), ("a", collections.defaultdict(int, {"c": 2}))])
    assert cbor.decode_value(cbor.encode_value(value)) == {"a": {"c": 2}, "b": 1}
