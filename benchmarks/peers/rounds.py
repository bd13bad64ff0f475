"""Rounds: in each, every system is started anew, filled, measured in all cells, and ended.

Systems take turns, so that what else the machine does meets all of them; every second round goes through them
backwards. A system's figure is compared with crdtkv's of the same round, and the medians over the rounds are reported.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crdtkv.cli import closed_loop
from crdtkv.cli.benchmark import values_of
from crdtkv.cli.closed_loop import Sampled, Setting
from crdtkv.cli.workloads import Call, Mix, Records, Workload
from peers import cpu
from peers.system import StartError, System

FILLING_WORKERS = 64
FILLING_TRIES = 50


class Extent(NamedTuple):
    """How much to measure."""

    workloads: Sequence[Workload]
    workers: Sequence[int]
    rounds: int
    seconds: float
    records: int
    value_bytes: int


class Cell(NamedTuple):
    """What is compared: one kind of operation of a workload, or `all`, at a level, with so many workers."""

    workload: str
    operation: str
    variant: str
    workers: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured in one cell of one round. CPU is per operation of the workload, of any kind."""

    operations_per_s: float
    p50_ms: float
    p99_ms: float
    client_cpu_us: float
    server_cpu_us: float
    #: Cores that neither the client nor the servers used: what else the machine did, and the kernel for the disk.
    other_cores: float
    errors: int


class Result(NamedTuple):
    """The figures of one system in one cell of one round."""

    system: str
    round: int
    cell: Cell
    figures: Figures


def lacking(system: System, workload: Workload) -> str | None:
    """Return why a system cannot be measured with a workload, None if it can."""
    return next((system.lacks[kind] for kind in workload.shares if kind in system.lacks), None)


async def measure(systems: Sequence[System], extent: Extent, tell: Callable[[str], None]) -> AsyncIterator[Result]:
    """Yield results as they come. A system that does not start is told of, and has none in that round."""
    for number in range(extent.rounds):
        for system in systems if number % 2 == 0 else systems[::-1]:
            tell(f"round {number + 1} of {extent.rounds}: {system.name}")
            with tempfile.TemporaryDirectory(prefix="crdtkv-side-by-side-") as directory:
                try:
                    async with system.running(Path(directory)) as pids:
                        async for cell, figures in _cells(system, extent, pids, number):
                            yield Result(system.name, number, cell, figures)
                except StartError as error:
                    tell(f"{system.name}: {error}")


async def _cells(system: System, extent: Extent, pids: list[int], seed: int) -> AsyncIterator[tuple[Cell, Figures]]:
    values = values_of(extent.value_bytes)
    records = Records(extent.records)
    await _fill(system, extent.records, values)
    for workload in extent.workloads:
        if lacking(system, workload) is not None:
            continue
        for variant in system.variants(next(iter(workload.shares))):
            for workers in extent.workers:
                meter = _Meter(pids)
                setting = Setting(workers, system.warm_up_s, extent.seconds, seed=seed)
                async with system.client(workers, variant, values) as carry_out:
                    mix = Mix(workload, records)
                    seen = await closed_loop.measure(mix, carry_out, setting, system.failures, meter.read)
                for kind, sampled in _kinds(workload, seen):
                    yield Cell(workload.name, kind, variant, workers), _figures(sampled, seen, meter.busy_s)


class _Meter:
    """Reads the CPU time of the servers, and that of the machine at the same moments."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._machine_s: list[float] = []

    def read(self) -> float:
        """Return the CPU seconds of the servers."""
        self._machine_s.append(cpu.of_machine())
        return cpu.of_processes(self._pids)

    @property
    def busy_s(self) -> float:
        """What the whole machine has used between the first and the last reading."""
        return self._machine_s[-1] - self._machine_s[0]


def _kinds(workload: Workload, seen: closed_loop.Seen) -> list[tuple[str, Sampled]]:
    by_kind = [(kind, seen.kinds.get(kind, Sampled())) for kind in workload.shares]
    return by_kind if len(by_kind) == 1 else [*by_kind, ("all", seen.all)]


def _figures(sampled: Sampled, seen: closed_loop.Seen, busy_s: float) -> Figures:
    count = max(1, len(seen.all.latencies_s))
    return Figures(
        len(sampled.latencies_s) / seen.seconds,
        sampled.quantile_ms(0.5),
        sampled.quantile_ms(0.99),
        seen.client_cpu_s * 1e6 / count,
        seen.server_cpu_s * 1e6 / count,
        max(0.0, busy_s - seen.client_cpu_s - seen.server_cpu_s) / seen.seconds,
        sampled.errors,
    )


async def _fill(system: System, count: int, values: list[bytes]) -> None:
    """Write all records.

    Raises:
        StartError: one of them could not be written, again and again.
    """
    unwritten = iter(range(count))
    async with system.client(FILLING_WORKERS, system.variants("put")[0], values) as carry_out:

        async def work() -> None:
            for record in unwritten:
                for _ in range(FILLING_TRIES):
                    try:
                        await carry_out(Call("put", record))
                    except system.failures as error:
                        failed = error
                        await asyncio.sleep(0.1)
                    else:
                        break
                else:
                    raise StartError(f"it does not take records: {type(failed).__name__}: {failed}")

        await asyncio.gather(*(work() for _ in range(FILLING_WORKERS)))
