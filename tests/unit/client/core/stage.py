"""One client core among nodes that are played by the test: what it sends comes out, what they answer goes in."""

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
#: How precisely time goes on while `advance` waits.
TICK_S = 0.01

M = TypeVar("M")


def topology(datacenter: str = "eu", nodes: int = 3, epoch: int = 1, learners: tuple[str, ...] = ()) -> Topology:
    """Return a ring in which every node is a replica of every key, unless there are more than three."""
    names = [f"{datacenter}-{number}" for number in range(1, nodes + 1)]
    members = tuple(RingNode(name, name, 1, "z", 1.0, "0" * 16, name in learners) for name in names)
    return Topology("shop", datacenter, epoch, 16, min(3, nodes), members)


def told(ring: Topology, number: int = 0) -> TopologyReply:
    """Return a ring as a node tells it."""
    return TopologyReply(number, ring.to_json(), [["default", "LOCAL_QUORUM"]], ["eu", "us"], 0)


class Stage:
    """The core, its clock, and the nodes by name; all links stand at first."""

    def __init__(self, *rings: Topology) -> None:
        self.now = 100.0
        self.core = ClientCore(Random(7))
        self.effects: list[Effects] = []
        self.ended: dict[Call, Any] = {}
        self.pages: list[Any] = []
        self.moves: list[tuple[str, str]] = []
        #: What was sent to each node and not looked at yet.
        self.sent: dict[str, list[Message]] = {}
        for rank, ring in enumerate(rings or (topology(),)):
            self.step(TopologySeen(ring.datacenter, rank, told(ring)))
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
        """Let time go on; the core is woken when it wants to be."""
        until = self.now + seconds
        while (due := self.core.timers.next_at) <= until:
            self.now = max(self.now, due)
            self.step()
        self.now = until

    def take(self, node: str, kind: type[M]) -> M:
        """Return the only message to a node that was not looked at yet, and to any."""
        (message,) = self.sent.pop(node)
        assert isinstance(message, kind)
        assert not self.sent, f"also sent: {self.sent}"
        return message

    def take_any(self, kind: type[M]) -> tuple[str, M]:
        """Return the only message that was not looked at yet, and to which node it went."""
        (node,) = self.sent
        return node, self.take(node, kind)


def entry_of(state: Any, context: Any) -> bytes:
    return Entry(state, context).to_bytes()
