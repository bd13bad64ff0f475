"""`run`: one cluster from start to end, with one strike."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import crdtkv
from crdtkv.checking.history import Operation, covers
from crdtkv.checking.verdict import judge
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from striking import watching
from striking.goodput import Goodput, Times, measure
from striking.load import RecordedLoad
from striking.probe import Probe
from striking.strikes import STRIKES

WARM_UP_S = 1.0
BEFORE_S = 4.0
AFTER_S = 6.0
#: What was in flight when the load ended has arrived by then.
SETTLE_S = 0.3


class Setting(NamedTuple):
    """How to measure."""

    workers: int
    pause_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """What one run has shown. Times are seconds, from the strike if not said otherwise.

    `down_s` is when the first other node said the struck one is down, `down_everywhere_s` when all did, `unlinked_s`
    when none of them sent it requests any more. `over_s` is the end of the fault; from there count `ready_s`, until the
    node was ready for requests, and `converged_s`. `differed` is how many keys still differed when the load ended.
    `failed_at_s` says when each of the `errors` came. `lost` are acknowledged writes that the last reads of all
    replicas do not show.
    """

    fault: str
    number: int
    node: str
    down_s: float | None
    down_everywhere_s: float | None
    unlinked_s: float | None
    over_s: float
    ready_s: float
    goodput: Goodput
    slowest_s: float
    errors: dict[str, int]
    failed_at_s: list[float]
    converged_s: float
    differed: int
    writes: int
    reads: int
    lost: int
    violations: dict[str, int]
    examples: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the fields for a line of JSON."""
        return {**asdict(self), "goodput": self.goodput._asdict()}


async def run(
    fault: str, number: int, config: ClusterConfig, directory: Path, setting: Setting
) -> tuple[Run, list[Operation]]:
    """Start a cluster, strike a node of its first data center under load, and see what becomes of it.

    Returns what was measured, and the history it was judged by.

    Raises:
        CrdtkvError: the cluster does not start.
        TimeoutError: it never converged.
    """
    home, *others = config.datacenters
    names = [node.name for node in config.datacenters[home].nodes]
    struck = names[number % len(names)]
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(LocalCluster(config, directory))
        client, *distant = [
            await stack.enter_async_context(
                crdtkv.connect(*_addresses(config, dc), datacenter=dc, timeout=setting.timeout_s)
            )
            for dc in (home, *others)
        ]
        probes = {name: Probe(config, name) for name in names}
        for probe in probes.values():
            stack.push_async_callback(probe.close)
        load = RecordedLoad(client, number, setting.workers, setting.pause_s)
        detection = watching.Detection()
        async with load:
            await asyncio.sleep(WARM_UP_S)
            began_at = time.monotonic()
            await asyncio.sleep(BEFORE_S)
            struck_at = time.monotonic()
            watchers = [
                asyncio.create_task(detection.watch(probe, struck)) for name, probe in probes.items() if name != struck
            ]
            expires_at = await STRIKES[fault](cluster, struck)
            filling = asyncio.create_task(watching.filled(probes[struck], list(load.written)))
            await cluster.ready(struck)
            ready_at = time.monotonic()
            await asyncio.sleep(AFTER_S)
            ended_at = time.monotonic()
        for watcher in watchers:
            watcher.cancel()
        await asyncio.sleep(SETTLE_S)
        equal_at, differed = await watching.equal(probes.values(), load.keys)
        filled_at = await filling
        await watching.nothing_lags(probes.values())
        finals = [final for one in (client, *distant) for final in await load.read_finally(one)]
    lost = missing_writes(load.history, finals)
    history = sorted(load.history + finals, key=lambda operation: operation.began)
    violations = judge(history)
    measured = Run(
        fault=fault,
        number=number,
        node=struck,
        down_s=_since(struck_at, detection.down_at.values(), min, 1),
        down_everywhere_s=_since(struck_at, detection.down_at.values(), max, len(names) - 1),
        unlinked_s=_since(struck_at, detection.unlinked_at.values(), max, len(names) - 1),
        over_s=round(expires_at - struck_at, 3),
        ready_s=round(ready_at - expires_at, 3),
        goodput=measure(
            (operation.ended for operation in load.history if operation.outcome == "ok"),
            Times(began_at, struck_at, expires_at, ended_at),
        ),
        slowest_s=round(max(op.ended - op.began for op in load.history if not math.isinf(op.ended)), 3),
        errors=dict(load.errors),
        failed_at_s=sorted(round(op.ended - struck_at, 2) for op in load.history if op.outcome != "ok"),
        converged_s=round((equal_at if differed else filled_at) - expires_at, 3),
        differed=differed,
        writes=sum(operation.kind == "put" for operation in load.history),
        reads=sum(operation.kind == "get" for operation in load.history),
        lost=len(lost),
        violations=dict(Counter(violation.invariant for violation in violations)),
        examples=[str(violation) for violation in violations[:3]] + [f"lost: {write}" for write in lost[:3]],
    )
    return measured, history


def missing_writes(history: Iterable[Operation], finals: Iterable[Operation]) -> list[Operation]:
    """Return the acknowledged writes that some last read does not show.

    A key that was written once must have its value; of a hot key the last reads must at least have seen the write.
    """
    read: dict[str, list[Operation]] = {}
    for final in finals:
        read.setdefault(final.key, []).append(final)
    return [
        write
        for write in history
        if write.kind == "put"
        and write.outcome == "ok"
        and not all(
            covers(final.context, write.dot)
            and (write.argument in (final.values or ()) or write.key.startswith("hot:"))
            for final in read[write.key]
        )
    ]


def _since(struck_at: float, moments: Iterable[float], choose: Any, at_least: int) -> float | None:
    known = list(moments)
    return round(choose(known) - struck_at, 3) if len(known) >= at_least else None


def _addresses(config: ClusterConfig, datacenter: str) -> list[str]:
    return [f"{node.host}:{node.port}" for node in config.datacenters[datacenter].nodes]
