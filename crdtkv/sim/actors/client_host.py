"""`ClientHost`: the simulated host of a client's core: its links to the nodes, in virtual time.

A link is ready shortly after the process of a node has started, and breaks shortly after the process has ended;
`network` simulates the faults of frames. The core decides which requests go to which node, and when it retries, as in
the real client. Some hosts reach nodes only at addresses that they were given, as behind ports that a container
publishes; their requests also go to nodes that hold no replica of the key.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, Protocol

from crdtkv.client.core.calls import Call
from crdtkv.client.core.client_core import ClientCore
from crdtkv.client.core.effects import Dial, Effects
from crdtkv.client.core.events import Canceled, Event, LinkDown, LinkUp, TopologySeen
from crdtkv.errors import CrdtkvError
from crdtkv.ring.topology import Topology
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.sim_world import SimWorld
from crdtkv.sim.world.stored import violated
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import Hello, Message, ScanReply, TopologyReply

#: The longest time until a broken link is noticed, and until a new one is ready.
NOTICED_WITHIN_S = 0.05
LINKED_WITHIN_S = 0.2


class CallUser(Protocol):
    """Begins calls, and receives their results."""

    def ended(self, call: Call, result: Any, error: CrdtkvError | None) -> None:
        """Handle the end of a call."""
        ...

    def page(self, call: Call, page: Any) -> None:
        """Handle a page of a scan or watch."""
        ...


class ClientHost:
    """One client core among simulated nodes; `datacenters` in the order in which it prefers them.

    `given` are the nodes that it reaches at given addresses, empty if it uses the addresses in the topology document.
    Nodes may receive its frames twice if `may_double`. With `hides_learners` it uses topology documents that do not say
    which nodes are learners.
    """

    def __init__(self, name: str, world: SimWorld, random: Random, datacenters: Sequence[str]) -> None:
        self.name = name
        self._world = world
        self._random = random
        self._datacenters = datacenters
        self.given: tuple[str, ...] = ()
        self.may_double = False
        self.hides_learners = False
        self.core = ClientCore(random)
        self._number_of: dict[str, int] = {}
        self._node_of: dict[int, str] = {}
        #: Nodes whose link is ready, and nodes whose link has broken without the core's knowledge yet.
        self._linked: set[str] = set()
        self._breaking: set[str] = set()
        self._timer_at = math.inf

    def connect(self) -> None:
        """Give the core the newest topology document of each data center, and let it connect."""
        for rank, datacenter in enumerate(self._datacenters):
            topology = self._world.topology_of(datacenter)
            reply = TopologyReply(0, topology.to_json(), [], [*self._datacenters], 0)
            contacts = tuple((node, 1) for node in self.given if self._datacenter(node) == datacenter)
            self.step(TopologySeen(datacenter, rank, self._shown(reply), contacts))

    def begin(self, user: CallUser, *calls: Call) -> None:
        """Begin calls; the core sends reads among them together."""
        for call in calls:
            call.caller = user
        self._carry_out(self.core.begin(calls, self._world.scheduler.now))

    def cancel(self, call: Call) -> None:
        """Cancel a call."""
        self.step(Canceled(call))

    def step(self, *events: Event) -> None:
        """Let the core handle events, and carry out its effects."""
        self._carry_out(self.core.handle(events, self._world.scheduler.now))

    def receive(self, sender: str, payload: bytes) -> None:
        """Handle a frame from a node."""
        frame = decode_frame(payload)
        for message in frame.messages:
            if isinstance(message, ScanReply):
                _check_rows(message)
        messages = [
            self._shown(message) if isinstance(message, TopologyReply) else message for message in frame.messages
        ]
        now = self._world.scheduler.now
        self._carry_out(self.core.received(self._number_of[sender], frame.epoch, messages, 0.0, now))

    # What the world reports (`Endpoint`):

    def node_started(self, node: SimNode) -> None:
        """Link a node that has started, soon."""
        if node.place.node in self._number_of:
            process = node.process
            delay_s = self._random.uniform(NOTICED_WITHIN_S, LINKED_WITHIN_S)
            self._world.scheduler.after(delay_s, lambda: self._link(node, process))

    def node_stopped(self, node: SimNode) -> None:
        """Break the link of a node that has stopped; the core notices soon."""
        name = node.place.node
        if name in self._linked:
            self._linked.discard(name)
            self._breaking.add(name)
            number, delay_s = self._number_of[name], self._random.uniform(0, NOTICED_WITHIN_S)
            self._world.scheduler.after(delay_s, lambda: self._link_broke(name, number))

    def hang_up(self) -> None:
        """Break all links, and make new ones soon."""
        for name in sorted(self._linked):
            node = self._world.nodes[name]
            self._world.network.reset(self.name, name)
            node.client_gone(self.name)
            self.node_stopped(node)
            self.node_started(node)

    def _link(self, node: SimNode, process: int) -> None:
        name = node.place.node
        if not node.is_up or node.process != process or name in self._linked:
            return
        if node.is_paused or name in self._breaking:
            self.node_started(node)
            return
        self._linked.add(name)
        self.step(LinkUp(self._number_of[name], Hello("sim", node.place.datacenter, "node", name)))

    def _link_broke(self, name: str, number: int) -> None:
        self._breaking.discard(name)
        self.step(LinkDown(number))

    def _carry_out(self, effects: Effects) -> None:
        for change in effects.changes:
            if isinstance(change, Dial):
                self._dial(change)
        for number, messages in effects.sends.items():
            self._send(self._node_of[number], messages)
        for call, page in effects.pages:
            call.caller.page(call, page)
        for call in effects.ended:
            call.caller.ended(call, call.result, call.error)
        self._set_timer()

    def _dial(self, dial: Dial) -> None:
        if dial.node and self.given:
            return  # the addresses in the topology document are unreachable
        name = dial.node or dial.host
        if name in self._linked:  # the node has moved, and the core has hung up the old link
            self._linked.discard(name)
            self._world.network.reset(self.name, name)
        self._number_of[name] = dial.link
        self._node_of[dial.link] = name
        self.node_started(self._world.nodes[name])

    def _send(self, name: str, messages: list[Message]) -> None:
        node = self._world.nodes[name]
        frame = encode_frame(0, messages)
        self._world.trace.sent(self.name, name, frame)
        self._world.network.send(self.name, name, frame, node.receive, self.may_double)

    def _set_timer(self) -> None:
        at_s = self.core.timers.next_at
        if self._timer_at <= at_s:
            return
        self._timer_at = at_s

        def wake() -> None:
            if self._timer_at == at_s:
                self._timer_at = math.inf
            self.step()

        self._world.scheduler.after(at_s - self._world.scheduler.now, wake)

    def _datacenter(self, node: str) -> str:
        return self._world.nodes[node].place.datacenter

    def _shown(self, reply: TopologyReply) -> TopologyReply:
        """Return the topology document as this client sees it."""
        if not self.hides_learners:
            return reply
        topology = Topology.from_json(reply.document)
        members = (replace(node, is_learner=False, incarnation=node.incarnation or "?") for node in topology.nodes)
        topology = replace(topology, nodes=tuple(members))
        return reply._replace(document=topology.to_json())


def _check_rows(reply: ScanReply) -> None:
    """Check that no row occurs twice in a page."""
    identities = [row[0] for row in reply.rows]  # type: ignore[index]
    if len(set(identities)) != len(identities):
        violated("scan", f"a row comes twice in {identities}")
