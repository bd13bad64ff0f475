"""The nodes of one data center, linked by a network that a test may break, with a grace that ends within a test."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from crdtkv.causality.context import CausalContext
from crdtkv.config.model import ClusterConfig, CollectionConfig, GossipConfig
from crdtkv.crdt.entry import Entry
from crdtkv.ids import identity_of
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import AckStream, Publish
from crdtkv.node.kernel.events import Durable, Event, Now, PeerDown, PeerUp, Received
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.world.expanded import expanded
from crdtkv.storage import rows
from crdtkv.storage.memory import MemoryStore
from crdtkv.storage.patching import PatchingStore
from crdtkv.wire.messages import (
    EntriesReply,
    GetRequest,
    Message,
    MutateReply,
    MutateRequest,
    WriteReplica,
    WriteReplicas,
)

GRACE_S = 10.0
CLIENT = 1
KEY = identity_of("default", "register", "cart")
STEP_S = 0.25
WALL_MS = 1_700_000_000_000


def config(nodes: int = 4, datacenters: tuple[str, ...] = ("eu",), **sections: dict[str, Any]) -> ClusterConfig:
    model = ClusterConfig.model_validate(
        {
            "partitions": 1,
            **sections,
            "datacenters": {
                dc: {
                    "nats": {"url": "nats://x"},
                    "nodes": [{"name": f"{dc}-{n}", "port": 1, "http_port": 1} for n in range(1, nodes + 1)],
                }
                for dc in datacenters
            },
        }
    )
    # A grace that ends within a test.
    fast = CollectionConfig().model_copy(update={"gc_grace_s": GRACE_S, "interval_s": 1.0})
    return model.model_copy(update={"collection": fast, "gossip": GossipConfig(interval_s=3600)})


def is_write(message: Message) -> bool:
    """Tell whether a message writes at another replica."""
    return isinstance(message, WriteReplica | WriteReplicas)


class Cluster:
    """The nodes of eu, linked by a network that is perfect unless `loses` says otherwise."""

    def __init__(self, model: ClusterConfig | None = None) -> None:
        self.config = model or config()
        self.now_s = 100.0
        self.names = [node.name for node in self.config.datacenters["eu"].nodes]
        self.stores = {name: MemoryStore() for name in self.names}
        self.cores: dict[str, NodeCore] = {}
        self.wall_offset_ms = dict.fromkeys(self.names, 0)
        self.loses: Callable[[str, str, Message], bool] = lambda sender, receiver, message: False
        self.sent: list[tuple[str, str, Message]] = []
        self.answers: list[Message] = []
        self.published: list[Publish] = []
        self.acknowledged: list[AckStream] = []
        self._requests = 0
        topology = self.config.first_topology("eu")
        for node in topology.nodes:
            topology = topology.with_node(type(node)(**{**fields_of(node), "incarnation": "0" * 15 + node.name[-1]}))
        self.topology = topology
        for name in self.names:
            self.start(name)
        self.run(3)

    def writes_sent(self) -> list[tuple[str, WriteReplica]]:
        """Return what was sent to write at other replicas, with the receivers."""
        one_by_one = [(receiver, one) for _, receiver, message in self.sent for one in expanded([message])]
        return [(receiver, one) for receiver, one in one_by_one if isinstance(one, WriteReplica)]

    @property
    def homes(self) -> list[str]:
        return list(self.cores[self.names[0]].parts.kernel.cluster.ring.preference_list(storage_key_of(KEY)))

    @property
    def fallback(self) -> str:
        return next(name for name in self.names if name not in self.homes)

    def start(self, name: str) -> None:
        settings = NodeSettings(self.config, "eu", name, self.topology, int(name[-1]))
        self.cores[name] = NodeCore(settings, self.stores[name], Random(name), self._now(name))
        for other in self.cores:
            if other != name:
                self.handle(name, PeerUp(other))
                self.handle(other, PeerUp(name))

    def stop(self, name: str) -> None:
        del self.cores[name]
        for other in self.cores:
            self.handle(other, PeerDown(name))

    def handle(self, name: str, *events: Event) -> None:
        """Make a step, and deliver all that comes of it."""
        queue: deque[tuple[str, Event]] = deque((name, event) for event in events)
        while queue:
            at, event = queue.popleft()
            if at not in self.cores:
                continue
            effects = self.cores[at].handle([event], self._now(at))
            self.stores[at].sync()
            if effects.after_commit:
                self.cores[at].handle([Durable(effects.after_commit)], self._now(at))
            self.published += effects.held_publishes
            self.acknowledged += effects.held_acks
            for sends in (effects.at_once, effects.held):
                for peer, messages in sends.items():
                    for message in messages:
                        if isinstance(peer, int):
                            self.answers.append(message)
                        elif not self.loses(at, peer, message):
                            self.sent.append((at, peer, message))
                            queue.append((peer, Received(at, self.cores[at].topology.epoch, [message])))

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += STEP_S
            for name in list(self.cores):
                self.handle(name, Durable(0))

    def mutate(
        self,
        operation: str,
        *arguments: object,
        at: str | None = None,
        key: bytes = KEY,
        seen: CausalContext | None = None,
        ttl_ms: int | None = None,
        level: str = "LOCAL_ALL",
    ) -> MutateReply:
        reply = self.try_to_mutate(operation, *arguments, at=at, key=key, seen=seen, ttl_ms=ttl_ms, level=level)
        assert isinstance(reply, MutateReply), reply
        return reply

    def try_to_mutate(
        self,
        operation: str,
        *arguments: object,
        at: str | None = None,
        key: bytes = KEY,
        seen: CausalContext | None = None,
        ttl_ms: int | None = None,
        level: str = "LOCAL_ALL",
    ) -> Message:
        """Return the answer, whatever it is."""
        self._requests += 1
        context: Any = seen.to_wire() if seen is not None else None
        request = MutateRequest(self._requests, key, operation, list(arguments), context, 0, level, 1000, ttl_ms)
        self.handle(at or self.homes[0], Received(CLIENT, 0, [request]))
        return self.answers.pop()

    def read(self, key: bytes = KEY, at: str | None = None, level: str = "LOCAL_ALL") -> Entry | None:
        self._requests += 1
        request = GetRequest(self._requests, [key], level, 1000)
        self.handle(at or self.homes[0], Received(CLIENT, 0, [request]))
        reply = self.answers.pop()
        assert isinstance(reply, EntriesReply), reply
        (entry,) = reply.entries
        return Entry.from_bytes(entry) if isinstance(entry, bytes) else None

    def stored(self, name: str, key: bytes = KEY) -> bytes | None:
        """Return what a node holds of a key."""
        return PatchingStore(self.stores[name], 0).get(rows.data_row(storage_key_of(key)))

    def holders(self, key: bytes = KEY) -> list[str]:
        return [name for name in self.names if self.stored(name, key) is not None]

    def counted(self, name: str) -> int:
        return sum(core.parts.kernel.step.stats.counters.get(name, 0) for core in self.cores.values())

    def _now(self, name: str) -> Now:
        return Now(self.now_s, WALL_MS + int(self.now_s * 1000) + self.wall_offset_ms[name])


def fields_of(node: Any) -> dict[str, Any]:
    return {field: getattr(node, field) for field in node.__dataclass_fields__}
