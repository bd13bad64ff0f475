"""The load generator: workers in one process, each with one operation in flight, and what was seen of them.

A closed loop: a worker begins its next operation when the last one has ended. So a slow store is asked less, and a
stall counts once per worker; latencies are those that such callers notice, not those at a fixed rate. Operations that
begin while the store warms up, or end after the measurement, are not counted.
"""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from crdtkv.cli.workloads import Call, Mix

#: How long a worker waits after a failure, so that a store that refuses at once is not asked in a tight loop.
PAUSE_AFTER_FAILURE_S = 0.01


class RecordMissing(Exception):
    """A read did not find a record that is there."""


class Setting(NamedTuple):
    """How long to measure: for some seconds, or until so many operations have begun."""

    workers: int
    warm_up_s: float
    seconds: float
    operations: int | None = None
    seed: int = 0


@dataclass(slots=True)
class Sampled:
    """What was seen of some operations: the latencies, sorted, of those that succeeded; how many failed."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0

    def quantile_ms(self, share: float) -> float:
        """Return the latency that this share of the operations did not exceed; 0 if there were none."""
        ordered = self.latencies_s
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


@dataclass(slots=True)
class Seen:
    """What one measurement has seen. CPU times are those of the client process and of all servers meanwhile."""

    seconds: float
    kinds: dict[str, Sampled]
    client_cpu_s: float
    server_cpu_s: float

    @property
    def all(self) -> Sampled:
        """All kinds of operations together."""
        latencies = sorted(latency for sampled in self.kinds.values() for latency in sampled.latencies_s)
        return Sampled(latencies, sum(sampled.errors for sampled in self.kinds.values()))


async def measure(
    mix: Mix,
    carry_out: Callable[[Call], Awaitable[object]],
    setting: Setting,
    failures: tuple[type[Exception], ...],
    server_cpu_s: Callable[[], float],
) -> Seen:
    """Have all workers work until the measurement ends; `failures` are counted, other exceptions end it."""
    clock = time.perf_counter
    kinds: dict[str, Sampled] = {}
    counting_from = clock() + setting.warm_up_s
    stop_at = counting_from + setting.seconds if setting.operations is None else float("inf")
    left = setting.operations

    async def work(number: int) -> None:
        nonlocal left
        random = Random(setting.seed * 100_003 + number)  # noqa: S311 - which record comes next, not a secret
        while (now := clock()) < stop_at and left != 0:
            if left is not None and now >= counting_from:
                left -= 1
            call = mix.draw(random)
            sampled = kinds.get(call.kind)
            if sampled is None:
                sampled = kinds[call.kind] = Sampled()
            began = clock()
            try:
                await carry_out(call)
            except failures:
                sampled.errors += 1
                await asyncio.sleep(PAUSE_AFTER_FAILURE_S)
            else:
                ended = clock()
                if began >= counting_from and ended <= stop_at:
                    sampled.latencies_s.append(ended - began)
            finally:
                mix.ended(call)

    async with asyncio.TaskGroup() as group:
        working = [group.create_task(work(number)) for number in range(setting.workers)]
        await asyncio.sleep(counting_from - clock())
        before_servers = await asyncio.to_thread(server_cpu_s)
        before_client, began = own_cpu_s(), clock()
        await asyncio.wait(working, timeout=None if setting.operations else stop_at - clock())
        ended, after_client = clock(), own_cpu_s()
        after_servers = await asyncio.to_thread(server_cpu_s)
    for sampled in kinds.values():
        sampled.latencies_s.sort()
    seconds = setting.seconds if setting.operations is None else ended - counting_from
    scale = seconds / (ended - began)
    return Seen(seconds, kinds, (after_client - before_client) * scale, (after_servers - before_servers) * scale)


def own_cpu_s() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
