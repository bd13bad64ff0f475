"""The layout of a store: kinds of rows apart from each other, and partitions that tile the entries."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.storage import rows
from crdtkv.storage.store import SCAN_BYTES, is_whole

IDENTITIES = st.binary(min_size=1, max_size=20)
NUMBERS = st.integers(0, 2**64 - 1)
RANGES = (rows.DATA_RANGE, rows.OUTBOX_RANGE, rows.DEAD_LETTER_RANGE, rows.TOMBSTONE_RANGE)


FACTS = [
    rows.IDENTITY,
    rows.ACTOR,
    rows.COLLECTED_UNTIL,
    rows.TOPOLOGY,
    rows.OUTBOX_NUMBERS,
    rows.GEO_PEERS,
    rows.compare_row("us"),
]


def ranges_of(row: bytes) -> list[tuple[bytes, bytes]]:
    return [(start, stop) for start, stop in RANGES if start <= row < stop]


@given(IDENTITIES)
def test_an_entrys_row_tells_its_storage_key(identity: bytes) -> None:
    row = rows.data_row(storage_key_of(identity))
    assert rows.storage_key_in(row) == storage_key_of(identity)
    assert ranges_of(row) == [rows.DATA_RANGE]


@given(IDENTITIES)
def test_a_tombstones_row_tells_its_storage_key(identity: bytes) -> None:
    row = rows.tombstone_row(storage_key_of(identity))
    assert rows.storage_key_in(row) == storage_key_of(identity)
    assert ranges_of(row) == [rows.TOMBSTONE_RANGE]


@given(NUMBERS)
def test_an_outbox_row_tells_its_number(outbox_seq: int) -> None:
    assert rows.outbox_seq_in(rows.outbox_row(outbox_seq)) == outbox_seq
    assert ranges_of(rows.outbox_row(outbox_seq)) == [rows.OUTBOX_RANGE]
    assert ranges_of(rows.dead_letter_row(outbox_seq)) == [rows.DEAD_LETTER_RANGE]


@pytest.mark.parametrize("row", FACTS)
def test_a_nodes_own_facts_lie_in_no_range(row: bytes) -> None:
    assert ranges_of(row) == []


@given(NUMBERS, NUMBERS)
def test_outbox_rows_are_sorted_by_number(one: int, other: int) -> None:
    assert (rows.outbox_row(one) < rows.outbox_row(other)) == (one < other)


@pytest.mark.parametrize("partitions", [1, 2, 256, 65_536])
def test_the_partitions_tile_the_entries(partitions: int) -> None:
    ranges = [rows.partition_range(partition, partitions) for partition in range(partitions)]
    assert ranges[0][0].startswith(rows.DATA_RANGE[0])
    assert ranges[0][0] <= rows.data_row(bytes(8))
    assert ranges[-1][1] == rows.DATA_RANGE[1]
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(ranges))
    assert all(start < stop for start, stop in ranges)


@given(IDENTITIES, st.sampled_from([1, 2, 256, 65_536]))
def test_an_entry_lies_in_the_range_of_its_partition(identity: bytes, partitions: int) -> None:
    start, stop = rows.partition_range(partition_in(storage_key_of(identity), partitions), partitions)
    assert start <= rows.data_row(storage_key_of(identity)) < stop


@given(st.sampled_from([1, 256]), st.binary(max_size=4))
def test_the_last_token_of_the_ring_lies_in_the_last_partition(partitions: int, identity: bytes) -> None:
    start, stop = rows.partition_range(partitions - 1, partitions)
    assert start <= rows.data_row(b"\xff" * 8 + identity) < stop


def test_a_scan_is_whole_when_neither_limit_cut_it_short() -> None:
    found = [(b"a", bytes(10)), (b"b", bytes(10))]
    assert is_whole(found, limit=3)
    assert not is_whole(found, limit=2)
    assert is_whole(found, limit=3, limit_bytes=21)
    assert not is_whole(found, limit=3, limit_bytes=20)
    assert is_whole([], limit=1)
    assert not is_whole([(b"a", bytes(SCAN_BYTES))], limit=9)
