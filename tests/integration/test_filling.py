"""A data center that is added to the file, or has lost all its disks, is filled by the others."""

import json
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


async def test_a_data_center_that_was_away_too_long_for_the_outboxes_catches_up(
    config: ClusterConfig, tmp_path: Path
) -> None:
    small = config.model_copy(update={"geo": config.geo.model_copy(update={"outbox_max": 100})})
    async with LocalCluster(small, tmp_path, cuttable=True) as cluster:
        cluster.cut("eu", "us")
        async with crdtkv.connect(*addresses(config, "eu"), datacenter="eu") as kv:
            assert set((await kv.put_many({f"old{number}": number for number in range(1_000)})).values()) == {None}
        lag = await run("lag", "--config", tmp_path / "datacenters.yaml", "--json", cwd=tmp_path)
        to_us = next(row for row in json.loads(lag.out) if (row["from"], row["to"]) == ("eu", "us"))
        assert (to_us["complete"], lag.code) == (False, 1)
        assert 0 < to_us["rows"] <= 300
        assert "us may lack entries of eu: all entries are being compared" in lag.err
        cluster.heal("eu", "us")
        await eventually(lambda: is_equal(tmp_path), bool)
        assert len(await held(config, "us")) == 1_000
        repaired = await run("repair", "--between", "us", "eu", "--config", tmp_path / "datacenters.yaml", cwd=tmp_path)
        assert repaired.code == 0, repaired.out + repaired.err
        assert "compared everything; repaired 0 differences" in repaired.out
