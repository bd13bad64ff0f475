"""One real node, `eu-1`, among others that are played by the test: what they send goes in, what it sends comes out."""

from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from crdtkv.config.model import ClusterConfig
from crdtkv.ids import identity_of
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Durable, Event, Now, Peer, PeerUp, Received
from crdtkv.ring.token import token_of
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.messages import GetRequest, MembersReply, Message, MutateRequest

ME = "eu-1"
CLIENT = 1

M = TypeVar("M", bound=Message)


class OneNode:
    """The node, its clock, and the numbers of its client's requests. Nothing is durable before `sync`."""

    def __init__(self, nodes: int = 3, replicas: int = 3, incarnation: int = 0, **sections: dict[str, Any]) -> None:
        # Nothing but what a test is about: no visits of anti-entropy, hardly any gossip.
        quiet = {"repair": {"interval_s": 3600, "rebuild_s": 3600, "read_share": 0}, "gossip": {"interval_s": 3600}}
        names = [f"eu-{number}" for number in range(1, nodes + 1)]
        document = {
            "partitions": 64,
            "datacenters": {
                "eu": {
                    "replication_factor": replicas,
                    "nats": {"url": "nats://eu"},
                    "nodes": [{"name": name, "port": 1, "http_port": 1} for name in names],
                }
            },
        }
        for section, settings in {**quiet, **sections}.items():
            document[section] = {**quiet.get(section, {}), **settings}
        config = ClusterConfig.model_validate(document)
        first = config.first_topology("eu")
        topology = replace(first, nodes=tuple(replace(node, incarnation=f"{incarnation:016x}") for node in first.nodes))
        self.now_s = 100.0
        self.store = MemoryStore()
        self.core = NodeCore(NodeSettings(config, "eu", ME, topology, incarnation), self.store, Random(7), self._now())
        self.others = names[1:]
        self._commit = 0
        self._request = 0
        self.step(*[PeerUp(name) for name in self.others])
        for name in self.others:
            self.from_node(name, MembersReply([]))

    @property
    def counters(self) -> dict[str, int]:
        return self.core.parts.kernel.step.stats.counters

    def step(self, *events: Event) -> dict[Peer, list[Message]]:
        """Take a step; return what it sends, whether it leaves at once or waits for the disk."""
        effects: Effects = self.core.handle(events, self._now())
        self._commit = max(self._commit, effects.after_commit)
        sent: dict[Peer, list[Message]] = {}
        for sends in (effects.at_once, effects.held):
            for peer, messages in sends.items():
                sent.setdefault(peer, []).extend(messages)
        return sent

    def wait(self, seconds: float) -> dict[Peer, list[Message]]:
        self.now_s += seconds
        return self.step()

    def sync(self) -> None:
        """Make everything durable."""
        self.store.sync()
        self.step(Durable(self._commit))

    def from_node(self, node: str, *messages: Message) -> dict[Peer, list[Message]]:
        return self.step(Received(node, 1, list(messages)))

    def get(self, *keys: str, level: str = "LOCAL_QUORUM") -> dict[Peer, list[Message]]:
        first, self._request = self._request + 1, self._request + len(keys)
        return self.ask(GetRequest(first, [identity(key) for key in keys], level, 5000))

    def put(self, key: str, value: str, level: str = "ONE") -> dict[Peer, list[Message]]:
        self._request += 1
        return self.ask(MutateRequest(self._request, identity(key), "put", [value.encode()], None, 0, level, 5000))

    def ask(self, request: Message) -> dict[Peer, list[Message]]:
        return self.step(Received(CLIENT, 1, [request]))

    def key_here(self, is_mine: bool = True) -> str:
        """Return a key this node holds a replica of, or one it does not."""
        return next(key for key in map(str, range(1000)) if (ME in self.homes(key)) == is_mine)

    def homes(self, key: str) -> list[str]:
        return list(self.core.parts.kernel.cluster.ring.replicas_at(token_of(identity(key))))

    def _now(self) -> Now:
        return Now(self.now_s, 1_700_000_000_000 + int(self.now_s * 1000))


def identity(key: str) -> bytes:
    return identity_of("default", "register", key)


def to(sent: dict[Peer, list[Message]], kind: type[M]) -> dict[Peer, M]:
    """Return to whom a kind of message was sent, and the last of it."""
    return {peer: message for peer, messages in sent.items() for message in messages if isinstance(message, kind)}
