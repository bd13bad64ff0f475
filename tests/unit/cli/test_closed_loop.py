"""The load generator: what it counts, and when it ends."""

import asyncio
from itertools import count

import pytest

from crdtkv.cli.closed_loop import RecordMissing, Sampled, Setting, measure
from crdtkv.cli.workloads import YCSB, Call, Mix, Records, only

GETS = only("get")


def seen_of(carry_out, setting, workload=GETS):  # type: ignore[no-untyped-def]
    cpu_s = count(0.0)
    return asyncio.run(
        measure(Mix(workload, Records(50)), carry_out, setting, (RecordMissing,), lambda: float(next(cpu_s)))
    )


async def at_once(_: Call) -> None:
    await asyncio.sleep(0)


def test_it_ends_after_so_many_operations() -> None:
    seen = seen_of(at_once, Setting(workers=7, warm_up_s=0.0, seconds=60.0, operations=200))
    assert len(seen.all.latencies_s) == 200
    assert seen.seconds < 30
    assert seen.server_cpu_s >= 1.0  # the difference of two readings, scaled to the counted time


def test_it_ends_after_so_many_seconds_and_each_worker_has_one_operation_in_flight() -> None:
    in_flight, most = 0, 0

    async def carry_out(_: Call) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.001)
        in_flight -= 1

    seen = seen_of(carry_out, Setting(workers=5, warm_up_s=0.02, seconds=0.1))
    assert (seen.seconds, most, in_flight) == (0.1, 5, 0)
    assert 0 < len(seen.all.latencies_s) <= 5 * 100
    assert seen.all.quantile_ms(0.0) >= 1.0


def test_operations_of_the_warm_up_are_not_counted() -> None:
    began = []

    async def carry_out(_: Call) -> None:
        began.append(1)
        await asyncio.sleep(0.005)

    seen = seen_of(carry_out, Setting(workers=1, warm_up_s=0.1, seconds=10.0, operations=3))
    assert len(seen.all.latencies_s) == 3
    assert len(began) > 3


def test_failures_are_counted_by_kind_and_others_end_the_measurement() -> None:
    async def no_reads(call: Call) -> None:
        await asyncio.sleep(0)
        if call.kind == "read":
            raise RecordMissing

    seen = seen_of(no_reads, Setting(workers=2, warm_up_s=0.0, seconds=60.0, operations=100), YCSB["a"])
    assert seen.kinds["read"].errors > 0
    assert seen.kinds["read"].latencies_s == []
    assert seen.kinds["update"].errors == 0
    assert seen.all.errors + len(seen.all.latencies_s) == 100

    async def broken(_: Call) -> None:
        raise KeyError

    with pytest.raises(ExceptionGroup):
        seen_of(broken, Setting(workers=2, warm_up_s=0.0, seconds=60.0))


def test_quantiles_are_those_of_the_sorted_latencies() -> None:
    sampled = Sampled([number / 1000 for number in range(1, 101)])
    assert [sampled.quantile_ms(share) for share in (0.0, 0.5, 0.99, 1.0)] == pytest.approx([1, 51, 100, 100])
    assert Sampled().quantile_ms(0.99) == 0.0
