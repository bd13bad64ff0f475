"""The NATS servers of all data centers of one simulated run, as the nodes use them.

Each data center has one stream and one topology bucket. This module decides which nodes reach which server, which node
pulls the next message of a stream, and how many it processes at a time; it reads and writes the topology document as
the server's `bus` does. `stream` and `bucket` simulate the loss of data.
"""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random

from crdtkv.node.kernel.effects import Proposal, Publish, SendBus
from crdtkv.node.kernel.events import (
    BusDown,
    BusMessage,
    BusUp,
    ConsumerIdle,
    Published,
    StreamMessage,
    TopologyChanged,
)
from crdtkv.ring.agreement import document_to_write
from crdtkv.ring.topology import Topology
from crdtkv.sim.world.bucket import TopologyBucket
from crdtkv.sim.world.environment import Environment
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.stream import UNFINISHED_MAX, Stream

POLL_S = 1.0
TOPOLOGY_POLL_S = 2.0


class SimNats:
    """All streams and buckets of one world."""

    def __init__(self, environment: Environment, nodes: Mapping[str, SimNode]) -> None:
        plan = environment.plan
        self._environment = environment
        self._nodes = nodes
        self._config = environment.config
        self._scheduler = environment.scheduler
        self._random = environment.random
        self._loss = plan.weather.bus_loss
        self.streams = {
            dc: Stream(
                self._scheduler,
                Random(f"stream {plan.seed} {dc}"),
                self._config.peers_of(dc),
                partial(self._pump, dc),
            )
            for dc in plan.datacenters
        }
        self.buckets = {dc: TopologyBucket() for dc in plan.datacenters}
        self._cuts: dict[tuple[str, str], int] = {}
        self._numbers = itertools.count(1)
        #: By the handle that a node gets: the data center, sequence number and payload of a message.
        self._handles: dict[int, tuple[str, int, bytes]] = {}
        #: By node and data center: the number of messages of that stream that the node has not acknowledged.
        self._unfinished: dict[tuple[str, str], int] = {}
        self._pumping: set[tuple[str, str]] = set()
        self._ring_changes = 0

    # Servers, and the nodes that reach them.

    def begin_polls(self) -> None:
        """Begin the periodic polls of consumers and topology documents."""
        self._scheduler.after(POLL_S, self._poll_consumers)
        self._scheduler.after(TOPOLOGY_POLL_S, self._poll_topologies)

    def connect(self, node: SimNode) -> None:
        """Connect a node that has just started."""
        dc = node.place.datacenter
        for peer in self._config.peers_of(dc):
            self._unfinished[node.place.node, peer] = 0
        if self.streams[dc].is_up:
            node.put(BusUp())
        self.pull(dc)

    def turn(self, datacenter: str, is_up: bool) -> None:
        """Start or stop the server of a data center."""
        self.streams[datacenter].is_up = is_up
        for node in self._nodes.values():
            if node.place.datacenter == datacenter:
                node.put(BusUp() if is_up else BusDown())
        if is_up:
            for peer in self._config.peers_of(datacenter):
                self._pump(datacenter, peer)

    def cut(self, from_dc: str, to_dc: str, is_cut: bool) -> None:
        """Cut or restore the connections of the nodes of one data center to the server of another."""
        cuts = self._cuts.get((from_dc, to_dc), 0) + (1 if is_cut else -1)
        self._cuts[from_dc, to_dc] = max(0, cuts)
        self._pump(to_dc, from_dc)

    def heal(self) -> None:
        """Restore all servers and all connections to them."""
        self._cuts = {}
        self._loss = 0.0
        for dc, stream in self.streams.items():
            stream.ack_loss = 0.0
            stream.refuses = False
            self.turn(dc, is_up=True)

    def _reaches(self, from_dc: str, to_dc: str) -> bool:
        """Tell whether nodes of one data center reach the server of another."""
        return self.streams[to_dc].is_up and not self._cuts.get((from_dc, to_dc))

    # Messages.

    def publish(self, host: SimNode, publish: Publish) -> None:
        """See `Bus.publish`."""
        dc = host.place.datacenter
        self._environment.trace.sent(host.place.node, f"stream of {dc}", publish.payload)
        ok = self.streams[dc].publish(publish.payload)
        process = host.process

        def answered() -> None:
            if host.process == process:
                host.put(Published(publish.number, ok))

        self._scheduler.after(self._random.uniform(0.001, 0.01), answered)

    def send(self, host: SimNode, send: SendBus) -> None:
        """See `Bus.send`."""
        self._environment.trace.sent(host.place.node, send.node, send.payload)
        if not self._reaches(host.place.datacenter, send.datacenter) or self._random.random() < self._loss:
            return
        node = self._nodes[send.node]
        self._scheduler.after(self._random.uniform(0.01, 0.1), lambda: node.put(BusMessage(send.payload)))

    def ack(self, host: SimNode, handle: int, applied: bool) -> None:
        """See `Bus.ack`."""
        dc, sequence, payload = self._handles.pop(handle)
        here = host.place.datacenter
        self._unfinished[host.place.node, dc] -= 1
        if applied:
            self._environment.observer.acknowledged(host, payload)
        if self._reaches(here, dc):
            if applied:
                self.streams[dc].ack(here, sequence)
            else:
                self._scheduler.after(0.5, lambda: self.streams[dc].redeliver(here, sequence))
        self._pump(dc, here)

    def pull(self, datacenter: str) -> None:
        """Let the nodes of a data center pull messages from the streams of all others."""
        for peer in self._config.peers_of(datacenter):
            self._pump(peer, datacenter)

    def _pump(self, from_dc: str, to_dc: str) -> None:
        """Deliver the next message of a data center's stream to a random node of another one, soon."""
        if (from_dc, to_dc) not in self._pumping:
            self._pumping.add((from_dc, to_dc))
            self._scheduler.after(self._random.uniform(0.002, 0.02), lambda: self._fetch(from_dc, to_dc))

    def _fetch(self, from_dc: str, to_dc: str) -> None:
        self._pumping.discard((from_dc, to_dc))
        pullers = [
            node
            for node in self._nodes.values()
            if node.place.datacenter == to_dc
            and node.is_up
            and not node.is_paused
            and self._unfinished[node.place.node, from_dc] < UNFINISHED_MAX
        ]
        if not pullers or not self._reaches(to_dc, from_dc):
            return
        message = self.streams[from_dc].fetch(to_dc)
        if message is None:
            return
        node = self._random.choice(pullers)
        handle = next(self._numbers)
        self._handles[handle] = (from_dc, *message)
        self._unfinished[node.place.node, from_dc] += 1
        node.put(StreamMessage(from_dc, handle, message[1]))
        self._pump(from_dc, to_dc)

    def _poll_consumers(self) -> None:
        """Report idle consumers to every node that waits for confirmations."""
        for node in self._nodes.values():
            stream = self.streams[node.place.datacenter]
            if node.core is None or not len(node.core.parts.outbox) or not stream.is_up:
                continue
            for peer, consumer in stream.consumers.items():
                if consumer.is_idle:
                    node.put(ConsumerIdle(peer, self._scheduler.now))
        self._scheduler.after(POLL_S, self._poll_consumers)

    # Topology documents.

    def first_topology(self, datacenter: str, stored: Topology | None) -> Topology:
        """See `Bus.first_topology`: the agreed one, or the last known one if NATS is unreachable."""
        first = self._config.first_topology(datacenter)
        if not self.streams[datacenter].is_up:
            return stored or first
        bucket = self.buckets[datacenter]
        found, revision = bucket.read()
        mine = document_to_write(found, stored, first)
        if mine is not None:
            bucket.write(mine, revision)
            return mine
        assert found is not None
        return found

    def starts_remembered(self, host: SimNode) -> int | None:
        """See `Bus.starts_remembered`."""
        dc = host.place.datacenter
        return self.buckets[dc].starts_of(host.place.node) if self.streams[dc].is_up else None

    def note_start(self, host: SimNode, starts: int) -> None:
        """See `Bus.note_start`."""
        dc = host.place.datacenter
        if self.streams[dc].is_up:
            self.buckets[dc].note_start(host.place.node, starts)

    def change_ring(self, datacenter: str) -> None:
        """Write a new topology document: a node moved to another address, so all replicas stay where they are."""
        bucket = self.buckets[datacenter]
        found, revision = bucket.read()
        if found is None or not self.streams[datacenter].is_up:
            return
        first, *others = found.nodes
        self._ring_changes += 1
        moved = replace(first, host=f"host-{self._ring_changes}")
        bucket.write(replace(found, epoch=found.epoch + 1, nodes=(moved, *others)), revision)
        self._environment.note(f"{datacenter} has ring epoch {found.epoch + 1}")

    def propose(self, host: SimNode, proposal: Proposal) -> None:
        """See `Bus.propose`."""

        def write() -> None:
            dc = host.place.datacenter
            if host.core is None or host.is_paused or not self.streams[dc].is_up:
                return
            found, revision = self.buckets[dc].read()
            if found == proposal.known:
                self.buckets[dc].write(proposal.wanted, revision)
            self._look_at_topology(host)

        self._scheduler.after(self._random.uniform(0.002, 0.01), write)

    def refresh_topology(self, host: SimNode) -> None:
        """See `Bus.refresh_topology`."""
        self._scheduler.after(0.01, lambda: self._look_at_topology(host))

    def _poll_topologies(self) -> None:
        for node in self._nodes.values():
            self._look_at_topology(node)
        self._scheduler.after(TOPOLOGY_POLL_S, self._poll_topologies)

    def _look_at_topology(self, node: SimNode) -> None:
        """Let a node adopt the document, or write it again, as the server's bus does."""
        dc = node.place.datacenter
        if node.core is None or node.is_paused or not self.streams[dc].is_up:
            return
        bucket = self.buckets[dc]
        found, revision = bucket.read()
        mine = document_to_write(found, node.core.topology, self._config.first_topology(dc))
        if mine is not None:
            self._scheduler.after(0.005, lambda: self._write_topology(node, mine, revision))
        elif found is not None and found.epoch > node.core.topology.epoch:
            node.put(TopologyChanged(found))
        bucket.note_start(node.place.node, node.starts_to_note)

    def _write_topology(self, node: SimNode, mine: Topology, revision: int) -> None:
        dc = node.place.datacenter
        if self.streams[dc].is_up and self.buckets[dc].write(mine, revision):
            self._environment.count("topology_written_again")
        self._look_at_topology(node)
