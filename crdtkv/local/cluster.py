"""`LocalCluster`: every data center of a configuration as processes on this machine.

There is a nats-server per data center and a `crdtkv node` process per node, all under one directory: `<dc>/` for NATS,
`<node>/` for a node's data and log. That directory belongs to this cluster alone while it runs. With `cuttable=True`
data centers reach each other through proxies that `cut` breaks. A node that is `fronted` is reached by all others
through a proxy that `cut_off` breaks; it must be the last one of its data center by name, because of two nodes the
first one dials.
"""

import asyncio
import contextlib
import http.client
import shutil
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from crdtkv.config.loader import dump
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import CrdtkvError, StorageError
from crdtkv.local.directory import check_directory
from crdtkv.local.nats_server import NatsServer
from crdtkv.local.processes import Child
from crdtkv.local.proxy import CuttableLink
from crdtkv.storage.directory_lock import holding
from crdtkv.storage.files import write_whole

READY_TIMEOUT_S = 60.0


class LocalCluster:
    """A running cluster; use it with `async with`."""

    def __init__(
        self, config: ClusterConfig, directory: Path, cuttable: bool = False, fronted: str | None = None
    ) -> None:
        self.config = config
        self.directory = directory
        self._cuttable = cuttable
        self._fronted = fronted
        self._front: CuttableLink | None = None
        self.nats: dict[str, NatsServer] = {}
        self.nodes: dict[str, Child] = {}
        self._links: dict[tuple[str, str], CuttableLink] = {}
        self._held = contextlib.ExitStack()  # holds the lock of the directory until everything is stopped

    async def __aenter__(self) -> "LocalCluster":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; returns when every node is ready.

        Raises:
            CrdtkvError: a process does not start; the message gives the reason. If the directory is in use, or belongs
                to another cluster, nothing in it was changed.
        """
        self._held.enter_context(holding(self.directory, f"crdtkv up, cluster {self.config.cluster}"))
        check_directory(self.directory, self.config)
        for dc, dc_config in self.config.datacenters.items():
            self.nats[dc] = NatsServer(dc, dc_config.nats, self.directory / dc)
        await asyncio.gather(*(server.check_port() for server in self.nats.values()))
        try:
            await self._start()
        except OSError as error:
            where = error.filename or self.directory
            raise StorageError(f"{where}: {error.strerror}: choose another --data directory") from None

    async def _start(self) -> None:
        if self._cuttable:
            await self._put_links_between()
        if self._fronted is not None:
            await self._put_front(self._fronted)
        path = self.directory / "datacenters.yaml"
        write_whole(path, dump(self.config))
        for dc_config in self.config.datacenters.values():
            for node in dc_config.nodes:
                own = self.directory / f"{node.name}.yaml" if node.name == self._fronted else path
                command: list[str | Path] = [sys.executable, "-m", "crdtkv.cli", "node", node.name, "--insecure"]
                command += ["--listen", node.host]  # overrides the environment
                home = self.directory / node.name
                self.nodes[node.name] = Child(node.name, [*command, "--config", own, "--data", home], home / "node.log")
        await asyncio.gather(*(server.start() for server in self.nats.values()))
        await asyncio.gather(*(self.start_node(name, ready=False) for name in self.nodes if name != self._fronted))
        if self._fronted is not None:
            # The others agree on a topology first, which then contains the proxy's address.
            await asyncio.gather(*(self._answers(name, "/healthz") for name in self.nodes if name != self._fronted))
            await self.start_node(self._fronted, ready=False)
        await asyncio.gather(*(self.ready(name) for name in self.nodes))

    async def stop(self) -> None:
        """Stop everything; data is kept."""
        with self._held:
            await asyncio.gather(*(child.stop() for child in self.nodes.values()))
            await asyncio.gather(*(server.stop() for server in self.nats.values()))
            await asyncio.gather(*(link.stop() for link in self._links.values()))
            if self._front is not None:
                await self._front.stop()

    async def start_node(self, name: str, ready: bool = True) -> None:
        """Start a node's process, and wait until it is ready.

        Raises:
            CrdtkvError: it does not become ready.
        """
        await self.nodes[name].start()
        if ready:
            await self.ready(name)

    async def ready(self, name: str) -> None:
        """Wait until a node answers on `/readyz`.

        Raises:
            CrdtkvError: its process ended, or it is not ready in time.
        """
        await self._answers(name, "/readyz")

    async def _answers(self, name: str, page: str) -> None:
        found = self.config.find_node(name)
        assert found is not None
        url = f"http://{found[1].host}:{found[1].http_port}{page}"
        deadline = time.monotonic() + READY_TIMEOUT_S
        child = self.nodes[name]
        while time.monotonic() < deadline:
            if not child.is_running:
                raise CrdtkvError(f"node {name} ended at its start: {child.last_words(1)} (log: {child.log_file})")
            if await asyncio.to_thread(_is_good, url):
                return
            await asyncio.sleep(0.05)
        raise CrdtkvError(f"node {name} is not ready after {READY_TIMEOUT_S:g} s: {child.last_words(2)}")

    def wipe_node(self, name: str) -> None:
        """Delete a stopped node's data."""
        assert not self.nodes[name].is_running
        shutil.rmtree(self.directory / name / "db", ignore_errors=True)

    def cut_off(self) -> None:
        """Cut the fronted node off from all other nodes of its data center."""
        assert self._front is not None
        self._front.cut()

    def join_again(self) -> None:
        """Let all nodes reach the fronted node again."""
        assert self._front is not None
        self._front.heal()

    def is_pair(self, one: str, other: str) -> bool:
        """Return whether these are two data centers with links that can be cut."""
        return (one, other) in self._links

    def cut(self, one: str, other: str) -> None:
        """Cut the links between two data centers."""
        for pair in ((one, other), (other, one)):
            self._links[pair].cut()

    def heal(self, one: str, other: str) -> None:
        """Restore the links between two data centers."""
        for pair in ((one, other), (other, one)):
            self._links[pair].heal()

    async def _put_front(self, name: str) -> None:
        """Start a proxy in front of a node: the node's own file has its port, all other files that of the proxy."""
        found = self.config.find_node(name)
        assert found is not None
        write_whole(self.directory / f"{name}.yaml", dump(self.config))
        self._front = CuttableLink(found[1].host, found[1].port)
        await self._front.start()
        fields = self.config.model_dump(mode="json")
        for node in fields["datacenters"][found[0]]["nodes"]:
            if node["name"] == name:
                node["port"] = self._front.port
        self.config = ClusterConfig.model_validate(fields)

    async def _put_links_between(self) -> None:
        """Start a proxy for every data center to every other one's NATS."""
        fields = self.config.model_dump(mode="json")
        for dc, dc_config in self.config.datacenters.items():
            url = urlsplit(dc_config.nats.url)
            for peer in self.config.peers_of(dc):
                link = self._links[peer, dc] = CuttableLink(url.hostname or "127.0.0.1", url.port or 4222)
                await link.start()
                fields["datacenters"][dc]["nats"]["url_from"][peer] = f"nats://127.0.0.1:{link.port}"
        self.config = ClusterConfig.model_validate(fields)


def _is_good(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - a loopback address from the configuration
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):  # no process, or another protocol
        return False
