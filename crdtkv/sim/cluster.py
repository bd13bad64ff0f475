"""All nodes, disks, links, streams, buckets and clients of one simulated life, and how they hang together.

This is the world around the cores: who is linked to whom, who can reach which NATS, which node pulls the next message
of a stream, how the topology document is read and written. It breaks nothing by itself (`chaos` does) and judges
nothing (`monitors` and `checking` do).
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from random import Random

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import StorageError
from crdtkv.node.effects import Effects, Publish, SendBus
from crdtkv.node.events import (
    BusDown,
    BusMessage,
    BusUp,
    ConsumerIdle,
    Event,
    Peer,
    Published,
    StreamMessage,
    TopologyChanged,
)
from crdtkv.ring.agreement import document_to_write
from crdtkv.ring.topology import Topology
from crdtkv.sim.bucket import TopologyBucket
from crdtkv.sim.client import SimClient
from crdtkv.sim.coverage import Coverage
from crdtkv.sim.host import Place, SimNode
from crdtkv.sim.monitors import Monitors
from crdtkv.sim.network import Network
from crdtkv.sim.plan import Plan, Shape
from crdtkv.sim.scheduler import Scheduler
from crdtkv.sim.stored import violated
from crdtkv.sim.stream import UNFINISHED_MAX, Stream
from crdtkv.sim.tracing import readable
from crdtkv.storage.identity import Identity
from crdtkv.wire.messages import Message

POLL_S = 1.0
TOPOLOGY_POLL_S = 2.0
#: After this long in silence a link is given up, and a process that died by itself is started again.
SILENCE_S = 3.0
RESTART_S = 0.5
FIRST_CLIENT = 1


class SimCluster:
    """One world. `trace_to` takes every line of the story, if it is set."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.config = _config(plan.shape, plan.datacenters)
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, plan.seed, plan.weather)
        self.random = Random(f"world {plan.seed}")
        self.trace_to: Callable[[str], None] | None = None
        self.messages = 0
        self._digest = hashlib.sha256()
        self.coverage = Coverage()
        self.monitors = Monitors(self)
        self.bus_loss = plan.weather.bus_loss
        self.streams: dict[str, Stream] = {}
        self.buckets = {dc: TopologyBucket() for dc in plan.datacenters}
        self.nodes: dict[str, SimNode] = {}
        for dc, dc_config in self.config.datacenters.items():
            random = Random(f"stream {plan.seed} {dc}")
            self.streams[dc] = Stream(self.scheduler, random, self.config.peers_of(dc), self._pump(dc))
            for node_config in dc_config.nodes:
                place = Place(dc, node_config.name)
                self.nodes[place.node] = SimNode(place, self.config, self, self.scheduler, self.network, plan.seed)
        replicas = min(plan.shape.replication_factor, plan.shape.nodes)
        #: The last client is the judge: it reads everything at the end.
        self.clients = [
            SimClient(f"client-{number}", replicas, self.scheduler, Random(f"client {plan.seed} {number}"), self._ask)
            for number in range(plan.shape.clients + 1)
        ]
        self._receivers = {client.name: client.receive for client in self.clients}
        self._linked: dict[tuple[str, str], None] = {}
        self._bus_cuts: dict[tuple[str, str], int] = {}
        self._handles: dict[int, tuple[str, int, bytes]] = {}
        #: By node, and the data center whose stream the messages are from.
        self._unfinished: dict[tuple[str, str], int] = {}
        self._pumping: set[tuple[str, str]] = set()
        self._ring_changes = 0
        for node in self.nodes.values():
            for number, client in enumerate(self.clients, FIRST_CLIENT):
                node.know_client(number, client.name)
            node.clock_offset_s = self.random.uniform(-1, 1) * plan.weather.clock_offset_s
            node.clock_drift = self.random.uniform(-1, 1) * plan.weather.clock_drift
            self.monitors.watch(node)
        for node in self.nodes.values():
            self.start(node)
        self.scheduler.after(POLL_S, self._poll_consumers)
        self.scheduler.after(TOPOLOGY_POLL_S, self._poll_topologies)

    @property
    def digest(self) -> str:
        """The hash over everything that was sent: equal seeds must give equal digests."""
        return self._digest.hexdigest()

    # Processes.

    def start(self, node: SimNode) -> None:
        """Start a process that does not run, and link it."""
        if node.is_up:
            return
        dc = node.place.datacenter
        try:
            node.start(lambda stored: self._first_topology(dc, stored))
        except StorageError as error:
            self.note(f"{node.place.node} cannot start: {error}")
            self.scheduler.after(RESTART_S, lambda: self.start(node))
            return
        for peer in self.config.peers_of(dc):
            self._unfinished[node.place.node, peer] = 0
        self.note(f"{node.place.node} starts")
        for other in self.neighbors(node):
            self.tend_link(node, other)
        if self.streams[dc].is_up:
            node.put(BusUp())
        for peer in self.config.peers_of(dc):
            self._pump(peer)(dc)

    def stop(self, node: SimNode, survivors: int | None = None) -> None:
        """End a process; of its unsynced commits that many survive, None for all."""
        if node.core is None:
            return
        self.coverage.take(node.core)
        lost = node.stop(survivors)
        self.note(f"{node.place.node} is gone, {lost} commits lost")
        if lost:
            self.coverage.count("commits_lost_in_a_power_loss", lost)
        for client in self.clients:
            self.network.forget_to(node.place.node, client.name)
        for other in self.neighbors(node):
            self.tend_link(node, other)

    def neighbors(self, node: SimNode) -> list[SimNode]:
        """Return the other nodes of a node's data center."""
        dc = node.place.datacenter
        return [other for other in self.nodes.values() if other is not node and other.place.datacenter == dc]

    def resume(self, node: SimNode) -> None:
        """Let a paused process go on."""
        node.resume()
        for other in self.neighbors(node):
            self.tend_link(node, other)
        for peer in self.config.peers_of(node.place.datacenter):
            self._pump(peer)(node.place.datacenter)

    # Links inside a data center.

    def tend_link(self, one: SimNode, other: SimNode, is_silent: bool = False) -> None:
        """Link two nodes if they can talk, and tell both if they no longer can; `is_silent` says they noticed."""
        pair = _sorted_pair(one, other)
        both_run = one.is_up and other.is_up
        can_talk = both_run and self.network.is_open(*pair) and not one.is_paused and not other.is_paused
        if pair in self._linked and (not both_run or (is_silent and not can_talk)):
            del self._linked[pair]
            if both_run:
                self.network.reset(*pair)
            else:
                for gone, other_end in ((one, other), (other, one)):
                    if not gone.is_up:
                        self.network.forget_to(gone.place.node, other_end.place.node)
            one.peer_down(other.place.node)
            other.peer_down(one.place.node)
        elif pair not in self._linked and can_talk:
            self._linked[pair] = None
            one.peer_up(other.place.node)
            other.peer_up(one.place.node)

    def tend_silent_link(self, one: SimNode, other: SimNode) -> None:
        """Let both notice after a while that nothing comes through."""
        self.scheduler.after(SILENCE_S, lambda: self.tend_link(one, other, is_silent=True))

    # NATS.

    def set_bus(self, datacenter: str, is_up: bool) -> None:
        """Start or stop the NATS server of a data center."""
        self.streams[datacenter].is_up = is_up
        for node in self.nodes.values():
            if node.place.datacenter == datacenter:
                node.put(BusUp() if is_up else BusDown())
        if is_up:
            for peer in self.config.peers_of(datacenter):
                self._pump(datacenter)(peer)

    def cut_bus(self, from_dc: str, to_dc: str, is_cut: bool) -> None:
        """Keep the nodes of one data center from reaching the NATS of another, or let them again."""
        cuts = self._bus_cuts.get((from_dc, to_dc), 0) + (1 if is_cut else -1)
        self._bus_cuts[from_dc, to_dc] = max(0, cuts)
        self._pump(to_dc)(from_dc)

    def heal_bus(self) -> None:
        """Let everybody reach every NATS, and every NATS do what it should."""
        self._bus_cuts = {}
        self.bus_loss = 0.0
        for dc, stream in self.streams.items():
            stream.ack_loss = 0.0
            stream.refuses = False
            self.set_bus(dc, is_up=True)

    def reaches(self, from_dc: str, to_dc: str) -> bool:
        """Tell whether nodes of one data center reach the NATS of another."""
        return self.streams[to_dc].is_up and not self._bus_cuts.get((from_dc, to_dc))

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
        self.note(f"{datacenter} has ring epoch {found.epoch + 1}")

    # What hosts ask of the world (`World`):

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """See `World.deliver`."""
        node = self.nodes.get(receiver)
        return node.receive if node is not None else self._receivers[receiver]

    def publish(self, host: SimNode, publish: Publish) -> None:
        """See `World.publish`."""
        dc = host.place.datacenter
        self.trace(host.place.node, f"stream of {dc}", publish.payload)
        ok = self.streams[dc].publish(publish.payload)
        life = host.life

        def answered() -> None:
            if host.life == life:
                host.put(Published(publish.number, ok))

        self.scheduler.after(self.random.uniform(0.001, 0.01), answered)

    def send_bus(self, host: SimNode, send: SendBus) -> None:
        """See `World.send_bus`."""
        self.trace(host.place.node, send.node, send.payload)
        if not self.reaches(host.place.datacenter, send.datacenter) or self.random.random() < self.bus_loss:
            return
        node = self.nodes[send.node]
        self.scheduler.after(self.random.uniform(0.01, 0.1), lambda: node.put(BusMessage(send.payload)))

    def ack(self, host: SimNode, handle: int, applied: bool) -> None:
        """See `World.ack`."""
        dc, sequence, payload = self._handles.pop(handle)
        here = host.place.datacenter
        self._unfinished[host.place.node, dc] -= 1
        if applied:
            self.monitors.acknowledged(host, payload)
        if self.reaches(here, dc):
            if applied:
                self.streams[dc].ack(here, sequence)
            else:
                self.scheduler.after(0.5, lambda: self.streams[dc].redeliver(here, sequence))
        self._pump(dc)(here)

    def refresh_topology(self, host: SimNode) -> None:
        """See `World.refresh_topology`."""
        self.scheduler.after(0.01, lambda: self._look_at_topology(host))

    def stepping(self, host: SimNode, events: list[Event]) -> None:
        """See `World.stepping`."""
        self.monitors.stepping(host, events)

    def stepped(self, host: SimNode, events: list[Event], effects: Effects) -> None:
        """See `World.stepped`."""
        self.monitors.stepped(host, events, effects)

    def new_incarnation(self, host: SimNode, who: Identity) -> None:
        """See `World.new_incarnation`."""
        self.note(f"{host.place.node} starts as a new incarnation: {who.renewed_because}")
        if who.renewed_because != "first start" or who.starts > 1:
            self.coverage.count("incarnations_new_at_start")
            if not self.plan.is_forgetful:
                violated("I3", f"{host.place.node} took a new incarnation for no reason: {who.renewed_because}")

    def disk_failed(self, host: SimNode) -> None:
        """See `World.disk_failed`."""
        self.coverage.count("stopped_by_the_disk")
        self.stop(host, self.random.randint(0, host.disk.unsynced))
        self.scheduler.after(RESTART_S, lambda: self.start(host))

    def sending(self, host: SimNode, peer: Peer, messages: list[Message]) -> None:
        """See `World.sending`."""
        self.monitors.revealing.sent(host, peer, messages)

    def trace(self, sender: str, receiver: str, payload: bytes) -> None:
        """See `World.trace`."""
        self.messages += 1
        self._digest.update(b"%.6f %b %b " % (self.scheduler.now, sender.encode(), receiver.encode()))
        self._digest.update(payload)
        if self.trace_to is not None:
            self.trace_to(f"{self.scheduler.now:9.4f} {sender} > {receiver}: {readable(payload)}")

    def note(self, text: str) -> None:
        """See `World.note`."""
        self._digest.update(text.encode())
        if self.trace_to is not None:
            self.trace_to(f"{self.scheduler.now:9.4f} * {text}")

    # Behind it.

    def _ask(self, client: str, datacenter: str, frame: bytes) -> bool:
        """Hand a client's frame to some node that runs; False if there is none."""
        running = [n for n in self.nodes.values() if n.place.datacenter == datacenter and n.is_up]
        if not running:
            return False
        node = self.random.choice(running)
        self.trace(client, node.place.node, frame)
        self.network.send(client, node.place.node, frame, node.receive, may_double=False)
        return True

    def _pump(self, from_dc: str) -> Callable[[str], None]:
        """Return what hands the next message of a data center's stream to some node of another one, soon."""

        def pump(to_dc: str) -> None:
            if (from_dc, to_dc) not in self._pumping:
                self._pumping.add((from_dc, to_dc))
                self.scheduler.after(self.random.uniform(0.002, 0.02), lambda: self._fetch(from_dc, to_dc))

        return pump

    def _fetch(self, from_dc: str, to_dc: str) -> None:
        self._pumping.discard((from_dc, to_dc))
        pullers = [
            node
            for node in self.nodes.values()
            if node.place.datacenter == to_dc
            and node.is_up
            and not node.is_paused
            and self._unfinished[node.place.node, from_dc] < UNFINISHED_MAX
        ]
        if not pullers or not self.reaches(to_dc, from_dc):
            return
        message = self.streams[from_dc].fetch(to_dc)
        if message is None:
            return
        node = self.random.choice(pullers)
        handle = self.messages * 1_000_000 + len(self._handles)
        while handle in self._handles:
            handle += 1
        self._handles[handle] = (from_dc, *message)
        self._unfinished[node.place.node, from_dc] += 1
        node.put(StreamMessage(from_dc, handle, message[1]))
        self._pump(from_dc)(to_dc)

    def _poll_consumers(self) -> None:
        """Every node that waits for confirmations asks its own stream which consumers have nothing left."""
        for node in self.nodes.values():
            stream = self.streams[node.place.datacenter]
            if node.core is None or not len(node.core.outbox) or not stream.is_up:
                continue
            for peer, consumer in stream.consumers.items():
                if consumer.is_idle:
                    node.put(ConsumerIdle(peer, self.scheduler.now))
        self.scheduler.after(POLL_S, self._poll_consumers)

    def _poll_topologies(self) -> None:
        for node in self.nodes.values():
            self._look_at_topology(node)
        self.scheduler.after(TOPOLOGY_POLL_S, self._poll_topologies)

    def _look_at_topology(self, node: SimNode) -> None:
        """Follow the document, or write it again; as the server's bus does."""
        dc = node.place.datacenter
        if node.core is None or node.is_paused or not self.streams[dc].is_up:
            return
        bucket = self.buckets[dc]
        found, revision = bucket.read()
        mine = document_to_write(found, node.core.topology, self.config.first_topology(dc))
        if mine is not None:
            self.scheduler.after(0.005, lambda: self._write_topology(node, mine, revision))
        elif found is not None and found.epoch > node.core.topology.epoch:
            node.put(TopologyChanged(found))

    def _write_topology(self, node: SimNode, mine: Topology, revision: int) -> None:
        dc = node.place.datacenter
        if self.streams[dc].is_up and self.buckets[dc].write(mine, revision):
            self.coverage.count("topology_written_again")
        self._look_at_topology(node)

    def _first_topology(self, datacenter: str, stored: Topology | None) -> Topology:
        """Agree on a topology at a node's start; without NATS, go on with the last one."""
        first = self.config.first_topology(datacenter)
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


