"""`AntiEntropy`: replicas of a data center find their differences in the background, and repair them.

Every interval a node begins an *exchange* (`exchange`) with the next other node, about all partitions they share. Both
sides *merge*: no entry is overwritten, and a missing entry is never taken for a deleted one.

An anti-entropy session (a *full comparison*) compares every partition shared with a node once from its start on. It is
begun when entries are known to be missing: hints were dropped, this node is a learner, or an operator requests it. Its
exchanges follow each other as fast as `max_mib_per_s` allows; so do exchanges that found more than one can repair.
Entries that are being written differ for a moment; repairing them changes nothing.

The trees are first built from the disk (`tree_builder`); a partition without a tree takes no part.
"""

from collections.abc import Callable

from crdtkv.config.model import RepairConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage
from crdtkv.merkle.forest import MerkleForest
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.repair.exchange import Bounds, ExchangeCall, Findings, Taken, answer
from crdtkv.node.repair.tree_builder import TreeBuilder
from crdtkv.node.repair.tree_comparison import Item, TreeComparison
from crdtkv.node.replica.replica import Replica
from crdtkv.ring.token import identity_in
from crdtkv.storage.store import Store
from crdtkv.wire.messages import Message

#: The partitions of one exchange, and its other bounds: between two replicas no entry is too large.
PARTITIONS_PER_EXCHANGE = 1024
BOUNDS = Bounds(trees=8, entries=2_000, size_bytes=4 * 1024 * 1024, entry_bytes=1 << 62)
#: The shortest pause between exchanges, so that a full comparison that gets nowhere does not spin.
PAUSE_S = 0.01


