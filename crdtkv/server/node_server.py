"""`NodeServer`: one node as an asyncio application.

Start: lock the data directory, open the store, agree on the topology (or continue with the last one), listen, dial,
connect to NATS. Drain: wait until clients have left, each when it has all its answers. Stop: sync and close. It decides
nothing; `NodeCore` does.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any

from crdtkv.admin.http import HttpFace, application
from crdtkv.bus.home import HomeBus
from crdtkv.bus.remote import RemoteBus
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import BusError, ConfigError, DamagedStore, ProtocolError, StorageError
from crdtkv.links.dialer import Dialer
from crdtkv.links.link import Link
from crdtkv.links.probe import who_answers
from crdtkv.links.room import Room
from crdtkv.log_text import one_line
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import AckStream, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import ClientGone, DiskSpace, Event, Peer, PeerClock, PeerDown, PeerUp, Received
from crdtkv.ring.agreement import differences
from crdtkv.ring.topology import Topology
from crdtkv.server.client_links import ClientLinks
from crdtkv.server.data_directory import mark_damaged
from crdtkv.server.link_log import LinkLog
from crdtkv.server.node_disk import NodeDisk
from crdtkv.server.open_files import places_for_clients
from crdtkv.server.stepper import Stepper, clock
from crdtkv.storage import identity
from crdtkv.wire.codec import Frame
from crdtkv.wire.messages import GoAway, Hello, Message
from crdtkv.wire.outgoing import Outgoing

FIRST_TOPOLOGY_WAIT_S = 3.0
DISK_CHECK_S = 1.0
#: How long a stopping node waits for its clients to leave, and the message that asks them to.
DRAIN_S = 5.0
LEAVING = GoAway(int(DRAIN_S * 1000))

log = logging.getLogger("crdtkv.node")


class NodeServer:
    """One node. `failed` is set, with the reason, when the node cannot continue."""

    def __init__(self, config: ClusterConfig, node: str, data: Path, listen: str | None = None) -> None:
        """Prepare a node; `listen` is the address to listen on if it is not the node's host in the configuration.

        Raises:
            ConfigError: the configuration has no such node.
        """
        found = config.find_node(node)
        if found is None:
            names = ", ".join(n.name for dc in config.datacenters.values() for n in dc.nodes)
            raise ConfigError(f"no node {node!r} in the configuration: one of {names}")
        self._config = config
        self._datacenter, self._node_config = found
        self._node = node
        self._data = data
        self._listen_on = listen or self._node_config.host
        self._is_draining = False
        self._links_changed = asyncio.Event()
        self._hello = Hello(config.cluster, self._datacenter, "node", node)
        self._links: dict[str, Link] = {}
        self._room = Room()
        self._link_log = LinkLog()
        self._dialers: dict[str, Dialer] = {}
        self._remotes: dict[str, RemoteBus] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._on_stop = contextlib.AsyncExitStack()
        self._server: asyncio.Server | None = None
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start everything; returns when the node serves.

        Raises:
            StorageError: the data directory is unusable, damaged, or belongs to another node.
            ConfigError: a port is in use, or the node runs already.
            BusError: NATS may not carry a durable cluster.
        """
        on_stop = self._on_stop
        nodes = sum(len(datacenter.nodes) for datacenter in self._config.datacenters.values())
        self._clients = ClientLinks(places_for_clients(self._config.limits.connections_max, nodes))
        owner = identity.Owner(self._config.cluster, self._datacenter, self._node)
        self._disk = disk = NodeDisk(self._data, self._config.storage, owner)
        on_stop.push_async_callback(lambda: disk.close(is_sound=not self.failed.done()))
        disk.establish()
        self._home = HomeBus(self._config, self._datacenter, self._node, self._put)
        on_stop.push_async_callback(self._home.close)
        topology = await self._first_topology()
        await self._refuse_a_second_process(topology)
        # Before this start is noted anywhere: one that finds its ports in use does not count.
        http = HttpFace(self._listen_on, self._node_config.http_port)
        on_stop.callback(http.close)
        self._server = await self._bind()
        on_stop.callback(self._server.close)
        is_checked = await self._outlive_copies()
        disk.fence_an_old_copy(clock().wall_ms, self._config.collection.gc_grace_s)
        settings = NodeSettings(
            self._config,
            self._datacenter,
            self._node,
            topology,
            disk.who.incarnation,
            disk.who.starts,
            is_checked,
            disk.who.is_replacement,
        )
        self.core = NodeCore(settings, disk.store, SystemRandom(), clock())
        self._stepper = Stepper(self.core, disk.store, self, self._fail)
        on_stop.push_async_callback(self._stepper.stop)
        on_stop.callback(self._close_links)
        await self._server.start_serving()
        on_stop.callback(self._server.close)
        on_stop.push_async_callback(self._stop_dialing)
        self._follow_addresses(topology)
        handles = itertools.count(1)
        for peer in self._config.peers_of(self._datacenter):
            remote = RemoteBus(self._config, self._datacenter, self._node, peer, self._put, handles)
            self._remotes[peer] = remote
            on_stop.push_async_callback(remote.close)
        on_stop.push_async_callback(self._cancel_tasks)
        for work in (self._run_home(), self._watch_disk(), *(remote.pull() for remote in self._remotes.values())):
            self._spawn(work)
        serving = self._spawn(http.serve(application(self.core, self._figures, lambda: self._is_draining)))
        on_stop.push_async_callback(asyncio.wait, [serving])
        on_stop.callback(http.stop)
        log.info("%s serves on %s:%d, epoch %d", self._node, self._listen_on, self._node_config.port, topology.epoch)

    async def drain(self) -> None:
        """Ask clients to leave, and wait until they have: each leaves when it has all its answers.

        Waits for at most `DRAIN_S`. New clients are not accepted.
        """
        self._is_draining = True
        if self._server is not None:
            self._server.close()
        for link in self._clients.clients():
            link.send([LEAVING])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._clients.is_empty:
                    self._links_changed.clear()
                    await self._links_changed.wait()
        if self._clients:
            log.warning("%d clients have not left within %g s", len(self._clients), DRAIN_S)

    async def stop(self) -> None:
        """Stop everything that was started, in reverse order; acknowledged writes are durable."""
        await self._on_stop.aclose()

    # The methods of `LinkUser`:

    def greeted(self, link: Link, hello: Hello) -> None:
        """Admit a client, or register the link to a node.

        Raises:
            ProtocolError: the other side belongs to another cluster or ring, or the link is not expected.
            Overloaded: there is no place for another client.
        """
        # A client that has only addresses cannot know the cluster's name.
        if hello.cluster != self._config.cluster and not (hello.role == "client" and not hello.cluster):
            raise ProtocolError(f"cluster {hello.cluster!r} is not this one, {self._config.cluster!r}")
        self._clients.known(link)
        self._links_changed.set()
        if hello.role == "client":
            self._clients.admit(link)
            if self._is_draining:
                link.send([LEAVING])
        elif hello.role == "node":
            if hello.datacenter != self._datacenter or self.core.topology.node(hello.name) is None:
                raise ProtocolError(f"node {hello.name!r} of {hello.datacenter!r} is not in this ring")
            # Of two nodes the one with the lower name dials; a link in the other direction is not accepted.
            dialer = self._dialers.get(hello.name)
            is_ours = dialer is not None and dialer.link is link
            if is_ours != (hello.name > self._node):
                raise ProtocolError(f"node {hello.name!r} is not expected on this link")
            earlier = self._links.get(hello.name)
            self._links[hello.name] = link
            if earlier is not None:
                earlier.close("replaced by a new link")
                self._put(PeerDown(hello.name))
            self._put(PeerUp(hello.name))
            self._put(PeerClock(hello.name, link.clock_ahead_s))
        else:
            raise ProtocolError(f"role {hello.role!r} is neither node nor client")

    def frame(self, link: Link, frame: Frame) -> None:
        """Pass the messages of a frame to the core."""
        assert link.hello is not None
        if frame.skipped:
            self.core.stats.count("junk_messages", frame.skipped)
        self._stepper.put(Received(link.number or link.hello.name, frame.epoch, frame.messages))

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        """Log messages that could not be sent, and pass their errors to the core."""
        self._link_log.unsent(link, outgoing, self.core.stats)
        if outgoing.returned and link.hello is not None:
            self._put(Received(link.number or link.hello.name, 0, outgoing.returned))

    def beat(self, link: Link) -> None:
        """Pass the clock of another node to the core."""
        if link.hello is not None and self._links.get(link.hello.name) is link:
            self._put(PeerClock(link.hello.name, link.clock_ahead_s))

    def lost(self, link: Link, reason: str) -> None:
        """Report the loss of a link to its dialer and to the core."""
        was_client = self._clients.lost(link)
        self._links_changed.set()
        if reason.startswith("protocol error"):
            self._link_log.junk(reason, self.core.stats)
        for dialer in self._dialers.values():
            if dialer.link is link:
                dialer.lost()
        if was_client:
            self._put(ClientGone(link.number))
        if link.hello is None:
            return
        if self._links.get(link.hello.name) is link:
            del self._links[link.hello.name]
            log.info("the link to %s is gone: %s", link.hello.name, one_line(reason))
            self._put(PeerDown(link.hello.name))

    # The methods of `World`:

    def send(self, peer: Peer, messages: list[Message]) -> None:
        """Send messages to a peer; drop them if there is no link."""
        link = self._links.get(peer) if isinstance(peer, str) else self._clients.get(peer)
        if link is not None:
            link.send(messages)

    def publish(self, publish: Publish) -> None:
        """Send a payload to the stream of this data center."""
        self._home.publish(publish)

    def send_bus(self, send: SendBus) -> None:
        """Send a payload to a node of another data center."""
        self._remotes[send.datacenter].send(send.node, send.payload)

    def propose(self, proposal: Proposal) -> None:
        """Change the topology document, if it is still the known one."""
        self._home.propose(proposal)

    def ack(self, ack: AckStream) -> None:
        """Acknowledge a message of a stream, or request its redelivery."""
        for remote in self._remotes.values():
            if remote.owns(ack.handle):
                remote.ack(ack.handle, ack.applied)

    def note(self, text: str) -> None:
        """Log a line for the operator."""
        log.warning("%s", one_line(text))

    def save_incarnation(self, incarnation: int) -> None:
        """Write a new incarnation to the identity file.

        Raises:
            StorageError: the file cannot be written.
        """
        self._disk.save_incarnation(incarnation)

    def follow_topology(self, topology: Topology) -> None:
        """Use the addresses of a topology that the node has adopted."""
        self._home.known = topology
        self._follow_addresses(topology)

    def refresh_topology(self) -> None:
        """Read the topology bucket now."""
        self._home.look()

    def halt(self, reason: str) -> None:
        """Stop the node with an error."""
        self._fail(ConfigError(reason))

    def _put(self, event: Event) -> None:
        self._stepper.put(event)

    async def _first_topology(self) -> Topology:
        """Agree on a topology; without NATS, continue with the last known one, if there is one."""
        home = self._home
        home.known = self._disk.topology()
        connecting = asyncio.ensure_future(self._agree(home))
        if home.known is not None:
            done, _ = await asyncio.wait([connecting], timeout=FIRST_TOPOLOGY_WAIT_S)
            if not done:
                connecting.cancel()
                log.warning("NATS does not answer: serving under the last known epoch, %d", home.known.epoch)
                return home.known
        topology = await connecting
        home.known = topology
        self._disk.keep_topology(topology)
        if self._node not in {node.name for node in topology.nodes}:
            raise ConfigError(
                f"node {self._node!r} is not in the agreed topology of {self._datacenter} (epoch {topology.epoch})"
            )
        for difference in differences(topology, self._config.first_topology(self._datacenter)):
            log.warning("the agreed ring, epoch %d, is not as configured: %s", topology.epoch, difference)
        return topology

    async def _refuse_a_second_process(self, topology: Topology) -> None:
        """Check whether a process of this name runs already, at the addresses this node has, or had.

        Raises:
            ConfigError: one does.
        """
        here, agreed = self._node_config, topology.node(self._node)
        addresses = {(here.host, here.port)}
        if agreed is not None:
            addresses.add((agreed.host, agreed.port))
        for host, port in sorted(addresses):
            other = await who_answers(self._config.cluster, host, port)
            if other is not None and (other.role, other.datacenter, other.name) == (
                "node",
                self._datacenter,
                self._node,
            ):
                raise ConfigError(
                    f"another process of this node runs at {host}:{port} already: stop it first, or start this one "
                    "as another node"
                )

    async def _outlive_copies(self) -> bool:
        """Take a new incarnation if the bucket holds more starts than this disk; return False if it cannot be read."""
        if not self._home.is_connected:
            return False
        remembered = await self._home.starts_remembered()
        if remembered is None:
            return False
        self._disk.outlive(remembered)
        await self._home.note_start(self._disk.who.starts)
        return True

    async def _agree(self, home: HomeBus) -> Topology:
        await home.connect()
        return await home.agree_on_topology()

    async def _run_home(self) -> None:
        if not self._home.is_connected:
            await self._home.connect()
        await self._home.poll()

    async def _bind(self) -> asyncio.Server:
        """Bind the port for links; connections are not accepted yet.

        Raises:
            ConfigError: the port cannot be bound.
        """
        host, port = self._listen_on, self._node_config.port
        try:
            return await asyncio.get_running_loop().create_server(self._accept, host, port, start_serving=False)
        except OSError as error:
            raise ConfigError(
                f"{host}:{port}: cannot listen ({os.strerror(error.errno or 0)}): stop what uses the port, or "
                "change it in datacenters.yaml"
            ) from None

    def _accept(self) -> Link:
        link = Link(self, self._hello, self._epoch, self._room)
        self._clients.accepted(link)
        return link

    def _follow_addresses(self, topology: Topology) -> None:
        """Dial the nodes with higher names, at their current addresses; nodes with lower names dial this one."""
        for node in topology.nodes:
            dialer = self._dialers.get(node.name)
            if node.name <= self._node or (dialer is not None and dialer.address == (node.host, node.port)):
                continue
            if dialer is not None:
                log.info("%s has moved from %s:%d to %s", node.name, *dialer.address, node.address)
                dialer.give_up()
            self._dialers[node.name] = Dialer(lambda: Link(self, self._hello, self._epoch), node.host, node.port)
            self._dialers[node.name].start()

    async def _stop_dialing(self) -> None:
        for dialer in self._dialers.values():
            await dialer.stop()

    def _epoch(self) -> int:
        return self.core.topology.epoch

    async def _watch_disk(self) -> None:
        """Report to the core when the disk is almost full, and when it has space again."""
        floor_bytes = self._config.storage.free_space_floor_mib * 1024 * 1024
        told = DiskSpace(True)
        while True:
            usage = shutil.disk_usage(self._data)
            now = DiskSpace(usage.free >= floor_bytes, round(100 * usage.used / usage.total))
            if now.is_sufficient != told.is_sufficient:
                log.warning(
                    "disk space is %s",
                    "sufficient again" if now.is_sufficient else "below the floor: writes are refused",
                )
            if now != told:
                self._put(now)
                told = now
            await asyncio.sleep(DISK_CHECK_S)

    def _figures(self) -> Iterable[tuple[str, str, float]]:
        yield "cpu_seconds", "CPU time the process has used", time.process_time()
        yield "client_links", "Connected clients", float(len(self._clients))
        for name, value in self._disk.store.figures().items():
            yield f"storage_{name}", f"RocksDB: {name.replace('_', ' ')}", float(value)

    def _close_links(self) -> None:
        for link in [*self._links.values(), *self._clients.all()]:
            link.close("the node stops")

    async def _cancel_tasks(self) -> None:
        """Cancel until all tasks have ended: nats-py swallows a cancellation that coincides with a message."""
        pending = {task for task in self._tasks if not task.done()}
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.2)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            if not isinstance(error, (BusError, ConfigError)):
                log.error("a task of the node failed", exc_info=error)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            if isinstance(error, DamagedStore):
                mark_damaged(self._data)
            self.failed.set_result(error if isinstance(error, Exception) else StorageError(str(error)))
