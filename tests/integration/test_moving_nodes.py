"""Nodes whose addresses change, and a second process that takes a node's name."""

from pathlib import Path

import pytest

import crdtkv
from crdtkv import Client
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from tests.integration.conftest import DATACENTERS, addresses
from tests.integration.program import run, start
from tests.integration.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def alone() -> ClusterConfig:
    whole = load(DATACENTERS)
    return on_free_ports(whole.model_copy(update={"datacenters": {"eu": whole.datacenters["eu"]}}))


def moved(config: ClusterConfig, *names: str) -> ClusterConfig:
    """Return the configuration with other ports for these nodes."""
    fresh = on_free_ports(config).datacenters["eu"]
    eu = config.datacenters["eu"]
    nodes = [new if old.name in names else old for old, new in zip(eu.nodes, fresh.nodes, strict=True)]
    return config.model_copy(update={"datacenters": {"eu": eu.model_copy(update={"nodes": nodes})}})


@pytest.mark.parametrize("names", [("eu-2",), ("eu-1", "eu-2", "eu-3")], ids=["one", "all"])
async def test_nodes_that_come_back_at_other_addresses_are_found_there(
    alone: ClusterConfig, tmp_path: Path, names: tuple[str, ...]
) -> None:
    async with LocalCluster(alone, tmp_path), crdtkv.connect(*addresses(alone, "eu")) as kv:
        await kv.put("k", 1)
    elsewhere = moved(alone, *names)
    async with LocalCluster(elsewhere, tmp_path), crdtkv.connect(*addresses(elsewhere, "eu")) as kv:
        assert await kv.get("k") == 1
        told = await eventually(
            kv.status, lambda told: all(node is not None and len(node["peers_up"]) == 2 for node in told.values())
        )
        assert [node["config_differs"] for node in told.values() if node is not None] == [[], [], []]
        await kv.put("k", 2, consistency=crdtkv.LOCAL_ALL)


async def test_a_client_follows_a_node_to_its_new_address(alone: ClusterConfig, tmp_path: Path) -> None:
    async with LocalCluster(alone, tmp_path / "data") as cluster, crdtkv.connect(*addresses(alone, "eu")) as kv:
        await kv.put("k", 1)
        await cluster.nodes["eu-2"].stop()
        elsewhere = moved(alone, "eu-2")
        file = tmp_path / "elsewhere.yaml"
        file.write_text(elsewhere.model_dump_json())
        arguments = ("node", "eu-2", "--insecure", "--config", file, "--data", tmp_path / "data" / "eu-2")
        process = await start(*arguments, cwd=tmp_path)
        try:
            await eventually(lambda: port_in_use(kv), lambda port: port == port_of(elsewhere))
            await eventually(kv.status, lambda told: all(node is not None for node in told.values()))
            await kv.put("k", 2, consistency=crdtkv.LOCAL_ALL)
        finally:
            process.terminate()
            await process.communicate()


async def test_a_second_process_of_a_nodes_name_is_refused_and_the_first_goes_on(
    alone: ClusterConfig, tmp_path: Path
) -> None:
    async with LocalCluster(alone, tmp_path / "data"), crdtkv.connect(*addresses(alone, "eu")) as kv:
        before = kv.topology.epoch
        file = tmp_path / "twin.yaml"
        file.write_text(moved(alone, "eu-2").model_dump_json())
        outcome = await run("node", "eu-2", "--insecure", "--config", file, "--data", tmp_path / "twin", cwd=tmp_path)
        assert outcome.code == 2
        assert f"another process of this node runs at {addresses(alone, 'eu')[1]} already" in outcome.err
        told = await kv.status()
        assert [node["epoch"] for node in told.values() if node is not None] == [before] * 3
        await kv.put("k", 1, consistency=crdtkv.LOCAL_ALL)


def port_of(config: ClusterConfig) -> int:
    return config.datacenters["eu"].nodes[1].port


async def port_in_use(kv: Client) -> int:
    """Return where the client takes eu-2 to be; it hears of a newer ring with any answer."""
    await kv.get("k")
    return next(node.port for node in kv.topology.nodes if node.name == "eu-2")
