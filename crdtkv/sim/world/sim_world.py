"""`SimWorld`: the nodes, disks, links and NATS servers of one simulated run.

It starts and stops processes, and links nodes that can reach each other. Clients and watchers attach as `Endpoint`s. It
injects no faults (`actors.chaos` does) and checks nothing (`monitors` and `checking` do).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from crdtkv.errors import StorageError
from crdtkv.ring.topology import Topology
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.world.environment import Environment
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.nats import SimNats
from crdtkv.sim.world.view import NodeView, Place

#: A link is given up after this much silence.
SILENCE_S = 3.0
#: A process that its disk has stopped is started again after this time.
RESTART_S = 0.5
FIRST_CLIENT = 1


class Endpoint(Protocol):
    """A client's end of the links to the nodes."""

    @property
    def name(self) -> str:
        """The name under which nodes send to it."""
        ...

    def connect(self) -> None:
        """Connect to the nodes."""
        ...

    def receive(self, sender: str, payload: bytes) -> None:
        """Handle a frame from a node."""
        ...

    def node_started(self, node: SimNode) -> None:
        """Handle that a process has started."""
        ...

    def node_stopped(self, node: SimNode) -> None:
        """Handle that a process has ended."""
        ...


class SimWorld(Environment):
    """One world. No process runs before `begin`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.nodes: dict[str, SimNode] = {}
        self.nats = SimNats(self, self.nodes)
        for dc, dc_config in self.config.datacenters.items():
            for node_config in dc_config.nodes:
                self.nodes[node_config.name] = SimNode(Place(dc, node_config.name), self, self.nats, self)
        self._endpoints: dict[str, Endpoint] = {}
        self._linked: dict[tuple[str, str], None] = {}

    def begin(self, endpoints: Iterable[Endpoint]) -> None:
        """Attach all endpoints, set the clocks, and start all processes."""
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        for node in self.nodes.values():
            for number, client in enumerate(self._endpoints, FIRST_CLIENT):
                node.know_client(number, client)
            node.clock_offset_s = self.random.uniform(-1, 1) * self.plan.weather.clock_offset_s
            node.clock_drift = self.random.uniform(-1, 1) * self.plan.weather.clock_drift
        for node in self.nodes.values():
            self.start(node)
        self.nats.begin_polls()

    def connect_clients(self) -> None:
        """Let all endpoints connect to the nodes."""
        for endpoint in self._endpoints.values():
            endpoint.connect()

    def topology_of(self, datacenter: str) -> Topology:
        """Return the newest topology that a running node of a data center has."""
        cores = [node.core for node in self.nodes.values() if node.place.datacenter == datacenter]
        return max((core.topology for core in cores if core is not None), key=lambda topology: topology.epoch)

    # Processes.

    def start(self, node: SimNode) -> None:
        """Start a process that does not run, and link it to the others that do."""
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
        for other in self.neighbors(node):
            self.update_link(node, other)
        for endpoint in self._endpoints.values():
            endpoint.node_started(node)
        self.nats.connect(node)

    def stop(self, node: SimNode, survivors: int | None = None) -> None:
        """End a process; the first `survivors` of its unsynced commits remain, all if that is None."""
        if node.core is None:
            return
        self.observer.stopping(node)
        lost = node.stop(survivors)
        self.note(f"{node.place.node} is gone, {lost} commits lost")
        if lost:
            self.count("commits_lost_in_a_power_loss", lost)
        for endpoint in self._endpoints.values():
            self.network.forget_to(node.place.node, endpoint.name)
            endpoint.node_stopped(node)
        for other in self.neighbors(node):
            self.update_link(node, other)

    def neighbors(self, node: NodeView) -> list[SimNode]:
        """Return the other nodes of a node's data center."""
        dc = node.place.datacenter
        return [other for other in self.nodes.values() if other is not node and other.place.datacenter == dc]

    def resume(self, node: SimNode) -> None:
        """Let a paused process continue."""
        node.resume()
        for other in self.neighbors(node):
            self.update_link(node, other)
        self.nats.pull(node.place.datacenter)

    # Links inside a data center.

    def update_link(self, one: SimNode, other: SimNode, is_silent: bool = False) -> None:
        """Link two nodes that reach each other; break a link whose process has ended, or that was silent for long."""
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

    def give_up_silent_link(self, one: SimNode, other: SimNode) -> None:
        """Let both nodes break their link after `SILENCE_S`, if nothing arrives by then."""
        self.scheduler.after(SILENCE_S, lambda: self.update_link(one, other, is_silent=True))

    # What nodes ask of the world (`Surroundings`):

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """See `Surroundings.deliver`."""
        node = self.nodes.get(receiver)
        return node.receive if node is not None else self._endpoints[receiver].receive

    def disk_failed(self, host: SimNode) -> None:
        """See `Surroundings.disk_failed`."""
        self.count("stopped_by_the_disk")
        self.stop(host, self.random.randint(0, host.disk.unsynced))
        self.scheduler.after(RESTART_S, lambda: self.start(host))


def _sorted_pair(one: SimNode, other: SimNode) -> tuple[str, str]:
    first, second = sorted((one.place.node, other.place.node))
    return first, second
