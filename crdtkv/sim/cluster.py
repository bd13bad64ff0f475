"""All nodes, disks, links and clients of one simulated life, and how they hang together.

This is the world around the cores: which processes run, who is linked to whom, what everybody sends. The NATS servers
are `nats`'s part. It breaks nothing by itself (`chaos` does) and judges nothing (`monitors` and `checking` do).
"""

import hashlib
from collections.abc import Callable
from random import Random

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import StorageError
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event, Peer
from crdtkv.ring.topology import Topology
from crdtkv.sim.actors.client import clients_of
from crdtkv.sim.actors.watchers import watchers_of
from crdtkv.sim.monitors.coverage import Coverage
from crdtkv.sim.monitors.monitors import Monitors
from crdtkv.sim.monitors.times import Times
from crdtkv.sim.plan.plan import Plan, Shape
from crdtkv.sim.world.host import Place, SimNode
from crdtkv.sim.world.nats import SimNats
from crdtkv.sim.world.network import Network
from crdtkv.sim.world.scheduler import Scheduler
from crdtkv.sim.world.stored import violated
from crdtkv.sim.world.tracing import readable
from crdtkv.storage.identity import Identity
from crdtkv.wire.messages import Message

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
        self.times = Times(self)
        self.nats = SimNats(self)
        self.nodes: dict[str, SimNode] = {}
        for dc, dc_config in self.config.datacenters.items():
            for node_config in dc_config.nodes:
                place = Place(dc, node_config.name)
                self.nodes[place.node] = SimNode(
                    place, self.config, self, self.nats, self.scheduler, self.network, plan.seed
                )
        #: The last client is the judge: it reads everything at the end.
        self.clients = clients_of(self)
        self.watchers = watchers_of(self)
        hosts = [host for client in self.clients for host in client.hosts.values()]
        self._client_hosts = {host.name: host for host in (*hosts, *(watcher.host for watcher in self.watchers))}
        self._linked: dict[tuple[str, str], None] = {}
        for node in self.nodes.values():
            for number, client in enumerate(self._client_hosts, FIRST_CLIENT):
                node.know_client(number, client)
            node.clock_offset_s = self.random.uniform(-1, 1) * plan.weather.clock_offset_s
            node.clock_drift = self.random.uniform(-1, 1) * plan.weather.clock_drift
            self.monitors.watch(node)
        for node in self.nodes.values():
            self.start(node)
        self.nats.begin_polls()

    @property
    def digest(self) -> str:
        """The hash over everything that was sent: equal seeds must give equal digests."""
        return self._digest.hexdigest()

    def connect_clients(self) -> None:
        """Let all clients and watchers connect to the nodes."""
        for host in self._client_hosts.values():
            host.connect()

    def topology_of(self, datacenter: str) -> Topology:
        """Return the newest ring that a running node of a data center knows."""
        cores = [node.core for node in self.nodes.values() if node.place.datacenter == datacenter]
        return max((core.topology for core in cores if core is not None), key=lambda topology: topology.epoch)

    # Processes.

    def start(self, node: SimNode) -> None:
        """Start a process that does not run, and link it."""
        if node.is_up:
            return
        try:
            node.start()
        except StorageError as error:
            self.note(f"{node.place.node} cannot start: {error}")
            self.scheduler.after(RESTART_S, lambda: self.start(node))
            return
        self.note(f"{node.place.node} starts")
        assert node.core is not None
        node.core.parts.replica.changes.keys_max = self.plan.shape.watch_log_max
        self.monitors.making.watch(node)
        for other in self.neighbors(node):
            self.tend_link(node, other)
        for host in self._client_hosts.values():
            host.node_started(node)
        self.nats.connect(node)

    def stop(self, node: SimNode, survivors: int | None = None) -> None:
        """End a process; of its unsynced commits that many survive, None for all."""
        if node.core is None:
            return
        self.coverage.take(node.core)
        lost = node.stop(survivors)
        self.note(f"{node.place.node} is gone, {lost} commits lost")
        if lost:
            self.coverage.count("commits_lost_in_a_power_loss", lost)
        for host in self._client_hosts.values():
            self.network.forget_to(node.place.node, host.name)
            host.node_stopped(node)
        for watcher in self.watchers:
            watcher.node_stopped(node.place.node)
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
        self.nats.pull(node.place.datacenter)

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

    # What hosts ask of the simulation (`Simulation`):

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """See `Simulation.deliver`."""
        node = self.nodes.get(receiver)
        return node.receive if node is not None else self._client_hosts[receiver].receive

    def stepping(self, host: SimNode, events: list[Event]) -> None:
        """See `Simulation.stepping`."""
        self.monitors.stepping(host, events)

    def stepped(self, host: SimNode, events: list[Event], effects: Effects) -> None:
        """See `Simulation.stepped`."""
        self.monitors.stepped(host, events, effects)
        self.times.stepped(host)

    def new_incarnation(self, host: SimNode, who: Identity) -> None:
        """See `Simulation.new_incarnation`."""
        self.note(f"{host.place.node} starts as a new incarnation: {who.renewed_because}")
        if who.renewed_because != "first start" or who.starts > 1:
            self.coverage.count("incarnations_new_at_start")
            self.monitors.revealing.forgot(host)
            if not self.plan.is_forgetful:
                violated("I3", f"{host.place.node} took a new incarnation for no reason: {who.renewed_because}")

    def disk_failed(self, host: SimNode) -> None:
        """See `Simulation.disk_failed`."""
        self.coverage.count("stopped_by_the_disk")
        self.stop(host, self.random.randint(0, host.disk.unsynced))
        self.scheduler.after(RESTART_S, lambda: self.start(host))

    def releasing(self, host: SimNode, effects: Effects) -> None:
        """See `Simulation.releasing`."""
        self.monitors.releasing.released(host, effects)

    def sending(self, host: SimNode, peer: Peer, messages: list[Message]) -> None:
        """See `Simulation.sending`."""
        self.monitors.revealing.sent(host, peer, messages)
        self.monitors.retrying.sent(messages)
        self.monitors.superseding.sent(host, peer, messages)
        self.monitors.watched.sent(host, messages)

    def trace(self, sender: str, receiver: str, payload: bytes) -> None:
        """See `Simulation.trace`."""
        self.messages += 1
        self._digest.update(b"%.6f %b %b " % (self.scheduler.now, sender.encode(), receiver.encode()))
        self._digest.update(payload)
        if self.trace_to is not None:
            self.trace_to(f"{self.scheduler.now:9.4f} {sender} > {receiver}: {readable(payload)}")

    def note(self, text: str) -> None:
        """See `Simulation.note`."""
        self._digest.update(text.encode())
        if self.trace_to is not None:
            self.trace_to(f"{self.scheduler.now:9.4f} * {text}")


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
            "limits": {
                "calls_in_flight_max": shape.calls_in_flight_max,
                "whole_entry_bytes": shape.whole_entry_bytes,
            },
            "gossip": {"interval_s": shape.gossip_interval_s},
            "handoff": {"hints_max": shape.hints_max},
            "repair": {"read_share": shape.read_share},
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
    # Smaller than any sensible configuration, so that it is full all the time, and over within a life.
    collection = {"gc_grace_s": shape.gc_grace_s, "interval_s": 60.0 if shape.gc_grace_s > 60 else 0.5}
    return config.model_copy(
        update={
            "geo": config.geo.model_copy(update={"outbox_max": shape.outbox_max}),
            "collection": config.collection.model_copy(update=collection),
        }
    )
