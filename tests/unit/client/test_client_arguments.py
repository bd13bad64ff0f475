"""Arguments of public calls: wrong ones are refused with a message that says what is allowed."""

import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from crdtkv import TEXT
from crdtkv.client.arguments import (
    check_elements,
    checked_bound,
    checked_codec,
    checked_rank,
    checked_timeout,
    checked_whole,
    prefix_bytes,
    ttl_ms,
)
from crdtkv.errors import InvalidRequest, ValueTooLarge

NO_NUMBERS: list[Any] = ["5", True, None, Decimal(3), Fraction(1, 3), timedelta(seconds=1), b"1", [1], object]


@pytest.mark.parametrize(
    "timeout", [*NO_NUMBERS, math.inf, -math.inf, math.nan, 0, 0.0, -1, 86_401, 1e17, 10**400], ids=repr
)
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(InvalidRequest, match="in seconds, above 0 and at most 86,400"):
        checked_timeout(timeout)


@pytest.mark.parametrize("timeout", [1e-9, 0.5, 1, 5.0, 86_400])
def test_a_timeout_is_seconds_up_to_a_day(timeout: float) -> None:
    assert checked_timeout(timeout) == timeout


@pytest.mark.parametrize(
    "ttl", [one for one in NO_NUMBERS if one is not None] + [math.inf, math.nan, -1, 1e12], ids=repr
)
def test_a_time_to_live_that_is_none_is_refused(ttl: Any) -> None:
    with pytest.raises(InvalidRequest, match="a time to live is in seconds"):
        ttl_ms(ttl)


def test_a_time_to_live_is_for_ever_as_the_bucket_says_or_at_least_a_millisecond() -> None:
    assert [ttl_ms(ttl) for ttl in (None, 0, 0.0, 1e-6, 1.5, 100 * 365 * 86_400)] == [
        None, 0, 0, 1, 1500, 100 * 365 * 86_400_000,
    ]  # fmt: skip


@pytest.mark.parametrize("amount", [*NO_NUMBERS, 1.0, 2**63, -(2**63), 2**64], ids=repr)
def test_a_counter_is_changed_by_whole_numbers_of_63_bits(amount: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"whole number below 2\*\*63"):
        checked_whole(amount)
    assert [checked_whole(number) for number in (2**63 - 1, 1 - 2**63, 0)] == [2**63 - 1, 1 - 2**63, 0]


@pytest.mark.parametrize(
    "prefix", [None, 7, ["user:"], bytearray(b"user:"), "caf\udce9", "x" * 1025, b"x" * 1025], ids=repr
)
def test_a_prefix_that_no_key_has_is_refused(prefix: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"prefix"):
        prefix_bytes(prefix)
    assert [prefix_bytes(good) for good in ("", "é", b"\xff")] == [b"", "é".encode(), b"\xff"]


@pytest.mark.parametrize("position", ["1", 1.0, True, object], ids=repr)
def test_a_rank_is_a_whole_number_or_left_out(position: Any) -> None:
    with pytest.raises(InvalidRequest, match="ranks are whole numbers"):
        checked_rank(position)
    assert [checked_rank(good) for good in (None, 0, -1)] == [None, 0, -1]


@pytest.mark.parametrize("end", [*NO_NUMBERS, math.nan], ids=repr)
def test_scores_lie_between_numbers_the_infinite_among_them(end: Any) -> None:
    with pytest.raises(InvalidRequest, match="between two numbers"):
        checked_bound(end)
    assert checked_bound(-math.inf) == -math.inf


def test_elements_are_bounded_in_number_and_in_what_they_take_together() -> None:
    check_elements([b"x"] * 10_000, 10_000)
    with pytest.raises(InvalidRequest, match="one or more"):
        check_elements([], 10)
    with pytest.raises(InvalidRequest, match="at most 10,000"):
        check_elements([b"x"] * 10_001, 1 << 20)
    with pytest.raises(ValueTooLarge) as caught:
        check_elements([b"x" * 6, b"x" * 5], 10)
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (11, 10)


@pytest.mark.parametrize("codec", [str, dict, "text", None, type(TEXT)], ids=repr)
def test_a_type_is_no_codec(codec: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"crdtkv.model\(User\)"):
        checked_codec(codec)
    assert checked_codec(TEXT) is TEXT
