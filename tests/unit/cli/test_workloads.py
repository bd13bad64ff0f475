"""The core workloads of YCSB: how often each operation comes, on what, and which records are there."""

from collections import Counter
from random import Random

import pytest

from crdtkv.cli.workloads import LONGEST_SCAN, YCSB, Call, Mix, Records, Workload, only

DRAWS = 20_000


def calls_of(workload: Workload, records: Records) -> list[Call]:
    mix, random = Mix(workload, records), Random(1)
    calls = []
    for _ in range(DRAWS):
        calls.append(mix.draw(random))
        mix.ended(calls[-1])
    return calls


@pytest.mark.parametrize("workload", YCSB.values(), ids=YCSB)
def test_operations_come_as_often_as_the_workload_says(workload: Workload) -> None:
    assert sum(workload.shares.values()) == pytest.approx(1)
    seen = Counter(call.kind for call in calls_of(workload, Records(100)))
    assert set(seen) == set(workload.shares)
    for kind, share in workload.shares.items():
        assert seen[kind] / DRAWS == pytest.approx(share, abs=0.01)


def test_scans_are_of_1_to_100_records_alike() -> None:
    lengths = [call.length for call in calls_of(YCSB["e"], Records(100)) if call.kind == "scan"]
    assert (min(lengths), max(lengths)) == (1, LONGEST_SCAN)
    assert sum(lengths) / len(lengths) == pytest.approx(50.5, rel=0.03)


def test_inserted_records_are_new_ones_one_after_the_other() -> None:
    records = Records(100)
    inserted = [call.record for call in calls_of(YCSB["d"], records) if call.kind == "insert"]
    assert inserted == list(range(100, 100 + len(inserted)))
    assert records.count == 100 + len(inserted)


def test_workload_d_reads_what_was_inserted_last() -> None:
    calls = calls_of(YCSB["d"], Records(100))
    ages, newest = [], 99
    for call in calls:
        if call.kind == "insert":
            newest = call.record
        else:
            ages.append(newest - call.record)
    assert min(ages) == 0
    assert Counter(ages).most_common(1)[0][0] == 0


def test_a_record_is_there_when_its_insertion_and_all_earlier_ones_have_ended() -> None:
    records = Records(5)
    first, second, third = (records.begin() for _ in range(3))
    assert (first, second, third, records.count) == (5, 6, 7, 5)
    records.ended(second)
    assert records.count == 5
    records.ended(first)
    assert records.count == 7
    records.ended(third)
    assert records.count == 8


def test_a_single_operation_is_a_workload_on_every_record_alike() -> None:
    calls = calls_of(only("put"), Records(50))
    assert {call.kind for call in calls} == {"put"}
    assert {call.record for call in calls} == set(range(50))
