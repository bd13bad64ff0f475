"""The measurements of `crdtkv bench`: workers in one client process, each with one request in flight."""

import asyncio
import contextlib
import http.client
import json
import random
import resource
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from crdtkv.cli.session import only
from crdtkv.client.client import Client, connect
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import CrdtkvError
from crdtkv.quorum.level import level_named

WARM_UP_S = 0.5
#: The errors of a status request that gets no answer, or that of another program.
_NO_STATUS = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of one measurement."""

    operation: str
    level: str
    workers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one measurement. Latencies in milliseconds, CPU in microseconds per operation."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "operation",
        "level",
        "workers",
        "value bytes",
        "ops/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "client µs/op",
        "servers µs/op",
        "errors",
    )

    operation: str
    level: str
    workers: int
    value_bytes: int
    operations_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    client_cpu_us: float
    server_cpu_us: float
    errors: int

    def row(self) -> list[object]:
        """Return the cells for a table."""
        fields = list(asdict(self).values())
        fields[4] = round(self.operations_per_s)
        return fields

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


async def measure(
    config_path: Path, datacenter: str | None, plans: list[Plan], value_bytes: int, keys: int
) -> list[Measurement]:
    """Run all measurements, one after the other, on one data center."""
    config = only(load(config_path), datacenter)
    async with connect(config, timeout=10.0) as client:
        if any(plan.operation == "get" for plan in plans):
            await client.put_many({_key(number): _value(value_bytes) for number in range(keys)})
        return [await _measure(client, config, plan, value_bytes, keys) for plan in plans]


async def _measure(client: Client, config: ClusterConfig, plan: Plan, value_bytes: int, keys: int) -> Measurement:
    latencies: list[float] = []
    errors = 0
    counting_from = time.perf_counter() + WARM_UP_S
    stop_at = counting_from + plan.seconds
    level = level_named(plan.level)
    value = _value(value_bytes)
    clock = time.perf_counter

    async def work(seed: int) -> None:
        nonlocal errors
        choose = random.Random(seed).randrange  # noqa: S311 - which key comes next, not a secret
        while True:
            began = clock()
            if began >= stop_at:
                return
            try:
                match plan.operation:
                    case "get":
                        await client.get(_key(choose(keys)), consistency=level)
                    case "put":
                        await client.put(_key(choose(keys)), value, consistency=level)
                    case _:
                        await client.counter(_key(choose(keys))).increment(consistency=level)
            except CrdtkvError:
                errors += 1
                continue
            ended = clock()
            if began >= counting_from and ended <= stop_at:
                latencies.append(ended - began)

    working = [asyncio.create_task(work(seed)) for seed in range(plan.workers)]
    await asyncio.sleep(WARM_UP_S)
    before_client, before_servers = _own_cpu_s(), await asyncio.to_thread(_servers_cpu_s, config)
    began = clock()
    await asyncio.sleep(stop_at - clock())
    seconds = clock() - began
    after_client, after_servers = _own_cpu_s(), await asyncio.to_thread(_servers_cpu_s, config)
    await asyncio.gather(*working)
    latencies.sort()
    count = max(1, len(latencies))
    return Measurement(
        plan.operation,
        plan.level,
        plan.workers,
        value_bytes,
        len(latencies) / plan.seconds,
        _quantile(latencies, 0.5),
        _quantile(latencies, 0.99),
        _quantile(latencies, 0.999),
        (after_client - before_client) * 1e6 / count * plan.seconds / seconds,
        (after_servers - before_servers) * 1e6 / count * plan.seconds / seconds,
        errors,
    )


def _quantile(ordered_s: list[float], share: float) -> float:
    return ordered_s[min(len(ordered_s) - 1, int(len(ordered_s) * share))] * 1000 if ordered_s else 0.0


def _key(number: int) -> str:
    return f"bench:{number}"


def _value(size: int) -> bytes:
    return b"x" * size


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _servers_cpu_s(config: ClusterConfig) -> float:
    """Return the CPU time of all nodes of the data center, from their status; a node without an answer counts as 0."""
    total = 0.0
    for dc in config.datacenters.values():
        for node in dc.nodes:
            url = f"http://{node.host}:{node.http_port}/status"
            with contextlib.suppress(*_NO_STATUS), urllib.request.urlopen(url, timeout=5) as response:
                total += float(json.load(response)["figures"]["cpu_seconds"])
    return total
