"""`NodeCore`: one node, as a function from events to effects.

A host (the asyncio server, or the simulator) hands over everything that has happened since the last step; the core
takes it in, commits once, and returns what is to be sent, grouped by destination. That is natural batching: while
one step runs and its commit is synced, the next batch gathers, and nothing ever waits for a timer to fill it.

The core owns no clock, socket, thread or log. `next_timer` says when it wants to be woken with no event.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from crdtkv.config.model import ClusterConfig
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.registry import type_named
from crdtkv.errors import CrdtkvError, ProtocolError, StorageError
from crdtkv.geo.outbox import Outbox
from crdtkv.ids import parse_identity
from crdtkv.node.coordinator import Coordinator
from crdtkv.node.effects import Effects
from crdtkv.node.events import (
    BusDown,
    BusMessage,
    BusUp,
    ConsumerIdle,
    DiskSpace,
    Durable,
    Event,
    Now,
    Peer,
    PeerDown,
    PeerUp,
    Published,
    Received,
    StreamMessage,
    TopologyChanged,
)
from crdtkv.node.geo_replication import GeoReplication
from crdtkv.node.replica import Replica
from crdtkv.node.scanning import MAX_PAGE_ROWS, read_page
from crdtkv.node.step import Step
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import located as located_of
from crdtkv.ring.topology import Topology
from crdtkv.storage import rows
from crdtkv.storage.store import Store
from crdtkv.wire.messages import (
    EntryReply,
    ErrorReply,
    GetRequest,
    Message,
    MutateReply,
    MutateRequest,
    PartitionRows,
    ReadPartition,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaWritten,
    ScanReply,
    ScanRequest,
    StatusReply,
    StatusRequest,
    TopologyReply,
    TopologyRequest,
    WriteReplica,
)

_ANSWERS = (ReplicaWritten, ReplicaEntry, PartitionRows, EntryReply, MutateReply, ScanReply, ErrorReply)
_REFILL_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is told at its start. `topology` is the last one known."""

    config: ClusterConfig
    datacenter: str
    node: str
    topology: Topology
    incarnation: int


