"""Replicas that missed something are filled by themselves; nodes that hang are noticed."""

import os
import signal
from collections.abc import Iterable

import pytest

from crdtkv import Client, connect
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster

from .load import Load
from .waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]
NEEDS_OWN_CLUSTER = True


async def held_by(cluster: LocalCluster, name: str, keys: Iterable[str]) -> set[str]:
    """Ask one node alone which of these keys it stores."""
    found = cluster.config.find_node(name)
    assert found is not None
    stored: set[str] = set()
    async with connect(f"{found[1].host}:{found[1].port}", datacenter=found[0]) as kv:
        for key in keys:
            held = (await kv.inspect(identity_of("default", "register", key)))[name]
            if held is not None and held.encoded is not None:
                stored.add(key)
    return stored


@pytest.mark.parametrize("wiped", [False, True], ids=["was down", "lost its disk"])
async def test_a_replica_is_filled_without_anybody_reading(cluster: LocalCluster, eu: Client, wiped: bool) -> None:
    values = {f"filled {wiped}:{number}": number for number in range(300)}
    await cluster.nodes["eu-2"].kill()
    await eventually(lambda: eu.put_many(values), lambda told: set(told.values()) == {None})
    if wiped:
        cluster.wipe_node("eu-2")
    await cluster.start_node("eu-2")
    await eventually(lambda: held_by(cluster, "eu-2", values), lambda held: held == set(values))


async def test_a_node_that_hangs_is_found_down_gets_no_requests_and_comes_back(
    cluster: LocalCluster, eu: Client
) -> None:
    async def said_of_eu_2() -> set[str]:
        told = await eu.status(timeout=1.0)
        return {told[name]["members"]["eu-2"]["state"] for name in ("eu-1", "eu-3") if told[name]}  # type: ignore[index]

    process = cluster.nodes["eu-2"].pid
    os.kill(process, signal.SIGSTOP)
    try:
        await eventually(said_of_eu_2, lambda said: said == {"down"})
        async with Load(eu, workers=4) as load:
            await load.more(200)
    finally:
        os.kill(process, signal.SIGCONT)
    assert load.refused == {}
    await eventually(said_of_eu_2, lambda said: said == {"alive"})
    await load.assert_kept(eu)
