"""`assemble`: builds the parts of a node, from the ground up, and passes each the few others that it needs."""

from dataclasses import dataclass
from random import Random

from crdtkv.config.model import ClusterConfig
from crdtkv.merkle.forest import MerkleForest
from crdtkv.node.coordinate.background_read_repair import BackgroundReadRepair
from crdtkv.node.coordinate.coordinator import Coordinator
from crdtkv.node.coordinate.earlier_tries import EarlierTries
from crdtkv.node.coordinate.mutation_flow import MutationFlow
from crdtkv.node.coordinate.placing import Placing
from crdtkv.node.datacenters.applying import Applier
from crdtkv.node.datacenters.bus_link import BusLink
from crdtkv.node.datacenters.remote_calls import Elsewhere
from crdtkv.node.datacenters.remote_service import RemoteService
from crdtkv.node.enrollment.enrollment import Disk, Enrollment
from crdtkv.node.geo.anti_entropy import GeoAntiEntropy
from crdtkv.node.geo.lost_outboxes import LostOutboxes
from crdtkv.node.geo.replication import ENVELOPE_BYTES, GeoReplication
from crdtkv.node.handoff.hint_delivery import HintDelivery
from crdtkv.node.handoff.hints import Hints
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import CallTable
from crdtkv.node.kernel.cluster_view import ClusterView
from crdtkv.node.kernel.events import Now
from crdtkv.node.kernel.kernel import Kernel, Part
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.kernel.step import Step
from crdtkv.node.membership.load_meter import LoadMeter
from crdtkv.node.membership.membership import Membership
from crdtkv.node.membership.ring_follower import RingFollower
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.node.quorum_calls.replica_service import ReplicaService
from crdtkv.node.repair.anti_entropy import AntiEntropy
from crdtkv.node.repair.tree_comparison import TreeComparison
from crdtkv.node.replica.comparison_marks import ComparisonMarks
from crdtkv.node.replica.operations import Operations
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.node.rights.rights import Rights
from crdtkv.node.tombstone_gc.collection import Collection
from crdtkv.node.tombstone_gc.stability import Stability
from crdtkv.node.watch.watching import Watching
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import Topology
from crdtkv.storage.patching import PatchingStore
from crdtkv.storage.store import Store


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The settings of a node at its start.

    `topology` is the last known document, `starts` counts the starts including this one. `is_checked` says that the
    host has verified that no other node remembers a later start, `is_replacement` that this disk replaces an earlier
    one of this node (`storage.identity`).
    """

    config: ClusterConfig
    datacenter: str
    node: str
    topology: Topology
    incarnation: int
    starts: int = 1
    is_checked: bool = True
    is_replacement: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one node. `scheduled` are those with `run_due` and `next_timer`, in the order in which they run."""

    kernel: Kernel
    keys: KeyCheck
    replica: Replica
    marks: ComparisonMarks
    outbox: Outbox
    anti_entropy: AntiEntropy
    hints: Hints
    local: LocalCopy
    load: LoadMeter
    ring: RingFollower
    membership: Membership
    selector: ReplicaSelector
    quorum_calls: QuorumCalls
    service: ReplicaService
    bus: BusLink
    remote_service: RemoteService
    rights: Rights
    coordinator: Coordinator
    mutation_flow: MutationFlow
    geo: GeoReplication
    geo_anti_entropy: GeoAntiEntropy
    collection: Collection
    enrollment: Enrollment
    watching: Watching
    scheduled: tuple[Part, ...]