class AntiEntropy:
    """The exchanges that one node begins, and those it answers, within its data center."""

    bounds = BOUNDS

    def __init__(
        self, kernel: Kernel, replica: Replica, store: Store, comparison: TreeComparison, config: RepairConfig
    ) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._comparison = comparison
        self._forest: MerkleForest = comparison.forest
        self._config = config
        self._builder = TreeBuilder(kernel, store, comparison.forest, config.rebuild_s, replica.forget_cached)
        self._exchange_at = kernel.step.now.monotonic_s + config.interval_s
        self._to_exchange: list[str] = []
        self._is_exchanging = False
        self._began_before_its_comparison = False
        self._of_epoch = 0
        self._own: list[int] = []
        self._shared: dict[str, list[int]] = {}
        self._full_comparisons: dict[str, set[int]] = {}

    @property
    def is_built(self) -> bool:
        """Whether every partition of this node has a tree."""
        self._follow_ring()
        return all(map(self._forest.is_built, self._own))

    @property
    def own(self) -> list[int]:
        """The partitions of which this node is a replica."""
        self._follow_ring()
        return self._own

    @property
    def peers(self) -> list[str]:
        """The nodes this one shares partitions with, sorted."""
        self._follow_ring()
        return sorted(self._shared)

    @property
    def full_comparisons(self) -> dict[str, int]:
        """The number of partitions that each session still has to compare, by the other node."""
        return {peer: len(left) for peer, left in sorted(self._full_comparisons.items())}

    def roots(self) -> dict[int, int]:
        """Return the Merkle roots of this node's partitions whose trees are built."""
        self._follow_ring()
        trees = {partition: self._forest.tree(partition) for partition in self._own}
        return {partition: tree.root for partition, tree in trees.items() if tree is not None}

    def begin_full_comparison(self, peer: str, partition: int | None = None) -> None:
        """Begin a session with a node: compare all shared partitions, or one of them, from now on."""
        self._follow_ring()
        shared = self._shared.get(peer, [])
        wanted = shared if partition is None else [number for number in shared if number == partition]
        if wanted:
            self._full_comparisons.setdefault(peer, set()).update(wanted)
            self._began_before_its_comparison = self._is_exchanging
            self._exchange_at = min(self._exchange_at, self._step.now.monotonic_s + PAUSE_S)

    def next_timer(self) -> float:
        """Return when the next work is due."""
        return self._builder.due_at if self._is_exchanging else min(self._builder.due_at, self._exchange_at)

    def run_due(self) -> None:
        """Build trees and begin an exchange, if it is time; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if now_s >= self._builder.due_at:
            self._follow_ring()
            self._builder.build()
        if now_s >= self._exchange_at and not self._is_exchanging:
            self._follow_ring()
            self._begin_exchange(now_s)

    def asked(self, node: str, request: Message) -> None:
        """Answer a request of another node's exchange.

        Raises:
            CrdtkvError: it is malformed.
        """
        answer(self, self._comparison, node, request)

    # The methods of `Channel`.

    def send(self, node: str, message: Message, is_durable: bool = True) -> None:
        """Send a message over the link to a node."""
        self._step.answer(node, message, is_durable)

    def take(self, partition: int, items: list[object], then: Callable[[Taken], None]) -> None:
        """Merge entries of the other node here.

        Raises:
            CrdtkvError: one of them is no entry of its key.
        """
        merged = size_bytes = 0
        for item in map(Item.from_wire, items):
            key = self._comparison.keys.from_peer(identity_in(item.storage_key))
            if item.basis is not None and not self._replica.has_seen(item.storage_key, item.basis):
                continue
            try:
                if self._replica.is_news(key, item.entry):
                    self._replica.merge(key, Entry.from_replica(item.entry, key.type_tag))
            except InsufficientStorage:
                continue
            merged += 1
            size_bytes += len(item.entry)
        then(Taken(merged, size_bytes, is_whole=merged == len(items)))

    def _follow_ring(self) -> None:
        """Update the partitions of this node, and those it shares with each other node, if the ring has changed."""
        if self._of_epoch == self._cluster.epoch:
            return
        self._of_epoch = self._cluster.epoch
        own: list[int] = []
        shared: dict[str, list[int]] = {}
        for partition in range(self._cluster.ring.partitions):
            replicas = self._cluster.ring.replicas_of(partition)
            if self._cluster.node in replicas:
                own.append(partition)
                for name in replicas:
                    if name != self._cluster.node:
                        shared.setdefault(name, []).append(partition)
        if own != self._own:
            self._builder.follow(own)
        self._own, self._shared = own, shared
        self._full_comparisons = {
            peer: both
            for peer, left in self._full_comparisons.items()
            if (both := left.intersection(shared.get(peer, [])))
        }

    def _begin_exchange(self, now_s: float) -> None:
        self._exchange_at = now_s + self._config.interval_s
        peer = self._next_peer()
        if peer is None:
            return
        wanted = sorted(self._full_comparisons[peer]) if peer in self._full_comparisons else self._shared[peer]
        built = [partition for partition in wanted if self._forest.is_built(partition)]
        if not built:
            return
        if len(built) > PARTITIONS_PER_EXCHANGE:
            first = int(now_s / self._config.interval_s) * PARTITIONS_PER_EXCHANGE % len(built)
            built = (built + built)[first : first + PARTITIONS_PER_EXCHANGE]
        self._step.stats.count("merkle_exchanges")
        self._is_exchanging = True
        self._began_before_its_comparison = False
        ExchangeCall(self._kernel, self._comparison, self, peer, self._exchanged).start(built)

    def _exchanged(self, findings: Findings) -> None:
        """Handle the end of an exchange: the next one begins soon if there was more to repair."""
        self._is_exchanging = False
        if findings.differences:
            self._step.stats.count("merkle_repaired", findings.differences)
        left = self._full_comparisons.get(findings.peer)
        if left is not None and not self._began_before_its_comparison:
            left -= findings.compared
            if not left:
                del self._full_comparisons[findings.peer]
        pause_s = max(PAUSE_S, findings.moved_bytes / (self._config.max_mib_per_s * 1024 * 1024))
        is_getting_on = findings.is_cut_short or (bool(self._full_comparisons) and bool(findings.compared))
        self._exchange_at = self._step.now.monotonic_s + (pause_s if is_getting_on else self._config.interval_s)

    def _next_peer(self) -> str | None:
        """Return the next node that is alive and shares partitions, in turn, those in a session first."""
        for _ in range(2 * len(self._shared)):
            if not self._to_exchange:
                self._to_exchange = sorted(self._shared)
            peer = self._to_exchange.pop(0) if self._to_exchange else None
            if peer is None or peer not in self._shared or peer not in self._cluster.alive:
                continue
            if peer in self._full_comparisons or self._cluster.alive.isdisjoint(self._full_comparisons):
                return peer
        return None
