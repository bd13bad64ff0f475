"""Clusters of two data centers on free ports, and a client in each data center.

Most files share one cluster, which they leave whole. A file that sets `NEEDS_OWN_CLUSTER` has one for itself.
"""

import asyncio
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

#: The epoch of a data center of three nodes that has just come up: each has entered itself.
FIRST_EPOCH = 4
DATACENTERS = Path(__file__).parents[2] / "datacenters.yaml"


def addresses(config: ClusterConfig, datacenter: str) -> list[str]:
    """Return where the nodes of one data center listen."""
    return [f"{node.host}:{node.port}" for node in config.datacenters[datacenter].nodes]


class Shared:
    """The cluster of many files; it starts when the first of them asks for it."""

    def __init__(self, directory: Path) -> None:
        self._cluster = LocalCluster(on_free_ports(load(DATACENTERS)), directory, cuttable=True)
        self._is_started = False

    async def running(self) -> LocalCluster:
        if not self._is_started:
            self._is_started = True
            await self._cluster.start()
        return self._cluster

    async def stop(self) -> None:
        await self._cluster.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    shared = Shared(tmp_path_factory.mktemp("shared"))
    yield shared
    await shared.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared: Shared
) -> AsyncIterator[LocalCluster]:
    """The example cluster, in working order."""
    if not getattr(request.module, "NEEDS_OWN_CLUSTER", False):
        yield await shared.running()
        return
    config = on_free_ports(load(DATACENTERS))
    async with LocalCluster(config, tmp_path_factory.mktemp("cluster"), cuttable=True) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="session")
async def mended_in_the_end(cluster: LocalCluster) -> AsyncIterator[None]:
    """Put the cluster in working order again, whatever the test did to it and however it ended."""
    yield
    cluster.heal("eu", "us")
    for server in cluster.nats.values():
        if not server.process.is_running:
            await server.start()
    down = [name for name, node in cluster.nodes.items() if not node.is_running]
    await asyncio.gather(*(cluster.start_node(name) for name in down))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def eu(cluster: LocalCluster) -> AsyncIterator[Client]:
    """A client that knows the nodes of eu only."""
    async with crdtkv.connect(*addresses(cluster.config, "eu"), datacenter="eu") as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def us(cluster: LocalCluster) -> AsyncIterator[Client]:
    """A client that knows the nodes of us only."""
    async with crdtkv.connect(*addresses(cluster.config, "us"), datacenter="us") as client:
        yield client