def assemble(settings: NodeSettings, host_store: Store, random: Random, now: Now) -> Parts:
    """Build the parts of a node on the content of its store."""
    config, name, datacenter = settings.config, settings.node, settings.datacenter
    here = config.find_node(name)
    assert here is not None
    store = PatchingStore(host_store, config.limits.whole_entry_bytes)
    keys = KeyCheck(frozenset(config.all_buckets))
    peers = config.peers_of(datacenter)
    nodes_elsewhere = {peer: [node.name for node in config.datacenters[peer].nodes] for peer in peers}
    calls_max = config.limits.calls_in_flight_max

    kernel = Kernel(
        ClusterView(name, datacenter, HashRing(settings.topology)), Step(now), CallTable(random.getrandbits(40))
    )
    marks = ComparisonMarks(store, peers)
    outbox = Outbox(store, marks, config.geo.outbox_max, now.monotonic_s)
    forest = MerkleForest(settings.topology.partitions)
    replica = Replica(
        kernel, store, outbox, forest, settings.incarnation, random, config.storage.entry_cache_mib, config.limits
    )
    operations = Operations(kernel, store)
    comparison = TreeComparison(kernel, replica, store, keys, forest)
    anti_entropy = AntiEntropy(kernel, replica, store, comparison, config.repair)
    hints = Hints(store, config.handoff.hints_max, config.handoff.hints_max_mib * 1024 * 1024, now.monotonic_s)
    local = LocalCopy(kernel, replica, hints, random)
    delivery = HintDelivery(kernel, replica, hints, local, anti_entropy, keys, config.handoff)
    disk = Disk(settings.is_checked, settings.is_replacement)
    enrollment = Enrollment(kernel, replica, store, anti_entropy, marks, disk, (here[1].host, here[1].port))
    load = LoadMeter(kernel)
    lost_outboxes = LostOutboxes(kernel, store, marks)
    membership = Membership(
        kernel,
        settings.starts,
        settings.incarnation,
        random,
        config.gossip,
        load.read,
        lost_outboxes.incarnation_seen,
        enrollment.remembered,
    )
    selector = ReplicaSelector(kernel, random, membership.load_of)
    quorum_calls = QuorumCalls(kernel, replica, local, store, selector)
    bus = BusLink(kernel, nodes_elsewhere)
    applier = Applier(kernel, replica, quorum_calls)
    remote_service = RemoteService(kernel, bus, keys, applier, quorum_calls, calls_max)
    entry_bytes_max = config.limits.message_bytes - ENVELOPE_BYTES
    geo = GeoReplication(kernel, replica, outbox, store, keys, applier, config.geo.batch_max, entry_bytes_max)
    geo_anti_entropy = GeoAntiEntropy(
        kernel, replica, comparison, applier, anti_entropy, marks, bus, config.geo, entry_bytes_max
    )
    # Other data centers cannot agree to a collection yet: while there are any, tombstones stay.
    stability = Stability(kernel, replica, hints, outbox, config.collection.gc_grace_s, lambda _: not peers)
    collection = Collection(kernel, replica, stability, config.collection)
    datacenter_of = {node.name: peer for peer, described in config.datacenters.items() for node in described.nodes}
    rights = Rights(kernel, replica, keys, quorum_calls, datacenter_of)
    elsewhere = Elsewhere(kernel, bus)
    placing = Placing(kernel, keys, selector, operations, calls_max)
    bucket_ttls_ms = {
        bucket.encode(): int(described.ttl_s * 1000)
        for bucket, described in config.all_buckets.items()
        if described.ttl_s
    }
    watching = Watching(kernel, replica, store, keys, random)
    return Parts(
        kernel=kernel,
        keys=keys,
        replica=replica,
        marks=marks,
        outbox=outbox,
        anti_entropy=anti_entropy,
        hints=hints,
        local=local,
        load=load,
        ring=RingFollower(kernel, store),
        membership=membership,
        selector=selector,
        quorum_calls=quorum_calls,
        service=ReplicaService(kernel, replica, local, operations, store, keys),
        bus=bus,
        remote_service=remote_service,
        rights=rights,
        coordinator=Coordinator(
            kernel,
            replica,
            placing,
            quorum_calls,
            elsewhere,
            BackgroundReadRepair(kernel, keys, quorum_calls, random, config.repair.read_share, calls_max),
        ),
        mutation_flow=MutationFlow(
            kernel,
            placing,
            local,
            quorum_calls,
            EarlierTries(kernel, local, operations, quorum_calls),
            rights,
            elsewhere,
            bucket_ttls_ms,
        ),
        geo=geo,
        geo_anti_entropy=geo_anti_entropy,
        collection=collection,
        enrollment=enrollment,
        watching=watching,
        scheduled=(
            quorum_calls,
            enrollment,
            anti_entropy,
            delivery,
            collection,
            membership,
            rights,
            geo_anti_entropy,
            geo,
            watching,
            # Behind all that may note one, so that the records of a step are written in it.
            operations,
        ),
    )
