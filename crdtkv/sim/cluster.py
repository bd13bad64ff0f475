"""A whole cluster from one seed, and what must hold at its end.

A run has two phases: faults with a workload, then healing and quiet. After that every key is read at `LOCAL_ALL` in
every data center (which repairs replicas that missed writes), and the invariants are checked:

- I1: every acknowledged write is there (its value, or its causal successor; increments in the sum).
- I2: all replicas of all data centers hold byte-identical entries.
- I7: every outbox is empty.
"""

import hashlib
from collections.abc import Callable
from random import Random

from crdtkv.config.model import ClusterConfig
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity
from crdtkv.node.effects import Publish, SendBus
from crdtkv.node.events import BusDown, BusMessage, BusUp, ConsumerIdle, Published, StreamMessage
from crdtkv.ring.token import located
from crdtkv.sim.client import Operation, SimClient
from crdtkv.sim.faults import Faults
from crdtkv.sim.host import Place, SimNode
from crdtkv.sim.network import Network
from crdtkv.sim.scheduler import Scheduler
from crdtkv.sim.stream import Stream
from crdtkv.storage import rows

FETCH_EVERY_S = 0.05
IDLE_POLL_S = 1.0
LEVELS = ("ANY", "ONE", "LOCAL_QUORUM", "LOCAL_ALL")


class InvariantViolated(AssertionError):
    """A run ended in a state that must never be."""


