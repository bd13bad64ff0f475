"""What a session has seen, and its token."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.causality import seen as seen_module
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.seen import Seen
from crdtkv.causality.version_vector import VersionVector
from crdtkv.errors import InvalidRequest

A, B = "eu-1.00000000000000aa", "us-1.00000000000000bb"
KEY = b"default\0register\0k"


def context(**counters: int) -> CausalContext:
    return CausalContext(VersionVector({{"a": A, "b": B}[name]: counter for name, counter in counters.items()}))


def test_a_key_shows_what_was_seen_if_it_has_all_of_it() -> None:
    seen = Seen()
    assert seen.is_in(KEY, context())
    seen.read(KEY, context(a=2))
    seen.written(KEY, Dot(B, 3), 17)
    assert not seen.is_in(KEY, context(a=2))
    assert not seen.is_in(KEY, context(a=2, b=2))
    assert not seen.is_in(KEY, context(a=1, b=3))
    assert seen.is_in(KEY, context(a=2, b=3))
    assert seen.is_in(b"another", context())
    assert seen.newest == 17


def test_only_what_was_acknowledged_must_be_there_not_what_came_before_it() -> None:
    seen = Seen()
    seen.written(KEY, Dot(A, 3), 1)
    assert seen.is_in(KEY, CausalContext(VersionVector(), [Dot(A, 3)]))


@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=20),
        st.lists(st.tuples(st.sampled_from([A, B]), st.integers(1, 9)), min_size=1, max_size=5),
        max_size=5,
    ),
    st.integers(0, 2**63 - 1),
)
def test_a_token_has_all_of_it(written: dict[bytes, list[tuple[str, int]]], newest: int) -> None:
    seen = Seen()
    for identity, dots in written.items():
        for dot in dots:
            seen.written(identity, Dot(*dot), newest)
    again = Seen.from_token(seen.to_token())
    assert again.contexts == seen.contexts
    assert again.newest == seen.newest
    assert again.to_token() == seen.to_token()


def test_there_is_a_bound_on_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_module, "MAX_KEYS", 2)
    seen, other = Seen(), Seen()
    for identity in (b"a", b"b"):
        seen.check_room(identity)
        seen.read(identity, context(a=1))
    seen.check_room(b"b")
    with pytest.raises(InvalidRequest, match="remembers at most"):
        seen.check_room(b"c")
    other.read(b"c", context(a=1))
    with pytest.raises(InvalidRequest, match="remembers at most"):
        seen.take(other)


@pytest.mark.parametrize(
    "token",
    ["", "garbage", "caf\udce9", "é", None, 7, b"bytes", [], "A" * 100_000],
    ids=lambda token: repr(token)[:20],
)
def test_what_is_no_token_is_refused(token: Any) -> None:
    with pytest.raises(InvalidRequest):
        Seen.from_token(token)


@pytest.mark.parametrize(
    "wire",
    [
        1,
        [],
        [2, 0, []],
        [True, 0, []],
        [1, True, []],
        [1, 2**63, []],
        [1, -1, []],
        [1, 0, [1]],
        [1, 0, [[b"k"]]],
        [1, 0, [["k", [[], []]]]],
        [1, 0, [[b"k", [1]]]],
    ],
    ids=str,
)
def test_a_malformed_token_is_refused(wire: object) -> None:
    import base64

    with pytest.raises(InvalidRequest):
        Seen.from_token(base64.urlsafe_b64encode(cbor.encode(wire)).decode())
