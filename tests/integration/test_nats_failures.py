"""NATS servers that stop, start and lose data: local requests continue, and replication loses no write."""

import pytest

from crdtkv import Client
from crdtkv.local.cluster import LocalCluster

from .conftest import FIRST_EPOCH
from .load import Load
from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]
NEEDS_OWN_CLUSTER = True


async def assert_harmless(here: Load, there: Load, eu: Client, us: Client) -> None:
    """Check that no request failed, and that everything acknowledged on either side is on both."""
    for load in (here, there):
        assert load.refused == {}
        assert load.unknown == {}
    await nothing_lags(eu, us)
    for load in (here, there):
        await load.assert_kept(eu, us)


async def test_the_other_data_centers_nats_may_stop_and_start_under_load(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    async with Load(eu, workers=4) as here, Load(us, workers=4) as there:
        await cluster.nats["us"].stop()
        await here.more(300)
        await there.more(300)
        await cluster.nats["us"].start()
        await here.more(100)
    await assert_harmless(here, there, eu, us)


async def test_the_own_nats_may_be_killed_under_load_and_started_again(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    async def told_as_down() -> list[bool]:
        return [node["bus_up"] for node in (await eu.status()).values() if node]

    async with Load(eu, workers=4) as here, Load(us, workers=4) as there:
        await cluster.nats["eu"].process.kill()
        await eventually(told_as_down, lambda up: up == [False] * 3)
        await here.more(300)
        await cluster.nats["eu"].start()
        await eventually(told_as_down, lambda up: up == [True] * 3)
        await here.more(100)
    await assert_harmless(here, there, eu, us)


async def test_wiped_jetstreams_lose_no_acknowledged_write(cluster: LocalCluster, eu: Client, us: Client) -> None:
    # What was published and not yet pulled dies with the streams; the outbox still has it.
    await nothing_lags(eu, us)
    cluster.cut("eu", "us")
    async with Load(eu, workers=4) as here, Load(us, workers=4) as there:
        await here.more(200)
        await there.more(200)
        for server in cluster.nats.values():
            await server.stop()
            server.wipe()
            await server.start()
        cluster.heal("eu", "us")
        await here.more(200)
    await assert_harmless(here, there, eu, us)


async def test_a_node_serves_without_nats_under_the_last_ring_it_knew(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    await eu.put("before", 1)
    await cluster.nats["eu"].stop()
    await cluster.nodes["eu-1"].kill()
    await cluster.start_node("eu-1")
    assert f"serving under the last known epoch, {FIRST_EPOCH}" in cluster.nodes["eu-1"].log_file.read_text()
    assert await eu.get("before") == 1
    values = {f"without nats:{number}": number for number in range(100)}
    told = await eventually(lambda: eu.put_many(values), lambda told: set(told.values()) == {None})
    assert len(told) == 100
    await cluster.nats["eu"].start()
    await nothing_lags(eu, us)
    assert await us.get_many(values) == values


async def test_the_ring_document_is_written_again_after_it_was_lost(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    await cluster.nats["us"].stop()
    cluster.nats["us"].wipe()
    await cluster.nats["us"].start()
    await cluster.nodes["us-1"].kill()
    await cluster.start_node("us-1")
    await us.put("with a new document", 1)
    await nothing_lags(eu, us)
    assert await eu.get("with a new document") == 1
    told = await us.status()
    assert {node["epoch"] for node in told.values() if node} == {FIRST_EPOCH}
