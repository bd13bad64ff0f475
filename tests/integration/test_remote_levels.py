"""Levels that count other data centers, with real processes: what they promise, and what an error says."""

import asyncio

import pytest

import crdtkv
from crdtkv.client.client import Client
from crdtkv.local.cluster import LocalCluster
from tests.integration.program import run
from tests.integration.waiting import nothing_lags

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEVELS = [crdtkv.REMOTE_QUORUM, crdtkv.EACH_QUORUM, crdtkv.ALL]


@pytest.mark.parametrize("level", LEVELS, ids=repr)
async def test_a_write_is_read_elsewhere_at_once(eu: Client, us: Client, level: crdtkv.ConsistencyLevel) -> None:
    for number in range(20):
        written = await eu.put(f"levels:{level}", number, consistency=level)
        assert written.datacenters == ("eu", "us")
        assert await us.get(f"levels:{level}", consistency=crdtkv.LOCAL_QUORUM) == number


@pytest.mark.parametrize("level", LEVELS, ids=repr)
async def test_a_read_sees_what_was_just_written_elsewhere(
    eu: Client, us: Client, level: crdtkv.ConsistencyLevel
) -> None:
    for number in range(20):
        await us.put(f"read:{level}", number, consistency=crdtkv.LOCAL_ALL)
        assert await eu.get(f"read:{level}", consistency=level) == number


async def test_all_types_take_the_levels(eu: Client, us: Client) -> None:
    assert await eu.counter("levels").increment(3, consistency=crdtkv.EACH_QUORUM) == 3
    assert await us.counter("levels").value() == 3
    written = await eu.set("levels").add("a", "b", consistency=crdtkv.ALL)
    assert written.datacenters == ("eu", "us")
    assert await us.set("levels").members() == {"a", "b"}
    await us.set("levels").remove("a", consistency=crdtkv.EACH_QUORUM)
    assert await eu.set("levels").members() == {"b"}
    async with crdtkv.connect(eu.topology.nodes[0].address, datacenter="eu", consistency="EACH_QUORUM") as kv:
        session = kv.session()
        await session.put("levels:s", 1)
        assert await session.get("levels:s") == 1


async def test_who_did_not_answer_is_named_and_a_wait_goes_on_after_the_cut(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    cluster.cut("eu", "us")
    try:
        with pytest.raises(crdtkv.WriteTimeout, match="us did not") as write:
            await eu.put("levels:cut", 1, consistency=crdtkv.EACH_QUORUM, timeout=1.5)
        assert write.value.missing == ("us",)
        with pytest.raises(crdtkv.ReadTimeout, match="us did not") as read:
            await eu.get("levels:cut", consistency=crdtkv.ALL, timeout=1.5)
        assert read.value.missing == ("us",)
        written = await eu.put("levels:cut", 2)
        assert written.datacenters == ()
        waiting = asyncio.create_task(eu.wait_for(written, timeout=60))
        await asyncio.sleep(1)
        assert not waiting.done()
    finally:
        cluster.heal("eu", "us")
    assert await waiting == ("eu", "us")
    assert await us.get("levels:cut") == 2
    await nothing_lags(eu, us)


async def test_a_wait_takes_names_in_any_form(eu: Client) -> None:
    written = await eu.put("levels:form", 1)
    assert await eu.wait_for(written, datacenters=(name for name in ("us",))) == ("eu", "us")
    assert await eu.wait_for(written, datacenters={"eu"}) == ("eu",)


@pytest.mark.parametrize("wrong", ["us", ["mars"], [7], 5])
async def test_a_wait_for_no_data_center_is_refused(eu: Client, wrong: object) -> None:
    written = await eu.put("levels:wrong", 1)
    with pytest.raises(crdtkv.InvalidRequest):
        await eu.wait_for(written, datacenters=wrong)  # type: ignore[arg-type]
    with pytest.raises(crdtkv.InvalidRequest, match="the result of a write"):
        await eu.wait_for("levels:wrong")  # type: ignore[arg-type]


async def test_a_scan_reads_one_data_center(eu: Client) -> None:
    with pytest.raises(crdtkv.InvalidRequest, match="reads one data center"):
        _ = [row async for row in eu.scan("levels", consistency=crdtkv.EACH_QUORUM)]


async def test_the_shell_says_where_a_write_is(cluster: LocalCluster) -> None:
    told = await run("put", "levels:shell", "1", "--level", "each_quorum", cwd=cluster.directory)
    assert (told.code, told.out) == (0, "wrote levels:shell, durable in eu, us\n")
    assert (await run("get", "levels:shell", "--dc", "us", cwd=cluster.directory)).out == "1\n"
