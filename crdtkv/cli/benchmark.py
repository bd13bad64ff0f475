"""The measurements of `crdtkv bench`: the load of `closed_loop` on one data center of a running cluster."""

import contextlib
import http.client
import itertools
import json
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple

from crdtkv.cli import closed_loop
from crdtkv.cli.closed_loop import RecordMissing, Sampled, Seen, Setting
from crdtkv.cli.session import only
from crdtkv.cli.workloads import INSERT, READ, READ_MODIFY_WRITE, SCAN, UPDATE, Call, Mix, Records, Workload
from crdtkv.client.client import Client, connect
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import CrdtkvError
from crdtkv.quorum.level import ConsistencyLevel, level_named

WARM_UP_S = 0.5
PREFIX = "bench:"
#: How many different values are written, one after the other.
VALUES = 64
#: The errors of a status request that gets no answer, or that of another program.
_NO_STATUS = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError)
_NEEDS_NO_RECORDS = {"put", "incr"}


class Plan(NamedTuple):
    """The parameters of one measurement."""

    workload: Workload
    level: str
    workers: int
    seconds: float
    operations: int | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of one measurement, of one kind of operation or of `all` kinds of a workload.

    Latencies in milliseconds. CPU in microseconds per operation of the workload, of any kind.
    """

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

    workload: str
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
        workload, operation, *fields = asdict(self).values()
        fields[3] = round(self.operations_per_s)
        return [f"{workload} {operation}".lstrip(), *fields]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


async def measure(
    config_path: Path, datacenter: str | None, plans: list[Plan], value_bytes: int, count: int
) -> list[Measurement]:
    """Run all measurements, one after the other, on one data center."""
    config = only(load(config_path), datacenter)
    values = values_of(value_bytes)
    records = Records(count)
    async with connect(config, timeout=10.0) as client:
        if any(_NEEDS_NO_RECORDS.isdisjoint(plan.workload.shares) for plan in plans):
            await _preload(client, count, values)
        return [
            measurement
            for plan in plans
            for measurement in _results(plan, value_bytes, await _measure(client, config, plan, values, records))
        ]


async def _preload(client: Client, count: int, values: list[bytes]) -> None:
    """Write all records.

    Raises:
        CrdtkvError: one of them could not be written.
    """
    for error in (await client.put_many({key_of(number): values[number % VALUES] for number in range(count)})).values():
        if error is not None:
            raise error


async def _measure(client: Client, config: ClusterConfig, plan: Plan, values: list[bytes], records: Records) -> Seen:
    return await closed_loop.measure(
        Mix(plan.workload, records),
        verbs_of(client, level_named(plan.level), values),
        Setting(plan.workers, WARM_UP_S, plan.seconds, plan.operations),
        (CrdtkvError, RecordMissing),
        lambda: _servers_cpu_s(config),
    )


def _results(plan: Plan, value_bytes: int, seen: Seen) -> list[Measurement]:
    every = seen.all
    count = max(1, len(every.latencies_s))

    def result(operation: str, sampled: Sampled) -> Measurement:
        return Measurement(
            plan.workload.name,
            operation,
            plan.level,
            plan.workers,
            value_bytes,
            len(sampled.latencies_s) / seen.seconds,
            sampled.quantile_ms(0.5),
            sampled.quantile_ms(0.99),
            sampled.quantile_ms(0.999),
            seen.client_cpu_s * 1e6 / count,
            seen.server_cpu_s * 1e6 / count,
            sampled.errors,
        )

    by_kind = [result(kind, seen.kinds.get(kind, Sampled())) for kind in plan.workload.shares]
    return by_kind if len(by_kind) == 1 else [*by_kind, result("all", every)]


def verbs_of(client: Client, level: ConsistencyLevel, values: list[bytes]) -> Callable[[Call], Awaitable[object]]:
    """Return what carries out operations on registers of the bucket `default`."""

    async def read(call: Call) -> None:
        if await client.get(key_of(call.record), consistency=level) is None:
            raise RecordMissing

    def write(call: Call) -> Awaitable[object]:
        return client.put(key_of(call.record), next_value(), consistency=level)

    def change(call: Call) -> Awaitable[object]:
        return client.update(key_of(call.record), lambda _: next_value(), consistency=level)

    def count(call: Call) -> Awaitable[object]:
        return client.counter(key_of(call.record)).increment(consistency=level)

    async def scan(call: Call) -> None:
        found = client.scan(PREFIX, after=key_of(call.record), limit=call.length, consistency=level)
        async for _, entry in found:
            assert entry.value is not None

    next_value = itertools.cycle(values).__next__
    verbs: dict[str, Callable[[Call], Awaitable[object]]] = {
        "get": read,
        "put": write,
        "incr": count,
        READ: read,
        UPDATE: write,
        INSERT: write,
        SCAN: scan,
        READ_MODIFY_WRITE: change,
    }
    return lambda call: verbs[call.kind](call)


def key_of(record: int) -> str:
    """Return the key of a record."""
    return f"{PREFIX}{record}"


def values_of(size: int) -> list[bytes]:
    """Return values that do not compress."""
    random = Random(size)  # noqa: S311 - what the values are does not matter
    return [random.randbytes(size) for _ in range(VALUES)]


def _servers_cpu_s(config: ClusterConfig) -> float:
    """Return the CPU time of all nodes of the data center, from their status; a node without an answer counts as 0."""
    total = 0.0
    for dc in config.datacenters.values():
        for node in dc.nodes:
            url = f"http://{node.host}:{node.http_port}/status"
            with contextlib.suppress(*_NO_STATUS), urllib.request.urlopen(url, timeout=5) as response:
                total += float(json.load(response)["figures"]["cpu_seconds"])
    return total
