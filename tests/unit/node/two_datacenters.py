"""Two data centers of three nodes each; every message, every fsync and every crash happens when the test says so.

All keys have one partition, and all three nodes are home replicas. Links keep their order; what travels between data
centers does not. `settle` lets everything arrive, as time passes.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from several_nodes import CLIENT, STEP_S, WALL_MS, config

from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.entry import Entry
from crdtkv.ids import actor_name, identity_of
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import (
    BusMessage,
    BusUp,
    Durable,
    Event,
    Now,
    PeerDown,
    PeerUp,
    Published,
    Received,
    StreamMessage,
)
from crdtkv.ring.token import storage_key_of
from crdtkv.ring.topology import Topology
from crdtkv.storage import rows
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import ErrorReply, MembersPush, MembersReply, Message, MutateReply, MutateRequest

STOCK = identity_of("default", "bcounter", "stock")
TIMEOUT_MS = 4000
#: Nothing mends by itself.
QUIET = {"interval_s": 3600, "rebuild_s": 3600, "read_share": 0}
NO_COMPARISONS = {"compare_interval_s": 3600}
NAMES = [f"{datacenter}-{number}" for datacenter in ("eu", "us") for number in (1, 2, 3)]


class Outcome:
    """What became of one request: its answer, and when that came; None as long as nobody has answered."""

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.answer: Message | None = None
        self.took_s = 0.0

    def __repr__(self) -> str:
        match self.answer:
            case MutateReply():
                return "ok"
            case ErrorReply(_, code, fields):
                return f"{code} {fields}"
        return "unanswered"


class World:
    """The nodes of eu and us, and all that is under way between them."""

    def __init__(
        self,
        seed: int = 0,
        repair: dict[str, Any] | None = None,
        entry_cache_mib: int = 32,
        **sections: dict[str, Any],
    ) -> None:
        self.random = Random(seed)
        storage = {"entry_cache_mib": entry_cache_mib}
        defaults: dict[str, dict[str, Any]] = {"repair": repair or QUIET, "storage": storage, "geo": NO_COMPARISONS}
        self.config = config(3, ("eu", "us"), **(defaults | sections))
        self.now_s = 100.0
        self.stores = {name: MemoryStore() for name in NAMES}
        self.cores: dict[str, NodeCore] = {}
        self.held: dict[str, deque[Effects]] = {}
        self.links: dict[tuple[str, str], deque[Message]] = {}
        self.bus: list[tuple[str, bytes]] = []
        self.streams: dict[str, list[bytes]] = {"eu": [], "us": []}
        self.pulled: dict[tuple[str, int], bytes] = {}
        self.is_cut = False
        self.loses: Callable[[str, str, Message], bool] = lambda sender, receiver, message: False
        self.sent: list[tuple[str, str, Message]] = []
        self.outcomes: dict[int, Outcome] = {}
        #: How much may come of what is under way at one time.
        self.happenings_max = 2000
        self._handles = 0
        self._topologies = {datacenter: self._topology(datacenter) for datacenter in ("eu", "us")}
        for name in NAMES:
            self.start(name)
        self.settle(2)

    # What a test does.

    def start(self, name: str) -> None:
        """Start a node, for the first time or after a crash."""
        settings = NodeSettings(self.config, name[:2], name, self._topologies[name[:2]], _incarnation(name))
        self.held[name] = deque()
        self.cores[name] = NodeCore(settings, self.stores[name], Random(name), self._now())
        for other in self._neighbors(name):
            self.step(name, PeerUp(other), Received(other, self._epoch(name), [MembersReply([])]))
            self.step(other, PeerUp(name))
        self.step(name, BusUp())

    def crash(self, name: str) -> None:
        """Stop a node; what it had not synced is lost, and what was under way to it and from it."""
        del self.cores[name]
        self.held[name].clear()
        self.stores[name].crash()
        for other in NAMES:
            self.links.pop((name, other), None)
            self.links.pop((other, name), None)
        for handle in [handle for handle in self.pulled if handle[0] == name]:
            self.streams["us" if name[:2] == "eu" else "eu"].append(self.pulled.pop(handle))
        for other in self._neighbors(name):
            self.step(other, PeerDown(name))

    def ask(self, operation: str, amount: int, at: str, level: str = "ONE", timeout_ms: int = TIMEOUT_MS) -> Outcome:
        """Have a client ask a node; the outcome is filled in when it is known."""
        number = len(self.outcomes) + 1
        outcome = self.expect(number)
        request = MutateRequest(number, STOCK, operation, [amount], None, 0, level, timeout_ms)
        self.step(at, Received(CLIENT, 0, [request]))
        return outcome

    def expect(self, number: int) -> Outcome:
        """Return what will become of a client's request of this number."""
        outcome = self.outcomes[number] = Outcome(self.now_s)
        return outcome

    def do(self, operation: str, amount: int, at: str, level: str = "ONE", timeout_ms: int = TIMEOUT_MS) -> Outcome:
        """Have a client ask a node, and let everything arrive until it has its answer."""
        outcome = self.ask(operation, amount, at, level, timeout_ms)
        while outcome.answer is None:
            assert self.now_s < outcome.asked_at + 60, f"nobody ever answered {operation} {amount}"
            self.flow()
            if outcome.answer is None:
                self.wait(STEP_S)
        return outcome

    def settle(self, seconds: float) -> None:
        """Let everything arrive, while so much time passes."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.flow()
            self.wait(STEP_S)
        self.flow()

    def flow(self) -> None:
        """Let everything arrive that is under way now, and what comes of it."""
        for _ in range(self.happenings_max):
            busy = [name for name in NAMES if self.held[name]]
            if busy:
                self.sync(busy[0])
            elif any(self.links.values()):
                self.deliver(*next(pair for pair, messages in self.links.items() if messages))
            elif self.bus:
                self.deliver_bus(0)
            elif not self.is_cut and any(self.streams.values()):
                self.pull(next(name for name, stream in self.streams.items() if stream), 0)
            else:
                return
        raise AssertionError("the nodes do not come to rest")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        for name in list(self.cores):
            self.step(name)

    # What happens, one thing at a time.

    def sync(self, name: str) -> None:
        """Let all that a node has written become durable."""
        released, self.held[name] = self.held[name], deque()
        self.stores[name].sync()
        for effects in released:
            self._release(name, effects)
        if released and name in self.cores:
            self.step(name, Durable(max(effects.after_commit for effects in released)))

    def deliver(self, sender: str, receiver: str) -> None:
        """Deliver the next message of a link, unless it loses that."""
        message = self.links[sender, receiver].popleft()
        if receiver in self.cores and not self.loses(sender, receiver, message):
            frame = decode_frame(encode_frame(self._epoch(sender), [message]))
            self.step(receiver, Received(sender, frame.epoch, frame.messages))

    def deliver_bus(self, index: int) -> None:
        """Deliver a message of the bus; a cut loses it."""
        node, payload = self.bus.pop(index)
        if not self.is_cut and node in self.cores:
            self.step(node, BusMessage(payload))

    def pull(self, datacenter: str, index: int) -> None:
        """Let some node of the other data center fetch a message of a stream."""
        pullers = [name for name in NAMES if name[:2] != datacenter and name in self.cores]
        if not pullers:
            return
        payload, puller = self.streams[datacenter].pop(index), self.random.choice(pullers)
        self._handles += 1
        self.pulled[puller, self._handles] = payload
        self.step(puller, StreamMessage(datacenter, self._handles, payload))

    def break_link(self, one: str, other: str) -> None:
        """Break a link: what is under way on it is lost, both sides hear of it, and it stands again."""
        for here, there in ((one, other), (other, one)):
            self.links.pop((here, there), None)
        for here, there in ((one, other), (other, one)):
            self.step(here, PeerDown(there), PeerUp(there), Received(there, self._epoch(here), [MembersReply([])]))

    def step(self, name: str, *events: Event) -> None:
        """Let a node take a step."""
        effects = self.cores[name].handle(events, self._now())
        self._send(name, effects.at_once)
        if effects.after_commit:
            self.held[name].append(effects)
        else:
            self._release(name, effects)

    # What a test looks at.

    def stored(self, name: str) -> Entry | None:
        """Return what a node holds."""
        encoded = self.stores[name].get(rows.data_row(storage_key_of(STOCK)))
        return Entry.from_bytes(encoded) if encoded is not None else None

    def counter(self, name: str) -> BoundedCounter:
        """Return the counter as a node holds it."""
        entry = self.stored(name)
        state = entry.state if entry is not None else BoundedCounter()
        assert isinstance(state, BoundedCounter)
        return state

    def rights(self, at: str) -> dict[str, int]:
        """Return who has how many rights, as one node knows it."""
        counter = self.counter(at)
        return {owner.partition(".")[0]: counter.rights_of(owner) for owner in counter.holders()}

    def counted(self, name: str) -> int:
        """Return the sum of one figure over all nodes."""
        return sum(core.parts.kernel.step.stats.counters.get(name, 0) for core in self.cores.values())

    def _release(self, name: str, effects: Effects) -> None:
        self._send(name, effects.held)
        for publish in effects.held_publishes:
            self.streams[name[:2]].append(publish.payload)
            self.step(name, Published(publish.number, True))
        for ack in effects.held_acks:
            payload = self.pulled.pop((name, ack.handle))
            if not ack.applied:
                self.streams["us" if name[:2] == "eu" else "eu"].append(payload)
        self.bus += [(send.node, send.payload) for send in effects.held_bus]

    def _send(self, name: str, sends: dict[str | int, list[Message]]) -> None:
        for peer, messages in sends.items():
            for message in messages:
                if isinstance(peer, int):
                    outcome = self.outcomes[message.id]  # type: ignore[union-attr]
                    assert outcome.answer is None, "a request is answered once"
                    outcome.answer, outcome.took_s = message, self.now_s - outcome.asked_at
                elif not isinstance(message, (MembersPush, MembersReply)):
                    self.sent.append((name, peer, message))
                    self.links.setdefault((name, peer), deque()).append(message)

    def _topology(self, datacenter: str) -> Topology:
        topology = self.config.first_topology(datacenter)
        for node in topology.nodes:
            incarnation = f"{_incarnation(node.name):016x}"
            topology = topology.with_node(type(node)(node.name, node.host, node.port, node.zone, 1.0, incarnation))
        return topology

    def _epoch(self, name: str) -> int:
        return self._topologies[name[:2]].epoch

    def _neighbors(self, name: str) -> list[str]:
        return [other for other in NAMES if other[:2] == name[:2] and other != name and other in self.cores]

    def _now(self) -> Now:
        return Now(self.now_s, WALL_MS + int(self.now_s * 1000))


def owner_of(name: str) -> str:
    """Return the incarnation of a node."""
    return actor_name(name, _incarnation(name))


def _incarnation(name: str) -> int:
    return NAMES.index(name) + 1
