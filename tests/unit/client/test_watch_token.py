"""The token of a watch: decoding returns the encoded parts; other text, and tokens of other watches, are refused."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.client.watch_token import Part, parts_in, to_token
from crdtkv.errors import InvalidRequest

PREFIXES = [b"default\0register\0user:", b"default\0counter\0user:"]
PARTS = [Part("eu-1", 0b1010, b"cursor"), Part("eu-2", 0b0101, b"")]


def packed(*fields: object) -> str:
    return base64.urlsafe_b64encode(cbor.encode(list(fields))).decode().rstrip("=")


def test_a_token_is_text_with_the_cursor_of_each_replica() -> None:
    token = to_token(PREFIXES, 4, PARTS)
    assert token.replace("-", "").replace("_", "").isalnum()
    assert parts_in(token, PREFIXES, 4) == PARTS
    assert parts_in(token, PREFIXES[::-1], 4) == PARTS


@pytest.mark.parametrize("prefixes", [PREFIXES[:1], [PREFIXES[0] + b"1", PREFIXES[1]], []], ids=repr)
def test_the_token_of_another_watch_is_refused(prefixes: list[bytes]) -> None:
    with pytest.raises(InvalidRequest, match="another watch"):
        parts_in(to_token(PREFIXES, 4, PARTS), prefixes, 4)


def test_the_token_of_another_ring_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="another watch"):
        parts_in(to_token(PREFIXES, 4, PARTS), PREFIXES, 8)


def test_a_partition_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        parts_in(to_token(PREFIXES, 4, [Part("eu-1", 0b11, b""), Part("eu-2", 0b10, b"")]), PREFIXES, 4)


@given(st.text(max_size=40) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parts_in(text, PREFIXES, 4)


@pytest.mark.parametrize("token", [None, 7, b"bytes", [], "caf\udce9"], ids=repr)
def test_a_token_that_is_not_text_is_refused(token: Any) -> None:
    with pytest.raises(InvalidRequest, match="not a watch token"):
        parts_in(token, PREFIXES, 4)


def test_a_cursor_longer_than_any_node_makes_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequest, match="not a watch token"):
        parts_in(to_token(PREFIXES, 4, [Part("eu-1", 0b11, b"x" * 5000)]), PREFIXES, 4)


@given(st.lists(st.none() | st.integers() | st.binary() | st.text() | st.lists(st.binary() | st.text()), max_size=4))
def test_malformed_rows_are_refused(rows: list[object]) -> None:
    digest = cbor.decode(base64.urlsafe_b64decode(to_token(PREFIXES, 4, []) + "=="))[1]
    assert parts_in(packed(1, digest, 4, []), PREFIXES, 4) == []
    if rows:
        with pytest.raises(InvalidRequest):
            parts_in(packed(1, digest, 4, rows), PREFIXES, 4)
