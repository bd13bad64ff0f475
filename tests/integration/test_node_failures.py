"""Nodes that are killed: what was acknowledged stays, what the level allows goes on, the rest is told as what it is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import ANY, LOCAL_ALL, LOCAL_QUORUM, ONE, Client, CrdtkvError, Quorum, Unavailable
from crdtkv.local.cluster import LocalCluster

from .conftest import addresses
from .load import Load
from .waiting import eventually, nothing_lags

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def mended_in_the_end(cluster: LocalCluster) -> AsyncIterator[None]:
    yield
    for name, node in cluster.nodes.items():
        if not node.is_running:
            await cluster.start_node(name)


@pytest_asyncio.fixture(loop_scope="module")
async def last_one(cluster: LocalCluster, eu: Client) -> AsyncIterator[Client]:
    """A client of eu-1, which alone is left of its data center, and knows it."""
    old = {f"before:{number}": "old" for number in range(50)}
    await eventually(lambda: eu.put_many(old, consistency=LOCAL_ALL), lambda told: set(told.values()) == {None})
    async with crdtkv.connect(addresses(cluster.config, "eu")[0]) as kv:
        await asyncio.gather(cluster.nodes["eu-2"].kill(), cluster.nodes["eu-3"].kill())

        async def linked() -> list[str] | None:
            node = (await kv.status())["eu-1"]
            return node["peers_up"] if node else None

        await eventually(linked, lambda names: names == [])
        yield kv


async def test_a_killed_node_loses_nothing_that_was_acknowledged(cluster: LocalCluster, eu: Client, us: Client) -> None:
    async with Load(eu) as load:
        await cluster.nodes["eu-2"].kill()
        await load.more(500)
        await cluster.start_node("eu-2")
        await load.more(300)
    assert load.refused == {}
    await nothing_lags(eu, us)
    await load.assert_kept(eu, us)


async def test_a_write_of_unknown_fate_is_told_as_such_and_is_whole_or_absent(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    async with Load(eu, workers=32) as load:
        for name in ("eu-1", "eu-3"):
            await cluster.nodes[name].kill()
            await load.more(200)
            await cluster.start_node(name)
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
    await nothing_lags(eu, us)
    assert await us.get_many(values) == values


async def test_with_one_node_of_three_left_quorums_are_refused_with_their_figures(last_one: Client) -> None:
    for level, required in ((LOCAL_QUORUM, 2), (LOCAL_ALL, 3), (Quorum(r=2, w=2), 2)):
        for act in (
            last_one.put("before:1", "new", consistency=level),
            last_one.delete("before:1", consistency=level),
            last_one.counter("refused").increment(consistency=level),
            last_one.lww().put("refused", 1, consistency=level),
            last_one.get("before:1", consistency=level),
        ):
            with pytest.raises(Unavailable) as caught:
                await act
            assert (caught.value.required, caught.value.alive) == (required, 1)
            assert not caught.value.maybe_applied
    assert await last_one.get("before:1", consistency=ONE) == "old"
    assert await last_one.counter("refused").value(consistency=ONE) == 0
    assert not (await last_one.lww().entry("refused", consistency=ONE)).exists


async def test_with_one_node_of_three_left_a_scan_at_a_quorum_is_refused(last_one: Client) -> None:
    with pytest.raises(Unavailable) as caught:
        [key async for key, _ in last_one.scan("before:", consistency=LOCAL_QUORUM)]
    assert (caught.value.required, caught.value.alive) == (2, 1)


async def test_with_one_node_of_three_left_one_and_any_still_serve(
    cluster: LocalCluster, last_one: Client, us: Client
) -> None:
    for level in (ONE, ANY, Quorum(r=1, w=1)):
        key = f"alone at {level!r}"
        await last_one.put(key, "written alone", consistency=level)
        assert await last_one.get(key, consistency=level) == "written alone"
        await last_one.counter(key).increment(5, consistency=level)
        assert await last_one.counter(key).value(consistency=level) == 5
    assert await last_one.get("before:1", consistency=ONE) == "old"
    assert len([key async for key, _ in last_one.scan("before:", consistency=ONE)]) == 50
    assert await eventually(lambda: us.get("alone at ONE"), bool) == "written alone"
    assert await eventually(us.counter("alone at ANY").value, bool) == 5


async def test_many_keys_at_a_quorum_are_refused_one_by_one(last_one: Client) -> None:
    told = await last_one.put_many({f"refused:{number}": 1 for number in range(20)})
    assert all(isinstance(error, Unavailable) for error in told.values())
    read = await last_one.get_many(told)
    assert all(isinstance(error, Unavailable) for error in read.values())


async def test_quorums_are_met_again_when_a_second_node_is_back(cluster: LocalCluster, last_one: Client) -> None:
    await last_one.put("alone", "written alone", consistency=ONE)
    await cluster.start_node("eu-2")

    async def write() -> CrdtkvError | None:
        try:
            await last_one.put("together", 1, consistency=LOCAL_QUORUM)
        except Unavailable as error:
            return error
        return None

    await eventually(write, lambda error: error is None)
    assert await last_one.get("together", consistency=LOCAL_QUORUM) == 1
    # The node that was away learns by read repair what was written without it.
    assert await last_one.get("alone", consistency=LOCAL_QUORUM) == "written alone"


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
