"""A data center that is added to the file, or has lost all its disks, is filled by the others."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import crdtkv
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from tests.integration.conftest import DATACENTERS, addresses
from tests.integration.program import run
from tests.integration.waiting import eventually

KEYS = {f"old{number}": number for number in range(200)}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def config() -> AsyncIterator[ClusterConfig]:
    yield on_free_ports(load(DATACENTERS))


async def is_equal(directory: Path) -> bool:
    """Ask as an operator does."""
    return (await run("lag", "--config", directory / "datacenters.yaml", cwd=directory)).code == 0


async def held(config: ClusterConfig, datacenter: str) -> dict[str | bytes, object]:
    async with crdtkv.connect(*addresses(config, datacenter), datacenter=datacenter) as kv:
        return {key: entry.value async for key, entry in kv.scan("old")}


async def test_an_added_data_center_gets_what_was_written_before(config: ClusterConfig, tmp_path: Path) -> None:
    alone = config.model_copy(update={"datacenters": {"eu": config.datacenters["eu"]}})
    async with LocalCluster(alone, tmp_path), crdtkv.connect(*addresses(alone, "eu")) as kv:
        assert set((await kv.put_many(KEYS)).values()) == {None}
    async with LocalCluster(config, tmp_path):
        await eventually(lambda: is_equal(tmp_path), bool)
        assert await held(config, "us") == KEYS


async def test_a_data_center_that_lost_its_disks_is_filled_and_not_said_to_be_equal_before(
    config: ClusterConfig, tmp_path: Path
) -> None:
    async with LocalCluster(config, tmp_path), crdtkv.connect(*addresses(config, "eu"), datacenter="eu") as kv:
        assert set((await kv.put_many(KEYS)).values()) == {None}
        await eventually(lambda: is_equal(tmp_path), bool)
    for node in config.datacenters["us"].nodes:
        shutil.rmtree(tmp_path / node.name)
    async with LocalCluster(config, tmp_path):
        await eventually(lambda: is_equal(tmp_path), bool)
        assert await held(config, "us") == KEYS
