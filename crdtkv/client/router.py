"""`Router`: which node gets a request.

Per data center it knows the ring and keeps a connection to every node. A request goes to the first home replica of its
key that is linked, else to any linked node there (which forwards it), else to the next data center of the list.

Nodes name each other by the addresses in their configuration. Where none of these can be reached from here, as behind a
port that a container publishes, the addresses that were given are kept, and whichever nodes they lead to are asked.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from crdtkv.client.connection import Connection
from crdtkv.errors import ClosedError, CrdtkvError, InvalidRequest, NoNodeReachable
from crdtkv.ids import is_name
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import token_of
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Hello, TopologyReply, TopologyRequest

TOPOLOGY_TIMEOUT_S = 5.0
#: How long better data centers are waited for once any has answered.
MOMENT_S = 0.5
#: How long the first link is waited for, and others once there is one.
FIRST_LINK_S = 2.0
OTHER_LINKS_S = 0.3

log = logging.getLogger("crdtkv.client")


class DatacenterView:
    """One data center: its ring, the default levels of its buckets, its connections. `rank` 0 is the preferred one."""

    def __init__(self, name: str, hello: Hello) -> None:
        self.name = name
        self._hello = hello
        self.ring: HashRing | None = None
        self.rank = 1
        self.buckets: dict[str, str] = {}
        #: The names of all data centers, none if the node did not tell; and what an entry may take, 0 likewise.
        self.datacenters: frozenset[str] = frozenset()
        self.entry_bytes = 0
        self.connections: dict[str, Connection] = {}
        #: Addresses that were given, if no node was reached at the one it has in the ring.
        self.contacts: list[Connection] = []
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def replication_factor(self) -> int:
        """How many replicas a key has here."""
        return self.ring.replication_factor if self.ring is not None else 1

    def candidates(self, identity: bytes) -> Iterator[Connection]:
        """Yield the open connections, home replicas of the key first, nodes that do not answer last."""
        assert self.ring is not None
        learners = self.ring.learners
        replicas = [name for name in self.ring.replicas_at(token_of(identity)) if name not in learners]
        for name in replicas:
            connection = self.connections.get(name)
            if connection is not None and connection.is_responsive:
                yield connection
        for name, connection in self.connections.items():
            if name not in replicas and connection.is_responsive:
                yield connection
        for connection in self.contacts:
            if connection.is_responsive and self._leads_here(connection):
                yield connection
        for connection in self.connections.values():
            if connection.is_suspected and connection.is_open:
                yield connection

    @property
    def linked(self) -> dict[str, Connection]:
        """The nodes that are linked now, at their address in the ring, or else at one that was given."""
        linked = {name: connection for name, connection in self.connections.items() if connection.is_open}
        for contact in self.contacts:
            if contact.is_open and contact.server is not None and self._leads_here(contact):
                linked.setdefault(contact.server.name, contact)
        return linked

    def keep(self, contacts: Sequence[Connection]) -> None:
        """Keep to the addresses that were given, if no node is linked at the one it has in the ring."""
        if not self.linked:
            self.contacts = [contact for contact in contacts if contact.server is None or self._leads_here(contact)]
            for contact in self.contacts:
                contact.saw_epoch = self.saw_epoch

    async def learn(self, connection: Connection) -> None:
        """Ask a node for ring and buckets, and connect to the nodes it names."""
        reply = await connection.ask(TopologyRequest(connection.next_id()), TOPOLOGY_TIMEOUT_S)
        assert isinstance(reply, TopologyReply)
        topology = Topology.from_json(reply.document)
        self.ring = HashRing(topology)
        self.buckets = {str(row[0]): str(row[1]) for row in reply.buckets}  # type: ignore[index]
        self.datacenters = frozenset(str(name) for name in reply.datacenters or ())
        self.entry_bytes = reply.entry_bytes
        for node in topology.nodes:
            known = self.connections.get(node.name)
            if known is not None and known.address == node.address:
                continue
            self.connections[node.name] = Connection(node.host, node.port, self._hello, self.saw_epoch)
            self.connections[node.name].start()
            if known is not None:
                await known.close()  # the node has moved

    def saw_epoch(self, epoch: int) -> None:
        """Learn the ring again when a node speaks under a newer one."""
        if self.ring is None or epoch <= self.ring.topology.epoch or self._refreshing is not None:
            return
        self._refreshing = asyncio.ensure_future(self._refresh())

    async def close(self) -> None:
        """Close all connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        await asyncio.gather(*(connection.close() for connection in [*self.connections.values(), *self.contacts]))

    async def _refresh(self) -> None:
        with contextlib.suppress(CrdtkvError):
            for connection in self.linked.values():
                await self.learn(connection)
                break
        self._refreshing = None

    def _leads_here(self, contact: Connection) -> bool:
        return contact.server is not None and contact.server.datacenter == self.name


