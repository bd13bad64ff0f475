"""Sets of partitions as bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import InvalidRequest
from crdtkv.ring.partition_set import each_in, first_in, from_bits, mask_of, to_bits


@given(st.sets(st.integers(0, 255), min_size=1))
def test_a_set_comes_back_from_its_bits(chosen: set[int]) -> None:
    bits = to_bits(mask_of(chosen), 256)
    assert len(bits) == 32
    assert list(each_in(from_bits(bits, 256))) == sorted(chosen)


@given(st.sets(st.integers(0, 40)), st.integers(0, 50))
def test_the_first_behind_a_place_is_found(chosen: set[int], start: int) -> None:
    assert first_in(mask_of(chosen), start) == min((one for one in chosen if one >= start), default=None)


@pytest.mark.parametrize("bits", [b"", b"\0", b"\x10", b"\x01\0"], ids=repr)
def test_what_is_no_set_of_these_partitions_is_refused(bits: bytes) -> None:
    assert from_bits(b"\x0f", 4) == 0b1111
    with pytest.raises(InvalidRequest, match="a ring with 4"):
        from_bits(bits, 4)
