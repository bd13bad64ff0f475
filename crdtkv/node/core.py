"""`NodeCore`: one node, as a function from events to effects.

A host (the asyncio server, or the simulator) hands over everything that has happened since the last step; the core
takes it in, commits once, and returns what is to be sent, grouped by destination. That is natural batching: while
one step runs and its commit is synced, the next batch gathers, and nothing ever waits for a timer to fill it.

The core owns no clock, socket, thread or log. `next_timer` says when it wants to be woken with no event.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import CrdtkvError, InsufficientStorage, StorageError
from crdtkv.merkle.forest import MerkleForest
from crdtkv.node.collection.collection import Collection
from crdtkv.node.collection.stability import Stability
from crdtkv.node.coordinate.admission import Admission
from crdtkv.node.coordinate.background_read_repair import BackgroundReads
from crdtkv.node.coordinate.coordinator import Coordinator
from crdtkv.node.dispatch import Dispatch
from crdtkv.node.enrollment.enrollment import Standing
from crdtkv.node.enrollment.filling import Filling
from crdtkv.node.geo.replication import GeoReplication
from crdtkv.node.handoff.handoff import Handoff
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import (
    BusDown,
    BusMessage,
    BusUp,
    ClientGone,
    ConsumerIdle,
    DiskSpace,
    Durable,
    Event,
    Now,
    Peer,
    PeerClock,
    PeerDown,
    PeerUp,
    Published,
    Received,
    StreamMessage,
    TopologyChanged,
)
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.kernel.stats import Stats
from crdtkv.node.kernel.step import Step
from crdtkv.node.membership.load_meter import LoadMeter
from crdtkv.node.membership.member import Load, Member
from crdtkv.node.membership.membership import Membership
from crdtkv.node.membership.ring_follower import RingFollower
from crdtkv.node.quorum_calls.hedging import Hedging
from crdtkv.node.quorum_calls.replica_selector import Preference
from crdtkv.node.quorum_calls.replica_service import Serving
from crdtkv.node.repair.anti_entropy import AntiEntropy
from crdtkv.node.replica.operations import Operations
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.node.rights.rights import Rights
from crdtkv.node.status import Health, health_of, status_of
from crdtkv.node.watch.watching import Watching
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import Topology
from crdtkv.storage import rows
from crdtkv.storage.patching import PatchingStore
from crdtkv.storage.store import Store
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import (
    DropTombstones,
    FillDone,
    FillWanted,
    FindOperation,
    GetRequest,
    HandOff,
    InspectRequest,
    KeepHint,
    LeafRequest,
    MutateRequest,
    ReadPartition,
    ReadReplica,
    RepairRequest,
    RightsRequest,
    RightsWanted,
    RootsRequest,
    ScanRequest,
    StatusReply,
    StatusRequest,
    TombstonesRequest,
    TopologyReply,
    TopologyRequest,
    WatchRequest,
    WriteReplica,
)

_REFILL_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node is told at its start.

    `topology` is the last one known, `starts` counts this start; `is_checked` says that nobody remembers a later one.
    """

    config: ClusterConfig
    datacenter: str
    node: str
    topology: Topology
    incarnation: int
    starts: int = 1
    is_checked: bool = True


