"""Golden scenarios: commands to three nodes, and everything they send, as text that reads like the protocol.

A scenario file holds commands (lines that begin with `> `), each followed by what it caused. Run with
`UPDATE_SCENARIOS=1` to write the files anew after a deliberate change, and read the difference.
"""

import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from crdtkv.causality.dot import Dot
from crdtkv.config.loader import load
from crdtkv.config.model import CollectionConfig, GeoConfig, GossipConfig, RepairConfig
from crdtkv.crdt.causal import Event as Operation
from crdtkv.crdt.entry import Entry
from crdtkv.ids import actor_name, identity_of, parse_identity
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import (
    BusMessage,
    BusUp,
    ConsumerIdle,
    Durable,
    Event,
    Now,
    PeerDown,
    PeerUp,
    Published,
    Received,
    StreamMessage,
)
from crdtkv.ring.token import identity_in
from crdtkv.ring.topology import Topology
from crdtkv.sim.world.expanded import expanded
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import (
    BusSender,
    DigestRead,
    DigestReply,
    GeoBatch,
    GetRequest,
    GiveEntries,
    LeafReply,
    MembersPush,
    MembersReply,
    Message,
    MutateRequest,
)

FILES = sorted(Path(__file__).parent.glob("*.txt"))
# Replicas compare notes and gossip every hour, so that nothing but what a scenario tells about is going on.
CONFIG = load(Path(__file__).parents[2] / "datacenters.yaml").model_copy(
    update={
        "repair": RepairConfig(interval_s=3600, rebuild_s=36_000),
        "gossip": GossipConfig(interval_s=3600),
        "geo": GeoConfig(compare_interval_s=3000),
        "collection": CollectionConfig(interval_s=1e6),
    }
)
CLIENT = 1


def entered(topology: Topology) -> Topology:
    """Return the topology once all nodes have entered themselves, with incarnation 0."""
    return replace(topology, nodes=tuple(replace(node, incarnation="0" * 16) for node in topology.nodes))


