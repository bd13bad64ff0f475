"""A node whose address in the configuration is not the one it listens on, as in a container with a published port."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import crdtkv
from crdtkv.config.loader import dump, load
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.nats_server import NatsServer
from crdtkv.local.ports import free_ports, on_free_ports
from crdtkv.local.proxy import CuttableLink

from . import program
from .conftest import DATACENTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")
NOWHERE = "node-of-a-private-network.invalid"


class Published:
    """The only node of a cluster, at an address that its configuration does not know."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.port = port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = ("node", "eu-1", "--insecure", "--listen", "127.0.0.1", "--data", self._directory / "data")
        self._process = await program.start(*command, cwd=self._directory)
        assert self._process.stderr is not None
        async with asyncio.timeout(20):
            while b"serves on 127.0.0.1" not in (line := await self._process.stderr.readline()):
                assert line, "it ended instead"

    async def stop(self) -> None:
        self._process.terminate()
        await self._process.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def published(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Published]:
    directory = tmp_path_factory.mktemp("published")
    whole = on_free_ports(load(DATACENTERS))
    eu = whole.datacenters["eu"]
    node = eu.nodes[0].model_copy(update={"host": NOWHERE})
    alone = {"eu": eu.model_copy(update={"nodes": [node]})}
    (directory / "datacenters.yaml").write_text(dump(whole.model_copy(update={"datacenters": alone})))
    nats = NatsServer("eu", eu.nats, directory / "nats")
    await nats.start()
    published = Published(directory, node.port)
    await published.start()
    yield published
    await published.stop()
    await nats.stop()


async def test_it_is_reached_at_the_address_that_was_given(published: Published) -> None:
    async with asyncio.timeout(10), crdtkv.connect(published.address) as kv:
        await kv.put("k", 1)
        assert await kv.get("k") == 1
        assert [name for name, node in (await kv.status()).items() if node] == ["eu-1"]


async def test_a_watch_follows_it_there(published: Published) -> None:
    async with asyncio.timeout(20), crdtkv.connect(published.address) as kv, kv.watch("watched") as watch:
        await kv.put("watched", 1)
        assert [change.key async for change in first(watch)] == ["watched"]


async def first(watch: crdtkv.Watch) -> AsyncIterator[crdtkv.Change]:
    async for change in watch:
        if change is not crdtkv.CAUGHT_UP:
            yield change
            return


async def test_it_is_found_again_when_it_restarts(published: Published) -> None:
    async with asyncio.timeout(40), crdtkv.connect(published.address, timeout=10) as kv:
        await kv.put("kept", 1)
        await published.stop()
        await published.start()
        assert await kv.get("kept") == 1


async def test_a_node_that_stops_while_a_client_connects_is_found_when_it_is_back(published: Published) -> None:
    connecting = asyncio.ensure_future(connected(published.address))
    await asyncio.sleep(0.5)  # the ring is learned, and its addresses lead nowhere
    await published.stop()
    kv = await connecting
    await published.start()
    assert await kv.get("kept", timeout=10) == 1
    await kv.close()


async def connected(*addresses: str) -> crdtkv.Client:
    return await crdtkv.connect(*addresses, timeout=10)


async def test_an_address_that_leads_there_only_later_is_tried_again(published: Published) -> None:
    (later,) = free_ports(1)
    one, other = CuttableLink("127.0.0.1", published.port), CuttableLink("127.0.0.1", published.port)
    await one.start()
    kv = await connected(f"127.0.0.1:{one.port}", f"127.0.0.1:{later}")
    await kv.put("through", "one")
    await other.start(port=later)
    await one.stop()
    assert await kv.get("through") == "one"
    await kv.close()
    await other.stop()


async def test_a_connect_that_is_cancelled_leaves_nothing_behind(published: Published) -> None:
    before = asyncio.all_tasks()
    connecting = asyncio.ensure_future(connected(published.address))
    await asyncio.sleep(0.5)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    assert asyncio.all_tasks() <= before


async def test_insecure_alone_does_not_let_a_node_listen_beyond_loopback(cluster: LocalCluster, tmp_path: Path) -> None:
    told = await program.run(
        "node", "eu-1", "--insecure", "--listen", "0.0.0.0", "--data", tmp_path / "data", cwd=cluster.directory
    )
    assert told.code == 2
    assert told.complaint.endswith("--insecure-network (0.0.0.0 is not loopback)")
    assert not (tmp_path / "data").exists()


async def test_a_node_on_an_insecure_network_says_so(cluster: LocalCluster, tmp_path: Path) -> None:
    # It does not start, because eu-1 runs; what it says comes before.
    told = await program.run("node", "eu-1", "--insecure-network", "--data", tmp_path / "data", cwd=cluster.directory)
    assert "this node runs open, without TLS and keys" in told.err
    assert "another process of this node runs at" in told.complaint
