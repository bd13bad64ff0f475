"""Three data centers in containers: what a newcomer sees, and every fault a container can have under load.

Each load is judged by the checkers that judge the simulator, and in the end all data centers hold the same.
"""

import asyncio
import json
import os

import pytest

import crdtkv
from crdtkv.checking.history import Operation
from crdtkv.checking.verdict import judge

from .deployment import DATACENTERS, NODES, Deployment, Workload, run

pytestmark = pytest.mark.asyncio(loop_scope="session")
LEVELS = ("ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL")
#: What a data center of three nodes can do with one of them away.
WITHOUT_ONE = ("ONE", "LOCAL_QUORUM")
#: Longer than the deadline of a request: what only the stopped node knew is of unknown fate by then.
AWAY_S = 3.0


async def assert_good(deployment: Deployment, load: Workload, prefix: str, lost_disks: int = 0) -> None:
    assert [str(violation) for violation in judge(load.history, lost_disks)] == []
    await deployment.assert_equal(prefix)


def failed(history: list[Operation]) -> list[Operation]:
    return [operation for operation in history if operation.outcome != "ok"]


async def test_every_node_is_healthy_when_up_returns(deployment: Deployment) -> None:
    for name in NODES:
        assert (await deployment.inspect(name))["State"]["Health"]["Status"] == "healthy"
    status = await deployment.crdtkv("status")
    assert all(f" {name} " in status for name in NODES)
    print(f"ready {deployment.up_s:.1f} s after `up`")


async def test_a_second_up_leaves_every_container_as_it_is(deployment: Deployment) -> None:
    before = {name: await deployment.container(name) for name in NODES}
    await deployment.compose("up", "--detach")
    assert {name: await deployment.container(name) for name in NODES} == before


async def test_a_node_runs_as_one_process_that_is_not_root_and_says_that_it_is_open(deployment: Deployment) -> None:
    container = await deployment.container("eu-1")
    assert len((await run("docker", "top", container)).splitlines()) == 2  # a heading and the process
    about = await deployment.inspect("eu-1")
    assert about["Config"]["User"] == "10001:10001"
    assert about["HostConfig"]["ReadonlyRootfs"]
    assert "runs open, without TLS and keys" in await deployment.compose("logs", "eu-1")


async def test_the_host_binds_loopback_addresses_only(deployment: Deployment) -> None:
    bound = set()
    for service in (*NODES, *(f"nats-{name}" for name in DATACENTERS), "client"):
        for ports in (await deployment.inspect(service))["NetworkSettings"]["Ports"].values():
            bound |= {port["HostIp"] for port in ports or ()}
    assert bound == {deployment.loopback}


@pytest.mark.parametrize("level", ["ONE", "LOCAL_QUORUM", "LOCAL_ALL", "LINEARIZABLE"])
async def test_what_one_data_center_writes_all_read(deployment: Deployment, level: str) -> None:
    key = f"hello:{level}"
    await deployment.crdtkv("put", key, f"from eu at {level}", "--dc", "eu", "--level", level)
    assert await deployment.crdtkv("get", key, "--dc", "eu", "--level", level) == f"from eu at {level}\n"
    await deployment.crdtkv("lag", "--wait", "30")
    for datacenter in ("us", "ap"):
        assert await deployment.crdtkv("get", key, "--dc", datacenter) == f"from eu at {level}\n"


async def test_a_client_on_the_host_reaches_every_data_center_through_its_published_port(
    deployment: Deployment,
) -> None:
    for datacenter, port in zip(DATACENTERS, (7401, 7501, 7601), strict=True):
        async with asyncio.timeout(20), crdtkv.connect(f"{deployment.loopback}:{port}") as kv:
            assert kv.datacenter == datacenter
            await kv.put(f"from-the-host:{datacenter}", 1)
            assert await kv.get(f"from-the-host:{datacenter}") == 1