class Stage:
    """Three nodes of eu and three of us; nothing moves unless a command says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lines: list[str] = []
        self.stores = {node.name: MemoryStore() for dc in CONFIG.datacenters.values() for node in dc.nodes}
        self.links: dict[tuple[str, str], deque[Message]] = {}
        self.held: dict[str, list[Effects]] = {name: [] for name in self.stores}
        self.stream: dict[str, deque[bytes]] = {"eu": deque(), "us": deque()}
        self.bus: deque[tuple[str, bytes]] = deque()
        self.cores: dict[str, NodeCore] = {}
        self.published: dict[str, int] = {}
        self.request = 0
        for dc, dc_config in CONFIG.datacenters.items():
            for node in dc_config.nodes:
                settings = NodeSettings(CONFIG, dc, node.name, entered(CONFIG.first_topology(dc)), 0)
                self.cores[node.name] = NodeCore(settings, self.stores[node.name], Random(0), self._now())
        for one in self.cores:
            for other in self.cores:
                if one != other and one[:2] == other[:2]:
                    self._step(one, PeerUp(other), Received(other, 1, [MembersReply([])]))

    def do(self, command: str) -> list[str]:
        """Carry out one command; return what it caused."""
        self.lines = []
        verb, *words = command.split()
        getattr(self, f"do_{verb}")(*words)
        return self.lines

    def do_put(self, node: str, key: str, value: str, level: str, context: str = "") -> None:
        """Put; `seeing-nothing` hands in the context of a key that was never written."""
        self._ask(node, "put", key, [value.encode()], level, [[], []] if context == "seeing-nothing" else None)

    def do_delete(self, node: str, key: str, level: str) -> None:
        self._ask(node, "delete", key, [], level)

    def do_get(self, node: str, key: str, level: str) -> None:
        self.request += 1
        identity = identity_of("default", "register", key)
        self._step(node, Received(CLIENT, 1, [GetRequest(self.request, [identity], level, 5000)]))

    def do_sync(self, node: str) -> None:
        """Let a node's fsync finish."""
        self.stores[node].sync()
        released, self.held[node] = self.held[node], []
        for effects in released:
            self._release(node, effects)
        if released:
            self._step(node, Durable(released[-1].after_commit))

    def do_deliver(self, sender: str, receiver: str) -> None:
        """Deliver everything under way on a link."""
        messages = list(self.links.pop((sender, receiver), []))
        frame = decode_frame(encode_frame(1, messages))
        self._step(receiver, Received(sender, 1, frame.messages))

    def do_drop(self, sender: str, receiver: str) -> None:
        self.links.pop((sender, receiver), None)

    def do_down(self, one: str, other: str) -> None:
        """Break a link: what is under way is lost, both sides hear of it."""
        for pair in ((one, other), (other, one)):
            self.links.pop(pair, None)
            self._step(pair[0], PeerDown(pair[1]))

    def do_wait(self, seconds: str) -> None:
        self.now_s += float(seconds)
        for name in self.cores:
            self._step(name)

    def do_bus(self, node: str) -> None:
        """Connect a node to its NATS."""
        self._step(node, BusUp())

    def do_taken(self, node: str) -> None:
        """Let the stream acknowledge a node's last batch."""
        self._step(node, Published(self.published[node], True))

    def do_pull(self, node: str, datacenter: str) -> None:
        """Let a node fetch the next message of another data center's stream."""
        self._step(node, StreamMessage(datacenter, 1, self.stream[datacenter].popleft()))

    def do_confirm(self) -> None:
        """Carry the next confirmation to the node it is for."""
        node, payload = self.bus.popleft()
        self._step(node, BusMessage(payload))

    def do_carry(self) -> None:
        """Carry all messages between data centers that are under way."""
        for _ in range(len(self.bus)):
            self.do_confirm()

    def do_miss(self, node: str, key: str) -> None:
        """Let a node hold an entry that neither stream nor link will carry."""
        placed = self.cores[node].parts.keys.from_peer(identity_of("default", "register", key))
        event = Operation(Dot(actor_name("eu-9", 0), 1), 1_600_000_000_000 << 16)
        entry = Entry.empty("register").delta("put", [b"Ada"], event, None, None, 0)
        self.cores[node].parts.replica.merge(placed, entry)
        self._step(node)

    def do_lose(self, what: str) -> None:
        """Lose everything in a stream, or all confirmations under way."""
        (self.bus if what == "confirmations" else self.stream[what]).clear()

    def do_idle(self, node: str, datacenter: str) -> None:
        """Tell a node that a data center's consumer has nothing left."""
        self._step(node, ConsumerIdle(datacenter, self.now_s))

    def do_outbox(self, node: str) -> None:
        self.lines.append(f"{node} has {len(self.cores[node].parts.outbox)} rows in its outbox")

    def _ask(
        self,
        node: str,
        operation: str,
        key: str,
        arguments: list[object],
        level: str,
        context: list[object] | None = None,
    ) -> None:
        self.request += 1
        identity = identity_of("default", "register", key)
        request = MutateRequest(self.request, identity, operation, arguments, context, 0, level, 5000)
        self._step(node, Received(CLIENT, 1, [request]))

    def _step(self, node: str, *events: Event) -> None:
        self._carry_out(node, self.cores[node].handle(events, self._now()))

    def _carry_out(self, node: str, effects: Effects) -> None:
        self.lines += [f"{node} notes: {note}" for note in effects.notes]
        for peer, messages in effects.at_once.items():
            self._send(node, peer, messages)
        waits = sum(map(len, effects.held.values())) + len(effects.held_publishes) + len(effects.held_acks)
        if effects.after_commit:
            self.held[node].append(effects)
            if waits:
                self.lines.append(f"{node} holds {waits} until commit {effects.after_commit} is durable")
        else:
            self._release(node, effects)

    def _release(self, node: str, effects: Effects) -> None:
        for peer, messages in effects.held.items():
            self._send(node, peer, messages)
        for publish in effects.held_publishes:
            self.stream[node[:2]].append(publish.payload)
            self.published[node] = publish.number
            self.lines.append(f"{node} publishes {publish.entries} entries, the first {publish.first_key}")
        for send in effects.held_bus:
            self.bus.append((send.node, send.payload))
            messages = decode_frame(send.payload).messages
            if isinstance(messages[0], BusSender):
                self.lines.append(f"{node} ⇒ {send.node}: {_shown(messages[1])}")
            else:
                self.lines.append(f"{node} confirms to {send.node}")
        for ack in effects.held_acks:
            self.lines.append(f"{node} {'acknowledges' if ack.applied else 'asks again for'} the stream's message")

    def _send(self, node: str, peer: str | int, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, (MembersPush, MembersReply)):
                continue  # gossip has tests of its own
            receiver = "client" if isinstance(peer, int) else peer
            self.lines += [f"{node} → {receiver}: {_shown_digests(one) or _shown(one)}" for one in expanded([message])]
            if isinstance(peer, str):
                self.links.setdefault((node, peer), deque()).append(message)

    def _now(self) -> Now:
        return Now(self.now_s, 1_700_000_000_000 + int(self.now_s * 1000))


