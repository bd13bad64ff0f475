"""Identities, names and actors: their bounds, and that building and parsing are inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import CrdtkvError, InvalidKey, InvalidRequest
from crdtkv.ids import (
    MAX_KEY_BYTES,
    Key,
    actor_name,
    check_name,
    identity_of,
    identity_prefix,
    is_actor,
    key_bytes,
    node_of,
    parse_identity,
    printable,
)

NAMES = st.text("abzABZ019_-", min_size=1, max_size=64)
TYPE_TAGS = st.text("abz", min_size=1, max_size=16)
KEYS = st.binary(min_size=1, max_size=MAX_KEY_BYTES)


@given(NAMES, TYPE_TAGS, KEYS)
def test_an_identity_is_parsed_into_what_it_was_built_from(bucket: str, type_tag: str, key: bytes) -> None:
    assert parse_identity(identity_of(bucket, type_tag, key)) == Key(bucket, type_tag, key)


@given(st.text(min_size=1, max_size=200))
def test_a_text_key_is_its_utf_8(text: str) -> None:
    assert key_bytes(text) == text.encode()
    assert identity_of("b", "register", text) == identity_of("b", "register", text.encode())


@given(NAMES, TYPE_TAGS, KEYS)
def test_an_identity_begins_with_the_prefix_of_its_bucket_and_type(bucket: str, type_tag: str, key: bytes) -> None:
    prefix = identity_prefix(bucket, type_tag)
    assert identity_of(bucket, type_tag, key) == prefix + key


def test_the_type_is_part_of_the_identity() -> None:
    assert identity_of("b", "counter", "visits") != identity_of("b", "register", "visits")


def test_a_prefix_never_reaches_into_another_bucket_or_type() -> None:
    assert not identity_of("shop", "set", "x").startswith(identity_prefix("sho", "set"))
    assert not identity_of("shop", "setx", "x").startswith(identity_prefix("shop", "set"))


def test_a_key_may_hold_the_separator() -> None:
    assert parse_identity(identity_of("b", "set", b"\0a\0")) == Key("b", "set", b"\0a\0")


@pytest.mark.parametrize("key", ["x", b"x", "x" * MAX_KEY_BYTES, b"\xff" * MAX_KEY_BYTES, "ü" * (MAX_KEY_BYTES // 2)])
def test_keys_of_1_to_1024_bytes_are_accepted(key: str | bytes) -> None:
    assert 1 <= len(key_bytes(key)) <= MAX_KEY_BYTES


@pytest.mark.parametrize("key", ["", b"", "x" * (MAX_KEY_BYTES + 1), "ü" * (MAX_KEY_BYTES // 2) + "x"])
def test_a_key_out_of_bounds_is_refused_with_its_size(key: str | bytes) -> None:
    size = len(key if isinstance(key, bytes) else key.encode())
    with pytest.raises(InvalidKey, match=f"1 to 1024 bytes, this one has {size}"):
        key_bytes(key)


@pytest.mark.parametrize("key", [None, 7, 1.5, ["x"], bytearray(b"x"), ("a", "b")])
def test_a_key_that_is_neither_text_nor_bytes_is_refused_by_its_type(key: object) -> None:
    with pytest.raises(InvalidKey, match=f"not {type(key).__name__}"):
        key_bytes(key)  # type: ignore[arg-type]


def test_a_text_key_that_has_no_utf_8_is_refused_as_a_key() -> None:
    # Python's file names hold lone surrogates where the disk's bytes are not UTF-8.
    with pytest.raises(InvalidKey):
        key_bytes("caf\udce9")


@pytest.mark.parametrize("name", ["a", "A-b_9", "-", "_", "x" * 64])
def test_names_of_letters_digits_dash_and_underscore_are_accepted(name: str) -> None:
    assert check_name("bucket", name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "a\n", "ü", "a/b", "a\0b", "*", ">", None, 7, b"a"])
def test_other_names_are_refused_and_named(name: object) -> None:
    with pytest.raises(InvalidKey) as caught:
        check_name("data center", name)  # type: ignore[arg-type]
    assert str(caught.value) == f"a data center name matches [A-Za-z0-9_-]{{1,64}}, not {name!r}"


def test_an_identity_is_not_built_for_a_bad_bucket() -> None:
    with pytest.raises(InvalidKey, match="bucket name"):
        identity_of("a b", "register", "x")


@pytest.mark.parametrize(
    ("identity", "error"),
    [
        pytest.param(b"", InvalidRequest, id="nothing"),
        pytest.param(b"bucket", InvalidRequest, id="no separator"),
        pytest.param(b"bucket\0register", InvalidRequest, id="one separator"),
        pytest.param(b"bucket\0\0key", InvalidRequest, id="no type"),
        pytest.param(b"bucket\0Register\0key", InvalidRequest, id="a type in capitals"),
        pytest.param(b"bucket\0register\n\0key", InvalidRequest, id="a type with a line break"),
        pytest.param(b"bucket\0" + b"x" * 17 + b"\0key", InvalidRequest, id="a long type"),
        pytest.param(b"\0register\0key", InvalidKey, id="no bucket"),
        pytest.param(b"b b\0register\0key", InvalidKey, id="a bucket with a space"),
        pytest.param(b"b\xff\0register\0key", InvalidKey, id="a bucket that is not ASCII"),
        pytest.param(b"bucket\0r\xff\0key", InvalidKey, id="a type that is not ASCII"),
        pytest.param(b"x" * 65 + b"\0register\0key", InvalidKey, id="a long bucket"),
        pytest.param(b"bucket\0register\0", InvalidKey, id="no key"),
        pytest.param(b"bucket\0register\0" + b"x" * 1025, InvalidKey, id="a long key"),
    ],
)
def test_a_malformed_identity_is_refused(identity: bytes, error: type[CrdtkvError]) -> None:
    with pytest.raises(error):
        parse_identity(identity)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_identity_in_full_or_refused(data: bytes) -> None:
    try:
        key = parse_identity(data)
    except (InvalidKey, InvalidRequest):
        return
    assert identity_of(*key) == data


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (b"user:1", "user:1"),
        ("Käse".encode(), "Käse"),
        (b"\xff\x00", "0xff00"),
        (b"a\nb", "0x610a62"),
        (b"\x1b[31m", "0x1b5b33316d"),
    ],
)
def test_keys_are_shown_as_text_where_that_is_safe(key: bytes, shown: str) -> None:
    assert printable(key) == shown
    assert repr(Key("b", "set", key)) == f"b/set/{shown}"


def test_an_actor_is_a_node_and_its_incarnation_in_hexadecimal() -> None:
    assert actor_name("eu-1", 0x9F3C01D2A4B5C6E7) == "eu-1.9f3c01d2a4b5c6e7"
    assert actor_name("eu-1", 1) == "eu-1.0000000000000001"
    assert actor_name("eu-1", 1, renewals=2) == "eu-1.0000000000000001-2"


@given(NAMES, st.integers(0, 2**64 - 1), st.integers(0, 9999))
def test_the_node_of_an_actor_is_the_node_it_was_named_for(node: str, incarnation: int, renewals: int) -> None:
    assert node_of(actor_name(node, incarnation, renewals)) == node


@pytest.mark.parametrize("actor", ["", "eu-1", "9f3c"])
def test_what_has_no_incarnation_is_an_actor_of_no_node(actor: str) -> None:
    assert node_of(actor) == ""


def test_names_of_actors_are_told_from_others() -> None:
    for renewals in (0, 1, 12):
        assert is_actor(actor_name("eu-1", 0xAB, renewals))
    for name in ("", "eu-1", "eu-1.ab", ".00000000000000ab", "eu-1.00000000000000AB", "eu-1.00000000000000ab-0"):
        assert not is_actor(name)