class NodeCore:
    """The decisions of one node."""

    def __init__(self, settings: NodeSettings, store: Store, random: Random, now: Now) -> None:
        config = settings.config
        self._settings = settings
        self._store = store
        self._started_s = now.monotonic_s
        self.step = Step(settings.node, settings.datacenter, HashRing(settings.topology), now, random.getrandbits(40))
        peers = config.peers_of(settings.datacenter)
        self.outbox = Outbox(store, peers, config.geo.outbox_max, now.monotonic_s)
        drift_ms = config.limits.clock_drift_max_s * 1000
        self.replica = Replica(self.step, store, self.outbox, settings.incarnation, random, drift_ms)
        buckets = frozenset(config.all_buckets)
        self.coordinator = Coordinator(self.step, self.replica, store, buckets, config.limits.calls_in_flight_max)
        self.geo = GeoReplication(self.step, self.replica, self.outbox, store, config.geo.batch_max)
        self._refill_at = 0.0
        self._from_client: dict[type, Callable[[Peer, Any], None]] = {
            GetRequest: self.coordinator.get,
            MutateRequest: self.coordinator.mutate,
            ScanRequest: self.coordinator.scan,
            TopologyRequest: self._tell_topology,
            StatusRequest: self._tell_status,
        }
        self._from_node: dict[type, Callable[[str, Any], None]] = {
            ReadReplica: self._read_replica,
            WriteReplica: self._write_replica,
            ReadPartition: self._read_partition,
        }

    @property
    def topology(self) -> Topology:
        """The topology in use."""
        return self.step.ring.topology

    def handle(self, events: Sequence[Event], now: Now) -> Effects:
        """Take in what has happened, commit once, and return what is to be done.

        Raises:
            StorageError: the disk failed; the process must stop, what it wrote last is indeterminate.
        """
        step = self.step
        step.now = now
        step.effects = effects = Effects()
        for event in events:
            if type(event) is Received:
                self._received(event)
            else:
                self._happened(event)
        step.calls.fire(now.monotonic_s)
        self._refill_outbox()
        self.geo.publish()
        last_commit = self.replica.commit()
        effects.after_commit = last_commit if self.replica.has_undurable else 0
        return effects

    def next_timer(self) -> float | None:
        """Return the monotonic time of the next step that is due without an event."""
        due = [self.step.calls.next_timer(), self.geo.next_timer(), self._refill_at or None]
        return min((at_s for at_s in due if at_s is not None), default=None)

    def status(self) -> dict[str, Any]:
        """Return what the node knows of itself; the content of `StatusReply`."""
        now_s = self.step.now.monotonic_s
        lags = {peer: self.outbox.lag(peer, now_s) for peer in self._settings.config.peers_of(self.step.datacenter)}
        return {
            "node": self.step.node,
            "datacenter": self.step.datacenter,
            "actor": self.replica.actor,
            "epoch": self.step.epoch,
            "uptime_s": round(now_s - self._started_s, 3),
            "peers_up": sorted(self.step.alive),
            "bus_up": self.geo.bus_is_up,
            "disk_space": self.coordinator.has_disk_space,
            "calls_in_flight": len(self.step.calls),
            "outbox_rows": len(self.outbox),
            "outbox_dropped": self.outbox.has_dropped,
            "lag": {peer: {"rows": count, "age_s": round(age_s, 3)} for peer, (count, age_s) in lags.items()},
            "counters": dict(sorted(self.step.stats.counters.items())),
        }

    def _happened(self, event: Event) -> None:
        match event:
            case Durable(commit):
                self.replica.durable(commit)
            case PeerUp(node):
                self.step.alive.add(node)
            case PeerDown(node):
                self.step.alive.discard(node)
                self.step.calls.replica_lost(node)
            case Published(number, ok):
                self.geo.published(number, ok)
            case StreamMessage(datacenter, handle, payload):
                self.geo.received(datacenter, handle, payload)
            case BusMessage(payload):
                self._guarded(partial(self.geo.confirmed, payload))
            case ConsumerIdle(datacenter, as_of):
                self.geo.consumer_idle(datacenter, as_of, self._settings.config.geo.republish_after_s)
            case BusUp():
                self.geo.bus_up()
            case BusDown():
                self.geo.bus_down()
            case TopologyChanged(topology):
                self._change_topology(topology)
            case DiskSpace(is_sufficient):
                self.coordinator.has_disk_space = is_sufficient

    def _received(self, frame: Received) -> None:
        peer, epoch, messages = frame
        if isinstance(peer, int):
            for message in messages:
                handler = self._from_client.get(type(message))
                if handler is None:
                    self.step.stats.count("junk_messages")  # a client may not speak the node protocol
                else:
                    handler(peer, message)
            return
        if epoch > self.step.epoch:
            self.step.effects.refresh_topology = True
        for message in messages:
            self._from_peer(peer, epoch, message)

    def _from_peer(self, node: str, epoch: int, message: Message) -> None:
        if isinstance(message, _ANSWERS):
            call = self.step.calls.get(message.id)
            if call is not None:
                self._guarded(partial(call.answered, node, message))
        elif isinstance(message, Refusal):
            call = self.step.calls.get(message.id)
            self.step.stats.count("refusals_received")
            if call is not None:
                call.lost(node)
        elif isinstance(message, (GetRequest, MutateRequest, ScanRequest)):
            self._from_client[type(message)](node, message)
        else:
            handler = self._from_node.get(type(message))
            if handler is None:
                self.step.stats.count("junk_messages")
            elif epoch != self.step.epoch:
                self.step.stats.count("epoch_refusals")
                self.step.effects.send(node, Refusal(message.id, "wrong_epoch", [self.step.epoch]))  # type: ignore[union-attr]
            elif not self._guarded(partial(handler, node, message)):
                self.step.effects.send(node, Refusal(message.id, "protocol_error", []))  # type: ignore[union-attr]

    def _read_replica(self, node: str, request: ReadReplica) -> None:
        entry, is_durable = self.replica.read(located_of(request.identity))
        self.step.answer(node, ReplicaEntry(request.id, entry), is_durable)

    def _write_replica(self, node: str, request: WriteReplica) -> None:
        if not self.coordinator.has_disk_space:
            self.step.effects.send(node, Refusal(request.id, "insufficient_storage", []))
            return
        key = parse_identity(request.identity)
        type_named(key.type_tag)
        entry = Entry.from_peer(request.entry, key.type_tag)
        superseded_more = self.replica.merge(located_of(request.identity), key, entry, request.supersede_before)
        self.step.effects.send_when_durable(node, ReplicaWritten(request.id, superseded_more))

    def _read_partition(self, node: str, request: ReadPartition) -> None:
        if request.partition >= self.step.ring.partitions:
            raise ProtocolError(f"no partition {request.partition}")
        limit = min(max(request.limit, 1), MAX_PAGE_ROWS)
        page, end = read_page(
            self._store, self.step.ring.partitions, request.partition, request.prefix, request.after, limit
        )
        answer = PartitionRows(request.id, [[located, entry] for located, entry in page], end)
        self.step.effects.send_when_durable(node, answer)

    def _tell_topology(self, peer: Peer, request: TopologyRequest) -> None:
        buckets: list[object] = [
            [name, bucket.consistency] for name, bucket in self._settings.config.all_buckets.items()
        ]
        self.step.effects.send(peer, TopologyReply(request.id, self.topology.to_json(), buckets))

    def _tell_status(self, peer: Peer, request: StatusRequest) -> None:
        self.step.effects.send(peer, StatusReply(request.id, json.dumps(self.status()).encode()))

    def _change_topology(self, topology: Topology) -> None:
        if topology.epoch > self.step.epoch:
            self.step.ring = HashRing(topology)
            self._store.put(rows.TOPOLOGY, topology.to_json())
            self.step.effects.notes.append(f"ring epoch {topology.epoch}")

    def _refill_outbox(self) -> None:
        """Continue sending everything, if rows were dropped, without holding up a step for long."""
        now_s = self.step.now.monotonic_s
        if self.outbox.has_dropped and now_s >= self._refill_at:
            self.outbox.refill(now_s)
            self._refill_at = now_s + _REFILL_EVERY_S if self.outbox.has_dropped else 0.0

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Run what depends on a peer's bytes; malformed ones are counted and dropped, disk errors are not."""
        try:
            act()
        except StorageError:
            raise
        except CrdtkvError as error:
            self.step.stats.count("junk_messages")
            self.step.effects.notes.append(f"a message was dropped: {error}")
            return False
        return True