async def test_the_nats_cli_shows_the_streams(deployment: Deployment) -> None:
    if os.environ.get("CRDTKV_CLIENT_TARGET") == "node":
        pytest.skip("the client image was built without the nats CLI: there was none for it")
    streams = await deployment.in_client("nats", "--server", "nats://nats-eu:4222", "stream", "ls", "--names")
    assert "CRDTKV_shop_eu" in streams.split()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name one data center or two of: ap eu us"),
        (("eu", "mars"), "no data center 'mars': one of ap eu us"),
        (("eu", "eu"), "name two different data centers"),
    ],
)
async def test_a_cut_of_nothing_there_is_says_what_there_is(
    deployment: Deployment, arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=f": 2\ndeploy/cut: {complaint}\n$"):
        await deployment.script("cut", *arguments)


async def test_a_data_center_that_is_cut_off_goes_on_and_merges_when_healed(deployment: Deployment) -> None:
    async with Workload(deployment, "cut", LEVELS) as load:
        assert "eu and us are disconnected" in await deployment.script("cut", "eu")
        await deployment.crdtkv("put", "only-here", "1", "--dc", "eu")
        for datacenter in DATACENTERS:
            await load.more(datacenter, 300)
        # Nothing crosses: nobody has confirmed it.
        with pytest.raises(AssertionError, match="get only-here --dc us: 1\n"):
            await deployment.crdtkv("get", "only-here", "--dc", "us")
        await deployment.script("heal")
        for datacenter in DATACENTERS:
            await load.more(datacenter, 100)
    await assert_good(deployment, load, "cut")
    assert await deployment.crdtkv("get", "only-here", "--dc", "us") == "1\n"


async def test_a_killed_node_is_replaced_by_one_with_an_empty_disk(deployment: Deployment) -> None:
    async with Workload(deployment, "killed", LEVELS) as load:
        await deployment.compose("kill", "eu-2")
        await deployment.crdtkv("put", "without-eu-2", "1", "--dc", "eu")
        await load.more("eu", 300)
        await deployment.compose("rm", "--force", "--stop", "eu-2")
        await run("docker", "volume", "rm", f"{deployment.project}_eu-2")
        await deployment.compose("up", "--detach", "--no-deps", "eu-2")
        await load.more("eu", 100)
        await deployment.healthy("eu-2")
        await load.more("eu", 100)
    # It is healthy, so it counts, so it holds what the others hold.
    told = json.loads(await deployment.crdtkv("inspect", "without-eu-2", "--json"))
    (there,) = [node for node in told["nodes"] if node["node"] == "eu-2"]
    assert (there["role"], there["exists"]) == ("replica", True)
    await assert_good(deployment, load, "killed", lost_disks=1)


async def test_a_data_center_that_is_killed_whole_comes_back_with_everything(deployment: Deployment) -> None:
    whole = ("us-1", "us-2", "us-3", "nats-us")
    async with Workload(deployment, "whole", LEVELS) as load:
        await deployment.compose("kill", *whole)
        await load.more("eu", 200)
        await load.more("ap", 200)
        await deployment.compose("up", "--detach", "--no-deps", *whole)
        await deployment.healthy(*whole[:3])
        await load.more("us", 100)
    await assert_good(deployment, load, "whole")


async def test_nodes_that_are_stopped_under_load_end_in_order_and_leave_no_request_unanswered(
    deployment: Deployment,
) -> None:
    # Many at once and without a pause: something is always on its way when a node stops. None comes back meanwhile.
    async with Workload(deployment, "stopped", WITHOUT_ONE, timeout_s=2, workers=16, pause_s=0) as load:
        for name in ("ap-1", "ap-2", "ap-3"):
            await deployment.compose("stop", name)
            state = (await deployment.inspect(name))["State"]
            assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
            await load.more("ap", 500)
            await asyncio.sleep(AWAY_S)
            await deployment.compose("start", name)
            await deployment.healthy(name)
    assert failed(load.history) == []
    await assert_good(deployment, load, "stopped")


async def test_replacing_containers_one_by_one_fails_no_request(deployment: Deployment) -> None:
    async with Workload(deployment, "rolling", WITHOUT_ONE, timeout_s=10) as load:
        for name in NODES:
            await deployment.compose("up", "--detach", "--no-deps", "--force-recreate", name)
            await deployment.healthy(name)
            await load.more(name.partition("-")[0], 50)
    assert failed(load.history) == []
    await assert_good(deployment, load, "rolling")
