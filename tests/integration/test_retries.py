"""Writes whose coordinator is killed or stopped in the middle: tried again by the client, and counted once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import LOCAL_ALL, LOCAL_QUORUM, Client, WriteTimeout
from crdtkv.config.loader import load
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports

from .conftest import DATACENTERS, addresses
from .waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
COUNTERS = 12


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    whole = load(DATACENTERS)
    config = on_free_ports(whole.model_copy(update={"datacenters": {"eu": whole.datacenters["eu"]}}))
    async with LocalCluster(config, tmp_path_factory.mktemp("retries")) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kv(three: LocalCluster) -> AsyncIterator[Client]:
    async with crdtkv.connect(*addresses(three.config, "eu"), datacenter="eu", timeout=60) as client:
        yield client


async def counting(kv: Client, name: str, is_over: asyncio.Event) -> tuple[int, int]:
    """Count until stopped; return how many increments were acknowledged, and how many have an unknown outcome."""
    counted = unknown = 0
    while not is_over.is_set():
        try:
            await kv.counter(name).increment(1, consistency=LOCAL_QUORUM)
            counted += 1
        except WriteTimeout:
            unknown += 1
    return counted, unknown


async def values(kv: Client, names: list[str]) -> list[int]:
    return [await kv.counter(name).value(consistency=LOCAL_ALL) for name in names]


@pytest.mark.parametrize("strike", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_increments_are_counted_once_whatever_happens_to_the_node_that_took_them(
    three: LocalCluster, kv: Client, strike: signal.Signals
) -> None:
    names = [f"hits-{strike.name}-{number}" for number in range(COUNTERS)]
    is_over = asyncio.Event()
    tasks = [asyncio.create_task(counting(kv, name, is_over)) for name in names]
    await eventually(lambda: values(kv, names), lambda counts: min(counts) > 5)
    struck = three.nodes["eu-2"]
    os.kill(struck.pid, strike)
    before = sum(await values_without(kv, names))
    await eventually(lambda: values_without(kv, names), lambda counts: sum(counts) > before + 20 * COUNTERS)
    if strike == signal.SIGSTOP:
        os.kill(struck.pid, signal.SIGCONT)
    else:
        await three.start_node("eu-2")
    is_over.set()
    results = await asyncio.gather(*tasks)
    counts = await eventually(lambda: values(kv, names), lambda counts: sum(counts) >= sum(n for n, _ in results))
    for count, (counted, unknown) in zip(counts, results, strict=True):
        assert counted <= count <= counted + unknown
    # Two replicas were there all the time: nothing had to stay of unknown fate.
    assert [unknown for _, unknown in results] == [0] * COUNTERS


async def values_without(kv: Client, names: list[str]) -> list[int]:
    """Return what a quorum counts."""
    return [await kv.counter(name).value(consistency=LOCAL_QUORUM) for name in names]
