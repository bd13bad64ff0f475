"""A node whose address in the configuration is not the one it listens on, as in a container with a published port."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import crdtkv
from crdtkv.config.loader import dump
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import free_ports

from . import program

pytestmark = pytest.mark.asyncio(loop_scope="session")
NOWHERE = "node-of-a-private-network.invalid"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def published(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of the only node of a cluster: one that its configuration does not know."""
    directory = tmp_path_factory.mktemp("published")
    port, http_port = free_ports(2)
    fields = cluster.config.model_dump(mode="json")
    eu = fields["datacenters"]["eu"]
    eu["nodes"] = [{"name": "eu-1", "host": NOWHERE, "port": port, "http_port": http_port}]
    eu["nats"]["url_from"] = {}
    fields.update(cluster="published", datacenters={"eu": eu})
    (directory / "datacenters.yaml").write_text(dump(ClusterConfig.model_validate(fields)))
    command = ("node", "eu-1", "--insecure", "--listen", "127.0.0.1", "--data", directory / "data")
    process = await program.start(*command, cwd=directory)
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"serves on 127.0.0.1" not in (line := await process.stderr.readline()):
            assert line, "it ended instead"
    yield f"127.0.0.1:{port}"
    process.terminate()
    await process.communicate()


async def test_it_is_reached_at_the_address_that_was_given(published: str) -> None:
    async with asyncio.timeout(10), crdtkv.connect(published) as kv:
        await kv.put("k", 1)
        assert await kv.get("k") == 1


async def test_insecure_alone_does_not_let_a_node_listen_beyond_loopback(cluster: LocalCluster, tmp_path: Path) -> None:
    told = await program.run(
        "node", "eu-1", "--insecure", "--listen", "0.0.0.0", "--data", tmp_path / "data", cwd=cluster.directory
    )
    assert told.code == 2
    assert told.complaint.endswith("--insecure-network (0.0.0.0 is not loopback)")
    assert not (tmp_path / "data").exists()


async def test_a_node_on_an_insecure_network_says_so(cluster: LocalCluster, tmp_path: Path) -> None:
    # It does not start, because its port is in use; what it says comes before.
    told = await program.run("node", "eu-1", "--insecure-network", "--data", tmp_path / "data", cwd=cluster.directory)
    assert "this node runs open, without TLS and keys, on 127.0.0.1" in told.err
    assert "the HTTP port cannot be used (Address already in use): stop" in told.complaint
