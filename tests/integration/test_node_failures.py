"""Nodes that are killed under load: no acknowledged write is lost, and unknown outcomes are reported as such."""

import asyncio

import pytest

import crdtkv
from crdtkv import LOCAL_ALL, Client
from crdtkv.local.cluster import LocalCluster

from .load import Load
from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]
NEEDS_OWN_CLUSTER = True


async def test_a_killed_node_loses_nothing_that_was_acknowledged_and_tells_what_may_have_happened(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    async with Load(eu, workers=16) as load:
        for name in ("eu-2", "eu-1"):
            await cluster.nodes[name].kill()
            await load.more(300)
            await cluster.start_node(name)
    assert load.refused == {}
    assert all(error.maybe_applied for error in load.unknown.values())
    await nothing_lags(eu, us)
    await load.assert_kept(eu, us)
    for read in (await eu.get_many(load.unknown), await us.get_many(load.unknown)):
        for key, value in read.items():
            _, _, worker, number = key.split(":")
            assert value in (None, f"value {worker} {number}")


async def test_all_nodes_of_a_data_center_killed_at_once_lose_nothing_that_was_acknowledged(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    names = ["eu-1", "eu-2", "eu-3"]
    async with Load(eu) as load, Load(us) as other:
        await asyncio.gather(*(cluster.nodes[name].kill() for name in names))
        await asyncio.gather(*(cluster.start_node(name, ready=False) for name in names))
        await load.more(300)
        await other.more(100)
    assert other.unknown == other.refused == {}
    await nothing_lags(eu, us)
    await load.assert_kept(eu, us)
    await other.assert_kept(eu, us)


async def test_a_killed_node_comes_back_under_its_own_incarnation(cluster: LocalCluster, eu: Client) -> None:
    async def actor() -> str | None:
        node = (await eu.status())["eu-2"]
        return node["actor"] if node else None

    before = await eventually(actor, bool)
    await cluster.nodes["eu-2"].kill()
    await cluster.start_node("eu-2")
    assert await eventually(actor, bool) == before


async def test_a_wiped_node_comes_back_under_a_new_incarnation_and_nothing_is_lost(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    values = {f"wiped:{number}": number for number in range(200)}
    cluster.cut("eu", "us")  # so that what eu-2 coordinates is in its outbox, and nowhere else, when it is wiped
    await eventually(lambda: eu.put_many(values, consistency=LOCAL_ALL), lambda told: set(told.values()) == {None})
    status = await eventually(eu.status, lambda told: told["eu-2"] is not None)
    await cluster.nodes["eu-2"].kill()
    cluster.wipe_node("eu-2")
    await cluster.start_node("eu-2")
    renewed = await eventually(eu.status, lambda told: told["eu-2"] is not None)
    assert renewed["eu-2"] is not None
    assert status["eu-2"] is not None
    assert renewed["eu-2"]["actor"] != status["eu-2"]["actor"]
    assert "new incarnation" in cluster.nodes["eu-2"].log_file.read_text()
    assert await eu.get_many(values) == values
    cluster.heal("eu", "us")
    await eventually(lambda: us.get_many(values), lambda read: read == values)


async def test_a_client_with_several_data_centers_goes_to_the_next_when_its_own_is_gone(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    async with crdtkv.connect(cluster.config, datacenter="eu") as kv:
        await kv.put("moves", "written in eu")
        await eventually(lambda: us.get("moves"), bool)
        await asyncio.gather(*(cluster.nodes[name].kill() for name in ("eu-1", "eu-2", "eu-3")))
        assert await kv.get("moves") == "written in eu"
        await kv.put("moves", "written in us")
        assert await us.get("moves") == "written in us"
        await asyncio.gather(*(cluster.start_node(name) for name in ("eu-1", "eu-2", "eu-3")))
    await eventually(lambda: eu.get("moves"), lambda value: value == "written in us")
