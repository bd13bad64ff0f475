"""Tokens and partitions: stable numbers that tile the ring, and storage keys that begin with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.ring.token import (
    TOKEN_BITS,
    identity_in,
    partition_in,
    partition_of,
    partition_start,
    storage_key_at,
    storage_key_of,
    token_of,
)

TOKENS = st.integers(0, 2**TOKEN_BITS - 1)
POWERS = st.integers(0, 16).map(lambda exponent: 2**exponent)


@pytest.mark.parametrize(
    ("identity", "token"),
    [
        (b"", 0),
        (b"default\0register\0user:1", 0xFC94418CD89C0143),
        (b"default\0counter\0user:1", 0x3192A8DEDC22DA3F),
        (b"eu-1#0", 0xC984DAC3D329184F),
    ],
)
def test_tokens_never_change_because_data_lies_where_they_say(identity: bytes, token: int) -> None:
    assert token_of(identity) == token


@given(TOKENS, POWERS)
def test_a_partition_is_the_top_bits_of_a_token(token: int, partitions: int) -> None:
    bits = partitions.bit_length() - 1
    assert partition_of(token, partitions) == token >> (TOKEN_BITS - bits)


@given(POWERS, st.data())
def test_a_partition_reaches_from_its_start_to_the_start_of_the_next(partitions: int, data: st.DataObject) -> None:
    partition = data.draw(st.integers(0, partitions - 1))
    start, end = partition_start(partition, partitions), partition_start(partition + 1, partitions)
    assert start < end
    assert partition_of(start, partitions) == partition
    assert partition_of(end - 1, partitions) == partition


def test_the_partitions_tile_the_whole_ring() -> None:
    assert partition_start(0, 256) == 0
    assert partition_start(256, 256) == 2**64


@given(st.binary(max_size=40), POWERS)
def test_a_storage_key_tells_identity_and_partition(identity: bytes, partitions: int) -> None:
    storage_key = storage_key_of(identity)
    assert identity_in(storage_key) == identity
    assert storage_key == storage_key_at(token_of(identity), identity)
    assert partition_in(storage_key, partitions) == partition_of(token_of(identity), partitions)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_storage_keys_are_sorted_as_their_tokens_are(one: bytes, other: bytes) -> None:
    first, second = sorted([storage_key_of(one), storage_key_of(other)])
    assert token_of(identity_in(first)) <= token_of(identity_in(second))
