"""One cluster of two data centers per file, on free ports, and a client in each data center."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import Client
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports

DATACENTERS = Path(__file__).parents[2] / "datacenters.yaml"


def addresses(config: ClusterConfig, datacenter: str) -> list[str]:
    """Return where the nodes of one data center listen."""
    return [f"{node.host}:{node.port}" for node in config.datacenters[datacenter].nodes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """The example cluster; a test that breaks it mends it."""
    config = on_free_ports(load(DATACENTERS))
    async with LocalCluster(config, tmp_path_factory.mktemp("cluster"), cuttable=True) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def eu(cluster: LocalCluster) -> AsyncIterator[Client]:
    """A client that knows the nodes of eu only."""
    async with crdtkv.connect(*addresses(cluster.config, "eu"), datacenter="eu") as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def us(cluster: LocalCluster) -> AsyncIterator[Client]:
    """A client that knows the nodes of us only."""
    async with crdtkv.connect(*addresses(cluster.config, "us"), datacenter="us") as client:
        yield client