def _sorted_pair(one: SimNode, other: SimNode) -> tuple[str, str]:
    first, second = sorted((one.place.node, other.place.node))
    return first, second


def _config(shape: Shape, datacenters: tuple[str, ...]) -> ClusterConfig:
    config = ClusterConfig.model_validate(
        {
            "cluster": "sim",
            "partitions": shape.partitions,
            "geo": {"republish_after_s": 2.0, "batch_max": shape.batch_max},
            "storage": {"entry_cache_mib": shape.entry_cache_mib},
            "limits": {"calls_in_flight_max": shape.calls_in_flight_max},
            "gossip": {"interval_s": shape.gossip_interval_s},
            "handoff": {"hints_max": shape.hints_max},
            "datacenters": {
                dc: {
                    "nats": {"url": f"nats://{dc}"},
                    "replication_factor": shape.replication_factor,
                    "nodes": [
                        {"name": f"{dc}-{n}", "port": 1, "http_port": 1, "zone": f"z{n}"}
                        for n in range(1, shape.nodes + 1)
                    ],
                }
                for dc in datacenters
            },
        }
    )
    # Smaller than any sensible configuration, so that it is full all the time.
    return config.model_copy(update={"geo": config.geo.model_copy(update={"outbox_max": shape.outbox_max})})