def _shown_digests(message: Message) -> str:
    """Show a digest read or its answer, "" for another message."""
    if isinstance(message, DigestRead):
        keys = (parse_identity(identity) for identity in message.rows[::2])  # type: ignore[arg-type]
        return f"DigestRead({', '.join(f'{key!r} …' for key in keys)})"
    if isinstance(message, DigestReply):
        return f"DigestReply({f'{len(message.different)} different' if message.different else 'all the same'})"
    return ""


def _shown(message: Message) -> str:
    """Show what matters of a message: keys, entries, figures; not its numbers."""
    assert not isinstance(message, GeoBatch)
    parts = []
    for name, value in message._asdict().items():
        if name == "identity":
            parts.append(repr(parse_identity(value)))
        elif name == "entry":
            parts.append(_entry(value))
        elif name == "entries" and isinstance(message, LeafReply | GiveEntries):
            parts += [f"{_key(storage_key)}: {_entry(entry)}" for storage_key, entry in value]
        elif name == "entries":
            parts += [_entry(entry) for entry in value]
        elif name == "trees":
            parts += [f"partition {partition}" for partition, _ in value]
        elif name == "digests":
            parts += [f"{_key(storage_key)} …" for storage_key, _ in value]
        elif name == "wanted" and value:
            parts.append("wants " + ", ".join(map(_key, value)))
        elif name == "partitions":
            parts.append(f"{len(value)} partitions")
        elif name in ("code", "fields"):
            parts.append(str(value))
        elif name == "supersede_before" and value:
            parts.append("superseding what is older")
    return f"{type(message).__name__}({', '.join(parts)})"


def _key(storage_key: bytes) -> str:
    return repr(parse_identity(identity_in(storage_key)))


def _entry(encoded: bytes | None) -> str:
    if encoded is None:
        return "nothing"
    entry = Entry.from_bytes(encoded)
    values = " ".join(version.value.decode() for version in entry.state.siblings()) or "deleted"  # type: ignore[attr-defined]
    return f"{values} {entry.context}".replace(".0000000000000000", "")


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_scenario_goes_as_written(path: Path) -> None:
    stage = Stage()
    written = path.read_text()
    happened: list[str] = []
    for line in written.splitlines():
        if line.startswith("> "):
            happened += [line, *stage.do(line[2:])]
        elif not line or line.startswith("#"):
            happened.append(line)
    text = "\n".join(happened) + "\n"
    if os.environ.get("UPDATE_SCENARIOS"):
        path.write_text(text)
    assert text == written or os.environ.get("UPDATE_SCENARIOS")