class SimCluster:
    """All nodes, streams, links and clients of one run."""

    def __init__(
        self, seed: int, datacenters: int = 2, nodes: int = 3, clients: int = 3, faults: Faults | None = None
    ) -> None:
        self.random = Random(seed)
        self.faults = faults or Faults.draw(self.random)
        self.config = _config(datacenters, nodes)
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, self.random, self.faults)
        self._digest = hashlib.sha256()
        self.trace_to: Callable[[str], None] | None = None
        self.steps = 0
        self.streams = {
            dc: Stream(self.scheduler, self.random, self.faults, self.config.peers_of(dc))
            for dc in self.config.datacenters
        }
        self.nodes = {
            node.name: SimNode(
                Place(dc, node.name),
                self.config,
                self,
                self.scheduler,
                self.network,
                Random(self.random.getrandbits(64)),
            )
            for dc, dc_config in self.config.datacenters.items()
            for node in dc_config.nodes
        }
        self.clients = [
            SimClient(f"client-{n}", n, self.scheduler, self.network, Random(self.random.getrandbits(64)))
            for n in range(clients)
        ]
        self._handles: dict[int, tuple[str, int]] = {}
        for node in self.nodes.values():
            node.clients = {client.number: client.name for client in self.clients}
            node.skew_s = self.random.uniform(-1, 1) * self.faults.clock_skew_s
        for node in self.nodes.values():
            self._start(node)
        self.scheduler.after(FETCH_EVERY_S, self._fetch)
        self.scheduler.after(IDLE_POLL_S, self._poll_consumers)

    @property
    def digest(self) -> str:
        """The hash over everything that was sent: equal seeds must give equal digests."""
        return self._digest.hexdigest()

    @property
    def history(self) -> list[Operation]:
        """All operations of all clients."""
        return [operation for client in self.clients for operation in client.history]

    def run(self, seconds: float = 10.0, operations: int = 200) -> None:
        """Live through both phases and check the invariants.

        Raises:
            InvariantViolated: what must never be.
        """
        for _ in range(operations):
            self.scheduler.after(self.random.uniform(0, seconds), self._some_operation)
        for rate, fault in (
            (self.faults.crashes_per_s, self._crash_some),
            (self.faults.cuts_per_s, self._cut_some),
            (self.faults.bus_outages_per_s, self._stop_some_bus),
            (self.faults.stream_wipes_per_s, self._wipe_some_stream),
        ):
            for _ in range(round(rate * seconds)):
                self.scheduler.after(self.random.uniform(0, seconds), fault)
        self.scheduler.run_until(seconds)
        self.heal()
        self.scheduler.run_until(seconds + 30)
        self.read_everything()
        self.check()

    def heal(self) -> None:
        """End all faults."""
        perfect = Faults()
        self.network.faults = perfect
        for dc, stream in self.streams.items():
            stream.faults = perfect
            self._bus(dc, up=True)
        for node in self.nodes.values():
            for other in self.nodes.values():
                if self.network.is_cut(node.place.node, other.place.node):
                    self._join(node, other)
            if not node.is_up:
                self._start(node)

    def read_everything(self) -> None:
        """Read every key at `LOCAL_ALL` in every data center; twice, so that what was repaired is read, too."""
        identities = sorted({operation.identity for operation in self.history})
        for _ in range(2):
            for dc in self.config.datacenters:
                for identity in identities:
                    key = parse_identity(identity)
                    self.call(self.clients[0], dc, "get", key.type_tag, key.key.decode(), None, "LOCAL_ALL")
            self.scheduler.run_until(self.scheduler.now + 10)

    def check(self) -> None:
        """Check the invariants of a healed, quiet cluster."""
        for node in self.nodes.values():
            assert node.core is not None
            if len(node.core.outbox):
                raise InvariantViolated(f"I7: {node.place.node} still has {len(node.core.outbox)} outbox rows")
        for identity in sorted({operation.identity for operation in self.history}):
            self._check_key(identity)

    def call(
        self, client: SimClient, datacenter: str, kind: str, type_tag: str, key: str, argument: object, level: str
    ) -> Operation:
        """Let a client call some node of a data center that is up."""
        operation, frame = client.start(kind, type_tag, key, argument, level)
        running = [node for node in self.nodes.values() if node.place.datacenter == datacenter and node.is_up]
        if running:
            node = self.random.choice(running)
            self.trace(f"{client.name}>{node.place.node} {frame.hex()}")
            self.network.send(client.name, node.place.node, frame, node.receive, may_double=False)
        else:
            operation.outcome = "fail"
        return operation

    def _check_key(self, identity: bytes) -> None:
        copies = {
            name: node.store.get(rows.data_row(located(identity)))
            for name, node in self.nodes.items()
            if node.core is not None and name in node.core.step.ring.preference_list(located(identity))
        }
        if len(set(copies.values())) > 1:
            raise InvariantViolated(f"I2: {identity!r} differs: {copies}")
        encoded = next(iter(copies.values()))
        done = [op for op in self.history if op.identity == identity and op.kind != "get"]
        acknowledged = [op for op in done if op.outcome == "ok"]
        if encoded is None:
            if acknowledged:
                raise InvariantViolated(
                    f"I1: {identity!r} is nowhere, but {len(acknowledged)} writes were acknowledged"
                )
            return
        entry = Entry.from_bytes(encoded)
        if sum(1 for _ in entry.context.dots()) < len(acknowledged):
            raise InvariantViolated(f"I1: {identity!r} has seen fewer operations than were acknowledged")
        if isinstance(entry.state, Counter) and not any(op.kind == "delete" for op in done):
            low = sum(op.argument for op in acknowledged)  # type: ignore[misc]
            high = sum(op.argument for op in done if op.outcome != "fail")  # type: ignore[misc]
            if not low <= entry.state.value <= high:
                raise InvariantViolated(f"I1: {identity!r} counts {entry.state.value}, not {low}..{high}")

    def _some_operation(self) -> None:
        random = self.random
        client = random.choice(self.clients)
        datacenter = random.choice(sorted(self.config.datacenters))
        type_tag = random.choice(["register", "lww", "counter"])
        key = f"key-{random.randrange(3)}"
        level = random.choice(LEVELS)
        match random.random(), type_tag:
            case chance, _ if chance < 0.3:
                self.call(client, datacenter, "get", type_tag, key, None, level)
            case _, "counter":
                # Counters are never deleted here, so that their sum can be judged.
                self.call(client, datacenter, "increment", type_tag, key, random.randint(1, 9), level)
            case chance, _ if chance < 0.4:
                self.call(client, datacenter, "delete", type_tag, key, None, level)
            case _:
                self.call(client, datacenter, "put", type_tag, key, b"%d" % random.getrandbits(32), level)

    def _start(self, node: SimNode) -> None:
        node.start()
        for other in self._neighbors(node):
            if other.is_up and not self.network.is_cut(node.place.node, other.place.node):
                self._join(node, other)
        if self.streams[node.place.datacenter].is_up:
            node.put(BusUp())

    def _join(self, one: SimNode, other: SimNode) -> None:
        self.network.heal(one.place.node, other.place.node)
        one.peer_up(other.place.node)
        other.peer_up(one.place.node)

    def _part(self, one: SimNode, other: SimNode) -> None:
        self.network.reset(one.place.node, other.place.node)
        one.peer_down(other.place.node)
        other.peer_down(one.place.node)

    def _neighbors(self, node: SimNode) -> list[SimNode]:
        return [
            other
            for other in self.nodes.values()
            if other is not node and other.place.datacenter == node.place.datacenter
        ]

    def _crash_some(self) -> None:
        node = self.random.choice(list(self.nodes.values()))
        if not node.is_up:
            return
        node.crash()
        for client in self.clients:
            self.network.reset(client.name, node.place.node)
        for other in self._neighbors(node):
            self._part(node, other)
        self.scheduler.after(self.random.uniform(0.05, 2), lambda: None if node.is_up else self._start(node))

    def _cut_some(self) -> None:
        node = self.random.choice(list(self.nodes.values()))
        other = self.random.choice(self._neighbors(node))
        self.network.cut(node.place.node, other.place.node)
        self._part(node, other)

        def mend() -> None:
            if self.network.is_cut(node.place.node, other.place.node):
                self._join(node, other)

        self.scheduler.after(self.random.uniform(0.1, 5), mend)

    def _stop_some_bus(self) -> None:
        dc = self.random.choice(sorted(self.streams))
        self._bus(dc, up=False)
        self.scheduler.after(self.random.uniform(0.1, 5), lambda: self._bus(dc, up=True))

    def _wipe_some_stream(self) -> None:
        self.streams[self.random.choice(sorted(self.streams))].wipe()

    def _bus(self, datacenter: str, up: bool) -> None:
        self.streams[datacenter].is_up = up
        for node in self.nodes.values():
            if node.place.datacenter == datacenter:
                node.put(BusUp() if up else BusDown())

    def _fetch(self) -> None:
        """Every node pulls from the streams of the other data centers."""
        for node in self.nodes.values():
            for dc in self.config.peers_of(node.place.datacenter):
                if not node.is_up:
                    continue
                for sequence, payload in self.streams[dc].fetch(node.place.datacenter, self.random.randint(1, 4)):
                    handle = len(self._handles) + 1
                    self._handles[handle] = (dc, sequence)
                    node.put(StreamMessage(dc, handle, payload))
        self.scheduler.after(FETCH_EVERY_S, self._fetch)

    def _poll_consumers(self) -> None:
        """Every node asks its own stream which consumers have nothing left."""
        for node in self.nodes.values():
            stream = self.streams[node.place.datacenter]
            for peer, consumer in stream.consumers.items():
                if stream.is_up and consumer.is_idle:
                    node.put(ConsumerIdle(peer, self.scheduler.now))
        self.scheduler.after(IDLE_POLL_S, self._poll_consumers)

    # What hosts ask of the world (`World`):

    def deliver(self, receiver: str) -> Callable[[str, bytes], None]:
        """See `World.deliver`."""
        if receiver in self.nodes:
            return self.nodes[receiver].receive
        return next(client.receive for client in self.clients if client.name == receiver)

    def publish(self, host: SimNode, publish: Publish) -> None:
        """See `World.publish`."""
        self.trace(f"{host.place.node} publishes {publish.payload.hex()}")
        ok = self.streams[host.place.datacenter].publish(publish.payload)
        self.scheduler.after(self.random.uniform(0.001, 0.01), lambda: host.put(Published(publish.number, ok)))

    def send_bus(self, host: SimNode, send: SendBus) -> None:
        """See `World.send_bus`."""
        self.trace(f"{host.place.node} tells {send.node} {send.payload.hex()}")
        if self.streams[send.datacenter].is_up and self.random.random() >= self.network.faults.loss:
            node = self.nodes[send.node]
            self.scheduler.after(self.random.uniform(0.01, 0.1), lambda: node.put(BusMessage(send.payload)))

    def ack(self, host: SimNode, handle: int, applied: bool) -> None:
        """See `World.ack`."""
        dc, sequence = self._handles[handle]
        if applied:
            self.streams[dc].ack(host.place.datacenter, sequence)
        else:
            self.scheduler.after(0.5, lambda: self.streams[dc].redeliver(host.place.datacenter, sequence))

    def trace(self, line: str) -> None:
        """See `World.trace`."""
        self.steps += 1
        text = f"{self.scheduler.now:.6f} {line}"
        self._digest.update(text.encode())
        if self.trace_to is not None:
            self.trace_to(text)


def _config(datacenters: int, nodes: int) -> ClusterConfig:
    names = ["eu", "us", "ap"][:datacenters]
    return ClusterConfig.model_validate(
        {
            "cluster": "sim",
            "partitions": 8,
            "geo": {"republish_after_s": 2.0},
            "datacenters": {
                dc: {
                    "nats": {"url": f"nats://{dc}"},
                    "nodes": [
                        {"name": f"{dc}-{n}", "port": 1, "http_port": 1, "zone": f"z{n}"} for n in range(1, nodes + 1)
                    ],
                }
                for dc in names
            },
        }
    )