class NodeCore:
    """The decisions of one node."""

    def __init__(self, settings: NodeSettings, store: Store, random: Random, now: Now) -> None:
        config = settings.config
        self._settings = settings
        self._store = store = PatchingStore(store, config.limits.whole_entry_bytes)
        self.started_s = now.monotonic_s
        self.step = Step(settings.node, settings.datacenter, HashRing(settings.topology), now, random.getrandbits(40))
        peers = config.peers_of(settings.datacenter)
        self.outbox = Outbox(store, peers, config.geo.outbox_max, now.monotonic_s)
        drift_ms = config.limits.clock_drift_max_s * 1000
        cache_bytes = config.storage.entry_cache_mib * 1024 * 1024
        forest = MerkleForest(settings.topology.partitions)
        self.replica = Replica(
            self.step,
            store,
            self.outbox,
            settings.incarnation,
            random,
            drift_ms,
            cache_bytes,
            config.limits,
            forest,
        )
        self._load = LoadMeter(self.step, lambda: self._dispatch.served)
        self._keys = KeyCheck(frozenset(config.all_buckets))
        self.anti_entropy = AntiEntropy(self.step, self.replica, store, self._keys, forest, config.repair)
        self.handoff = Handoff(self.step, self.replica, self.anti_entropy, store, self._keys, random, config.handoff)
        self.collection = Collection(
            self.step,
            self.replica,
            Stability(
                self.step,
                self.replica,
                self.handoff.hints,
                self.outbox,
                config.collection.gc_grace_s,
                self._is_stable_elsewhere,
            ),
            config.collection,
        )
        calls_max = config.limits.calls_in_flight_max
        self.preference = Preference(self.step, random, self._load_of)
        hedging = Hedging(self.preference.latencies)
        background = BackgroundReads(
            self.step,
            self.handoff,
            self._keys,
            self.preference,
            hedging,
            random,
            config.repair.read_share,
            calls_max,
        )
        self._operations = Operations(self.step, store)
        self.serving = Serving(self.step, self.replica, self.handoff, self._operations, store, self._keys)
        self.rights = Rights(
            self.step,
            self.replica,
            self.handoff,
            self._keys,
            self.preference,
            hedging,
            {node.name: name for name, datacenter in config.datacenters.items() for node in datacenter.nodes},
        )
        self.coordinator = Coordinator(
            self.step,
            self.replica,
            self.handoff,
            self._operations,
            store,
            self._keys,
            self.preference,
            hedging,
            background,
            self.rights,
            calls_max,
            {name.encode(): int(bucket.ttl_s * 1000) for name, bucket in config.all_buckets.items() if bucket.ttl_s},
        )
        self.watching = Watching(self.step, self.replica, store, self._keys, random)
        self.geo = GeoReplication(
            self.step,
            self.replica,
            self.handoff,
            self.outbox,
            store,
            self._keys,
            config.geo.batch_max,
            config.limits.message_bytes,
        )
        self.membership = Membership(
            self.step,
            settings.starts,
            settings.incarnation,
            random,
            config.gossip,
            self._load.read,
            self.geo.incarnation_seen,
            self._remembered,
        )
        here = config.find_node(settings.node)
        assert here is not None
        self.filling = Filling(
            self.step,
            store,
            self.outbox,
            {name: [node.name for node in config.datacenters[name].nodes] for name in peers},
        )
        self.standing = Standing(
            self.step,
            self.anti_entropy,
            self.filling,
            settings.incarnation,
            settings.is_checked,
            (here[1].host, here[1].port),
        )
        self._ring = RingFollower(self.step, store)
        self._refill_at = 0.0
        from_client: dict[type, Callable[[Peer, Any], None]] = {
            GetRequest: self.coordinator.get,
            MutateRequest: self.coordinator.mutate,
            ScanRequest: self.coordinator.scan,
            WatchRequest: self.watching.poll,
            TopologyRequest: self._tell_topology,
            StatusRequest: self._tell_status,
            RepairRequest: self._repair,
            InspectRequest: self.serving.inspect,
        }
        from_node: dict[type, Callable[[str, Any], None]] = {
            ReadReplica: self.serving.read_replica,
            WriteReplica: self.serving.write_replica,
            KeepHint: self.serving.keep_hint,
            FindOperation: self.serving.find_operation,
            HandOff: self.serving.hand_off,
            ReadPartition: self.serving.read_partition,
            RootsRequest: self.anti_entropy.compare_roots,
            LeafRequest: self.anti_entropy.compare_leaf,
            TombstonesRequest: self.collection.asked,
            DropTombstones: self.collection.drop,
            RightsRequest: self.rights.asked,
        }
        self.admission = Admission(self.step, from_client)
        self._dispatch = Dispatch(
            self.step, self._ring, self.admission, self.membership, self.serving.acknowledge, from_client, from_node
        )

    @property
    def topology(self) -> Topology:
        """The topology in use."""
        return self.step.ring.topology

    @property
    def stats(self) -> Stats:
        """The counters and histograms; hosts count here what happens on links and on the disk."""
        return self.step.stats

    @property
    def health(self) -> Health:
        """What decides whether this node should be sent requests."""
        return health_of(self)

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
                self._dispatch.received(event)
            elif type(event) is ClientGone:
                self.watching.client_gone(event.client)
                self.admission.forget(event.client)
            else:
                self._happened(event)
        self.admission.run_due()
        step.calls.fire(now.monotonic_s)
        if effects.new_incarnation is not None:
            self.membership.new_incarnation(effects.new_incarnation)
            self.standing.new_incarnation(effects.new_incarnation)
        self.standing.tend()
        self.anti_entropy.tend()
        self.handoff.tend()
        self.collection.tend()
        self.membership.tend()
        self._operations.tend()
        self.rights.tend()
        self.filling.run_due(self.replica.incarnation)
        self._refill_outbox()
        self.geo.publish()
        self.watching.tend()
        last_commit = self.replica.commit()
        effects.after_commit = last_commit if self.replica.has_undurable else 0
        return effects

    def next_timer(self) -> float | None:
        """Return the monotonic time of the next step that is due without an event."""
        due = [
            self.admission.next_timer(),
            self.step.calls.next_timer(),
            self.geo.next_timer(),
            self.anti_entropy.next_timer(),
            self.handoff.next_timer(),
            self.collection.next_timer(),
            self.standing.next_timer(),
            self.membership.next_timer(),
            self.watching.next_timer(),
            self.filling.next_timer(),
            self._refill_at or None,
        ]
        return min((at_s for at_s in due if at_s is not None), default=None)

    def status(self) -> dict[str, Any]:
        """Return what the node knows of itself; the content of `StatusReply`."""
        return status_of(self, self._settings.config)

    def _happened(self, event: Event) -> None:
        match event:
            case Durable(commit):
                self.replica.durable(commit)
            case PeerUp(node):
                self._ring.linked(node)
                self.membership.peer_up(node)
            case PeerClock(node, clock_ahead_s):
                self.step.clocks_ahead_s[node] = clock_ahead_s
            case PeerDown(node):
                self.membership.peer_down(node)
            case Published(number, ok):
                self.geo.published(number, ok)
            case StreamMessage(datacenter, handle, payload):
                self.geo.received(datacenter, handle, payload)
            case BusMessage(payload):
                self._from_bus(payload)
            case ConsumerIdle(datacenter, as_of):
                self.geo.consumer_idle(datacenter, as_of, self._settings.config.geo.republish_after_s)
            case BusUp() | BusDown():
                self.geo.bus_changed(isinstance(event, BusUp))
            case TopologyChanged(topology):
                self._ring.follow(topology)
            case DiskSpace(is_sufficient, used_percent):
                self.step.has_disk_space = is_sufficient
                self._load.disk_used_percent = used_percent

    def _from_bus(self, payload: bytes) -> None:
        try:
            for message in decode_frame(payload).messages:
                if isinstance(message, RightsWanted):
                    self.rights.wanted(message)
                elif isinstance(message, FillWanted):
                    self.filling.asked(message)
                elif isinstance(message, FillDone):
                    self.filling.done(message)
                else:
                    self.geo.confirmed(message)
        except InsufficientStorage:
            pass  # nothing is given; it will be asked again
        except StorageError:
            raise
        except CrdtkvError as error:
            self._dispatch.dropped(error)

    def _tell_topology(self, peer: Peer, request: TopologyRequest) -> None:
        config = self._settings.config
        buckets: list[object] = [[name, bucket.consistency] for name, bucket in config.all_buckets.items()]
        reply = TopologyReply(
            request.id, self.topology.to_json(), buckets, [*sorted(config.datacenters)], config.limits.entry_kib * 1024
        )
        self.step.effects.send(peer, reply)

    def _tell_status(self, peer: Peer, request: StatusRequest) -> None:
        self.step.effects.send(peer, StatusReply(request.id, json.dumps(self.status()).encode()))

    def _load_of(self, node: str) -> Load:
        return self.membership.load_of(node)

    def _remembered(self, member: Member | None) -> None:
        """Learn what others remember of this node; if it is from a start it has forgotten, its disk is a copy."""
        if member is not None:
            # Later starts count from there, so that nobody takes them for what they have seen already.
            self._store.put(rows.STARTS, (member.generation + 1).to_bytes(8, "big"))
            if member.incarnation == self.replica.incarnation:
                self.replica.renew_incarnation(f"others remember start {member.generation} of this very disk")
                assert self.step.effects.new_incarnation is not None
                self.standing.new_incarnation(self.step.effects.new_incarnation)
        self.standing.heard()

    def _repair(self, peer: Peer, request: RepairRequest) -> None:
        for node in self.anti_entropy.peers:
            self.anti_entropy.begin_pass(node, request.partition)
        self.step.effects.send(peer, StatusReply(request.id, json.dumps(self.status()).encode()))

    def _refill_outbox(self) -> None:
        """Continue sending everything, if rows were dropped, without holding up a step for long."""
        now_s = self.step.now.monotonic_s
        if self.outbox.has_dropped and now_s >= self._refill_at:
            self.outbox.refill(now_s)
            self._refill_at = now_s + _REFILL_EVERY_S if self.outbox.has_dropped else 0.0

    def _is_stable_elsewhere(self, located: bytes) -> bool:
        """See `StableElsewhere`. Nobody can say so of other data centers yet: while there are any, tombstones stay."""
        return not self._settings.config.peers_of(self.step.datacenter)
