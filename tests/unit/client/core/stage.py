"""`Stage`: a client core whose nodes are simulated by the test, which reads its messages and sends the answers."""

from random import Random
from typing import Any, TypeVar

from crdtkv.client.core.calls import Call
from crdtkv.client.core.client_core import ClientCore
from crdtkv.client.core.effects import Effects, Move
from crdtkv.client.core.events import Canceled, Event, LinkDown, LinkUp, TopologySeen
from crdtkv.client.core.node_link import NodeLink
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError
from crdtkv.ids import identity_of
from crdtkv.ring.topology import RingNode, Topology
from crdtkv.wire.messages import ErrorReply, Hello, Message, TopologyReply

KEY = identity_of("default", "register", "k")
M = TypeVar("M")


def topology(datacenter: str = "eu", nodes: int = 3, epoch: int = 1, learners: tuple[str, ...] = ()) -> Topology:
    """Return a topology with replication factor 3: up to three nodes, each is a replica of every key."""
    names = [f"{datacenter}-{number}" for number in range(1, nodes + 1)]
    members = tuple(RingNode(name, name, 1, "z", 1.0, "0" * 16, name in learners) for name in names)
    return Topology("shop", datacenter, epoch, 16, min(3, nodes), members)


def topology_reply(ring: Topology, number: int = 0) -> TopologyReply:
    """Return the answer of a node to a `TopologyRequest`."""
    return TopologyReply(number, ring.to_json(), [["default", "LOCAL_QUORUM"]], ["eu", "us"], 0)


class Stage:
    """The core, its clock, and the links by node name; at first all links are open."""

    def __init__(self, *rings: Topology) -> None:
        self.now = 100.0
        self.core = ClientCore(Random(7))
        self.effects: list[Effects] = []
        self.ended: dict[Call, Any] = {}
        self.pages: list[Any] = []
        self.moves: list[tuple[str, str]] = []
        #: The messages to each node that the test has not taken yet.
        self.sent: dict[str, list[Message]] = {}
        for rank, ring in enumerate(rings or (topology(),)):
            self.step(TopologySeen(ring.datacenter, rank, topology_reply(ring)))
        for link in list(self.core.routing.links.values()):
            self.up(link.node)

    def link(self, node: str) -> NodeLink:
        return next(link for link in self.core.routing.links.values() if link.node == node)

    def step(self, *events: Event) -> Effects:
        return self.carry_out(self.core.handle(events, self.now))

    def carry_out(self, effects: Effects) -> Effects:
        for number, messages in effects.sends.items():
            link = self.core.routing.links[number]
            self.sent.setdefault(link.node or link.address[0], []).extend(messages)
        for call in effects.ended:
            assert call not in self.ended, "a call ends once"
            self.ended[call] = call.result if call.error is None else call.error
        self.pages += effects.pages
        self.moves += [change for change in effects.changes if isinstance(change, Move)]
        self.effects.append(effects)
        return effects

    def begin(self, *calls: Call) -> Effects:
        return self.carry_out(self.core.begin(calls, self.now))

    def cancel(self, call: Call) -> None:
        self.step(Canceled(call))

    def up(self, node: str, datacenter: str = "") -> None:
        self.step(LinkUp(self.link(node).number, Hello("shop", datacenter or node[:2], "node", node)))

    def down(self, node: str) -> None:
        self.step(LinkDown(self.link(node).number))

    def answer(self, node: str, *messages: Message, epoch: int = 1) -> None:
        self.receive(self.link(node).number, *messages, epoch=epoch)

    def receive(self, link: int, *messages: Message, epoch: int = 1) -> None:
        self.carry_out(self.core.received(link, epoch, list(messages), 0.0, self.now))

    def refuse(self, node: str, request: Any, error: CrdtkvError) -> None:
        fields = [getattr(error, name) if name != "message" else str(error) for name in error.field_names]
        self.answer(node, ErrorReply(request.id, error.code, fields))

    def advance(self, seconds: float) -> None:
        """Advance the clock; call the core at `timers.next_at`."""
        until = self.now + seconds
        while (due := self.core.timers.next_at) <= until:
            self.now = max(self.now, due)
            self.step()
        self.now = until

    def take(self, node: str, kind: type[M]) -> M:
        """Take the only message to `node`; check that there are no messages to other nodes."""
        (message,) = self.sent.pop(node)
        assert isinstance(message, kind)
        assert not self.sent, f"also sent: {self.sent}"
        return message

    def take_any(self, kind: type[M]) -> tuple[str, M]:
        """Take the only message to any node; return the node and the message."""
        (node,) = self.sent
        return node, self.take(node, kind)


def entry_of(state: Any, context: Any) -> bytes:
    return Entry(state, context).to_bytes()
