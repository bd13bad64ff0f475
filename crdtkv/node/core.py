"""`NodeCore`: one node, as a function from events to effects.

A host (the asyncio server, or the simulator) passes everything that has happened since the last step. The core handles
it, commits once, and returns the messages to send, grouped by destination. This batches without a timer: the next batch
of events collects while one step runs and its commit is synced.

The core owns no clock, socket, thread or log. `next_timer` returns when the core needs a step without an event.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from crdtkv.errors import CrdtkvError, InsufficientStorage, StorageError
from crdtkv.node.assembly import NodeSettings, assemble
from crdtkv.node.coordinate.admission import Admission
from crdtkv.node.dispatch import Dispatch
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
from crdtkv.node.kernel.stats import Stats
from crdtkv.node.replica.comparison_marks import GIVE
from crdtkv.node.status import Health, health_of, status_of
from crdtkv.ring.topology import Topology
from crdtkv.storage.store import Store
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import (
    ApplyEntries,
    BusSender,
    DigestRead,
    DropTombstones,
    FindOperation,
    GetRequest,
    GiveEntries,
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
    WaitRequest,
    WatchRequest,
    WriteReplica,
    WriteReplicas,
)


class NodeCore:
    """The decisions of one node."""

    def __init__(self, settings: NodeSettings, store: Store, random: Random, now: Now) -> None:
        self._config = settings.config
        self.started_s = now.monotonic_s
        self.parts = parts = assemble(settings, store, random, now)
        from_client: dict[type, Callable[[Peer, Any], None]] = {
            GetRequest: parts.coordinator.get,
            MutateRequest: parts.mutation_flow.mutate,
            ScanRequest: parts.coordinator.scan,
            WatchRequest: parts.watching.poll,
            TopologyRequest: self._show_topology,
            StatusRequest: self._show_status,
            RepairRequest: self._repair,
            InspectRequest: parts.service.inspect,
            WaitRequest: parts.coordinator.wait,
        }
        from_node: dict[type, Callable[[str, Any], None]] = {
            ReadReplica: parts.service.read_replica,
            DigestRead: parts.service.compare,
            WriteReplica: parts.service.write_replica,
            WriteReplicas: parts.service.write_replicas,
            ApplyEntries: parts.service.apply_entries,
            KeepHint: parts.service.keep_hint,
            FindOperation: parts.service.find_operation,
            HandOff: parts.service.hand_off,
            ReadPartition: parts.service.read_partition,
            RootsRequest: parts.anti_entropy.asked,
            LeafRequest: parts.anti_entropy.asked,
            GiveEntries: parts.anti_entropy.asked,
            TombstonesRequest: parts.collection.asked,
            DropTombstones: parts.collection.drop,
            RightsRequest: parts.rights.asked,
        }
        self.admission = Admission(parts.kernel, from_client)
        self._dispatch = Dispatch(
            parts.kernel,
            parts.ring,
            self.admission,
            parts.load,
            parts.membership,
            parts.service.acknowledge,
            from_client,
            from_node,
        )

    @property
    def topology(self) -> Topology:
        """The topology in use."""
        return self.parts.kernel.cluster.ring.topology

    @property
    def stats(self) -> Stats:
        """The counters and histograms; hosts count here what happens on links and on the disk."""
        return self.parts.kernel.step.stats

    @property
    def health(self) -> Health:
        """Whether this node should be sent requests, with the reasons."""
        return health_of(self.parts)

    def handle(self, events: Sequence[Event], now: Now) -> Effects:
        """Handle events, commit once, and return the effects.

        Raises:
            StorageError: the disk failed. The process must stop; the outcome of its last writes is unknown.
        """
        parts = self.parts
        effects = parts.kernel.step.begin(now)
        for event in events:
            if type(event) is Received:
                self._dispatch.received(event)
            elif type(event) is ClientGone:
                parts.watching.client_gone(event.client)
                self.admission.forget(event.client)
            else:
                self._happened(event)
        self.admission.run_due()
        parts.kernel.calls.fire(now.monotonic_s)
        if effects.new_incarnation is not None:
            parts.membership.new_incarnation(effects.new_incarnation)
            parts.enrollment.new_incarnation(effects.new_incarnation)
        for part in parts.scheduled:
            part.run_due()
        last_commit = parts.replica.commits.commit()
        effects.after_commit = last_commit if parts.replica.commits.has_undurable else 0
        return effects

    def next_timer(self) -> float | None:
        """Return the monotonic time of the next step that is due without an event, None if none is due."""
        parts = self.parts
        earliest_s = parts.kernel.calls.next_timer()
        for part in (self.admission, *parts.scheduled):
            at_s = part.next_timer()
            if at_s is not None and (earliest_s is None or at_s < earliest_s):
                earliest_s = at_s
        return earliest_s

    def status(self) -> dict[str, Any]:
        """Return the status of this node; the content of `StatusReply`."""
        return status_of(self.parts, self._config, len(self.admission), self.started_s)

    def _happened(self, event: Event) -> None:
        match event:
            case Durable(commit):
                self.parts.replica.commits.durable(commit)
            case PeerUp(node):
                self.parts.ring.linked(node)
                self.parts.membership.peer_up(node)
            case PeerClock(node, clock_ahead_s):
                self.parts.kernel.cluster.clocks_ahead_s[node] = clock_ahead_s
            case PeerDown(node):
                self.parts.membership.peer_down(node)
            case Published(number, ok):
                self.parts.geo.published(number, ok)
            case StreamMessage(datacenter, handle, payload):
                self.parts.geo.received(datacenter, handle, payload)
            case BusMessage(payload):
                self._from_bus(payload)
            case ConsumerIdle(datacenter, as_of):
                self.parts.geo.consumer_idle(datacenter, as_of, self._config.geo.republish_after_s)
            case BusUp() | BusDown():
                self.parts.geo.bus_changed(isinstance(event, BusUp))
                self.parts.bus.is_up = isinstance(event, BusUp)
            case TopologyChanged(topology):
                self.parts.ring.follow(topology)
            case DiskSpace(is_sufficient, used_percent):
                self.parts.replica.has_disk_space = is_sufficient
                self.parts.load.disk_used_percent = used_percent

    def _from_bus(self, payload: bytes) -> None:
        sender = None
        try:
            for message in decode_frame(payload).messages:
                if isinstance(message, BusSender):
                    sender = message.node
                elif sender is not None:
                    if not self.parts.remote_service.received(sender, message):
                        self.parts.geo_anti_entropy.received(sender, message)
                elif isinstance(message, RightsWanted):
                    self.parts.rights.wanted(message)
                else:
                    self.parts.geo.confirmed(message)
        except InsufficientStorage:
            pass  # no rights are given; the other node asks again
        except StorageError:
            raise
        except CrdtkvError as error:
            self._dispatch.dropped(error)

    def _show_topology(self, peer: Peer, request: TopologyRequest) -> None:
        config = self._config
        buckets: list[object] = [[name, bucket.consistency] for name, bucket in config.all_buckets.items()]
        reply = TopologyReply(
            request.id, self.topology.to_json(), buckets, [*sorted(config.datacenters)], config.limits.entry_kib * 1024
        )
        self.parts.kernel.step.effects.send(peer, reply)

    def _show_status(self, peer: Peer, request: StatusRequest) -> None:
        self.parts.kernel.step.effects.send(peer, StatusReply(request.id, json.dumps(self.status()).encode()))

    def _repair(self, peer: Peer, request: RepairRequest) -> None:
        if request.datacenter is None:
            for node in self.parts.anti_entropy.peers:
                self.parts.anti_entropy.begin_full_comparison(node, request.partition)
        elif request.datacenter in self.parts.marks.peers:
            self.parts.marks.set(request.datacenter, GIVE)
        self.parts.kernel.step.effects.send(peer, StatusReply(request.id, json.dumps(self.status()).encode()))