class Router:
    """All data centers the client may use, the preferred first."""

    def __init__(self, addresses: Sequence[tuple[str, int]], datacenter: str | None, name: str) -> None:
        """Prepare; `addresses` are any nodes, in order of preference."""
        self._addresses = addresses
        self._preferred = datacenter
        self._loop = asyncio.get_running_loop()
        self._hello = Hello("", datacenter if is_name(datacenter) else "", "client", name)
        self.views: list[DatacenterView] = []
        self._met: set[str] = set()
        self._current: DatacenterView | None = None
        #: How often requests began to go to another data center, and who is told then: from which one, to which.
        self.moves = 0
        self.on_move: Callable[[str, str], None] | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    async def connect(self, cluster: str, timeout_s: float) -> None:
        """Reach at least one data center: the preferred one if it answers at all.

        Raises:
            NoNodeReachable: none answers at any address.
            ProtocolError: another cluster is there, or something else than a node.
            InvalidRequest: the cluster has no data center of that name.
        """
        self._hello = self._hello._replace(cluster=cluster)
        contacts = [Connection(host, port, self._hello, lambda _: None) for host, port in self._addresses]
        for contact in contacts:
            contact.start()
        meeting = [asyncio.create_task(self._meet(contact)) for contact in contacts]
        try:
            try:
                await self._meet_enough(meeting, time.monotonic() + timeout_s)
            finally:
                for task in meeting:
                    task.cancel()
                await asyncio.gather(*meeting, return_exceptions=True)
            await self._first_links()
            for view in self.views:
                view.keep(contacts)
        finally:
            kept = {contact for view in self.views for contact in view.contacts}
            await asyncio.gather(*(contact.close() for contact in contacts if contact not in kept))
        if not self.views:
            refused = next((contact.refused for contact in contacts if contact.refused), None)
            if refused is not None:
                raise refused
            tried = ", ".join(contact.address for contact in contacts)
            raise NoNodeReachable(f"no node answers at {tried}: is the cluster running?")
        self._check_preferred()

    def check_loop(self) -> None:
        """Check that this is called in the event loop that the client was connected in: its links are driven there.

        Raises:
            InvalidRequest: it is another one; nothing was sent.
            ClosedError: and that one has ended.
        """
        if asyncio.get_running_loop() is self._loop:
            return
        if self._loop.is_closed():
            raise ClosedError("the event loop that this client was connected in has ended: connect in this one, anew")
        raise InvalidRequest("this client belongs to another event loop: connect in the loop that uses it")

    def route(self, identity: bytes, level: ConsistencyLevel, skip: int = 0) -> tuple[DatacenterView, Connection]:
        """Return where a request for a key goes now; `skip` passes over as many nodes, if there are more.

        At `LINEARIZABLE` that is always the first data center: another one may not have what was written there.

        Raises:
            NoNodeReachable: no link is open at all.
            ClosedError: the client was closed.
            InvalidRequest: it belongs to another event loop.
        """
        if asyncio.get_running_loop() is not self._loop:
            self.check_loop()
        for view in self.views[:1] if level.is_linearizable else self.views:
            found: Connection | None = None
            for connection in view.candidates(identity):
                found = connection
                if skip == 0:
                    break
                skip -= 1
            if found is not None:
                if view is not self._current:
                    self._move_to(view)
                return view, found
        if self._is_closed:
            raise ClosedError("the client is closed")
        if level.is_linearizable:
            raise NoNodeReachable(
                f"no node of {self.views[0].name} is reachable now, and LINEARIZABLE holds within one data center "
                "only: wait, or use another level"
            )
        raise NoNodeReachable("no node is reachable now: is the cluster running?")

    @property
    def current(self) -> DatacenterView:
        """The data center that requests go to now."""
        return self._current or self.views[0]

    def _move_to(self, view: DatacenterView) -> None:
        """Say that requests go to another data center from now on."""
        before, self._current = self._current, view
        if before is not None:
            self.moves += 1
            log.warning("requests go to data center %s from now on, no longer to %s", view.name, before.name)
            if self.on_move is not None:
                self.on_move(before.name, view.name)

    async def close(self) -> None:
        """Close everything. Raises as `check_loop` does."""
        self.check_loop()
        self._is_closed = True
        await asyncio.gather(*(view.close() for view in self.views))

    def _check_preferred(self) -> None:
        """Tell a data center that does not exist from one that is out of reach, if any node says which there are."""
        known = frozenset[str]().union(*(view.datacenters for view in self.views))
        met = {view.name for view in self.views}
        if self._preferred is not None and known and self._preferred not in known | met:
            names = ", ".join(sorted(known))
            raise InvalidRequest(f"no data center {self._preferred!r:.80} in the cluster: one of {names}")

    async def _meet_enough(self, meeting: list[asyncio.Task[None]], deadline: float) -> None:
        """Wait until the preferred data center is met; a moment only once any other is."""
        pending = set(meeting)
        while pending and time.monotonic() < deadline:
            if self.views:
                is_best = any(view.rank == 0 for view in self.views)
                deadline = min(deadline, time.monotonic() + (MOMENT_S / 5 if is_best else MOMENT_S))
            wait_s = max(0.0, deadline - time.monotonic())
            _, pending = await asyncio.wait(pending, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)

    async def _meet(self, contact: Connection) -> None:
        """Learn a data center from one of its nodes, unless another one tells already."""
        await contact.opened()
        if contact.server is None or contact.server.datacenter in self._met:
            return
        name = contact.server.datacenter
        self._met.add(name)
        view = DatacenterView(name, self._hello)
        try:
            await view.learn(contact)
        except CrdtkvError:
            self._met.discard(name)
            return
        is_first_address = contact.address == "{}:{}".format(*self._addresses[0])
        is_preferred = name == self._preferred if self._preferred is not None else is_first_address
        view.rank = 0 if is_preferred else 1
        self.views.append(view)

    async def _first_links(self) -> None:
        """Wait for the links of the first data center, so that the first requests go straight to replicas."""
        if not self.views:
            return
        self.views.sort(key=lambda view: view.rank)
        opening = [asyncio.ensure_future(connection.opened()) for connection in self.views[0].connections.values()]
        try:
            done, _ = await asyncio.wait(opening, timeout=FIRST_LINK_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                await asyncio.wait(opening, timeout=OTHER_LINKS_S)
        finally:
            for task in opening:
                task.cancel()
