"""`AntiEntropy`: replicas of a data center find their differences in the background, and repair them.

Every interval a node begins an *exchange* with the next other node. It sends the Merkle roots of all partitions they
share; the other answers with the leaves of trees that differ. For each leaf that differs it sends the digests of its
entries; the other answers with the entries that it lacks or holds in another version, and the keys that it wants in
return. Both sides *merge*: no entry is overwritten, and a missing entry is never taken for a deleted one.

An anti-entropy session (a *full comparison*) compares every partition shared with a node once from its start on. It is
begun when entries are known to be missing: hints were dropped, this node is a learner, or an operator requests it. Its
exchanges follow each other as fast as `max_mib_per_s` allows; so do exchanges that found more than one can repair.
Entries that are being written differ for a moment; repairing them changes nothing.

The trees are first built from the disk (`tree_builder`); a partition without a tree takes no part.
"""

from typing import NamedTuple

from crdtkv.causality.context import CausalContext
from crdtkv.config.model import RepairConfig
from crdtkv.crdt.entry import Entry, parsed
from crdtkv.errors import InsufficientStorage, ProtocolError
from crdtkv.hashing import DIGEST_BYTES, digest_of
from crdtkv.merkle.forest import LEAVES, MerkleForest, leaf_range
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.repair.exchange import ExchangeCall, Findings
from crdtkv.node.repair.tree_builder import TreeBuilder
from crdtkv.node.replica.replica import Replica
from crdtkv.ring.token import identity_in
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole
from crdtkv.wire.messages import LeafReply, LeafRequest, RootsReply, RootsRequest, WriteReplica

#: The bounds of one exchange: partitions, trees with differences, rows of a leaf per request, bytes of entries.
PARTITIONS_PER_EXCHANGE = 1024
TREES_PER_EXCHANGE = 8
ROWS_A_LEAF = 1_000
REPLY_BYTES = 256 * 1024
#: The shortest pause between exchanges, so that a full comparison that gets nowhere does not spin.
PAUSE_S = 0.01

#: `[storage key, digest]`, of large entries also the context.
_Digests = list[list[object]]


class _Known(NamedTuple):
    """The version of a key on the other side; `seen` is the context of a large entry."""

    digest: bytes
    seen: CausalContext | None


class AntiEntropy:
    """The exchanges that one node begins, and those it answers."""

    def __init__(
        self, kernel: Kernel, replica: Replica, store: Store, keys: KeyCheck, forest: MerkleForest, config: RepairConfig
    ) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._store = store
        self._keys = keys
        self._forest = forest
        self._config = config
        self._builder = TreeBuilder(kernel, store, forest, config.rebuild_s, replica.forget_cached)
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

    # Answering the exchanges of other nodes.

    def compare_roots(self, node: str, request: RootsRequest) -> None:
        """Answer with the leaves of trees that differ, and the partitions that were not compared.

        Raises:
            ProtocolError: there is not one root per partition.
        """
        if len(request.roots) != len(request.partitions) * DIGEST_BYTES:
            raise ProtocolError("a root has 16 bytes")
        trees: list[object] = []
        left: list[object] = []
        for number, partition in enumerate(request.partitions):
            tree = self._forest.tree(partition) if type(partition) is int else None
            if tree is None:
                left.append(partition)
            elif tree.root_bytes != request.roots[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]:
                if len(trees) < TREES_PER_EXCHANGE:
                    trees.append([partition, tree.leaf_bytes()])
                else:
                    left.append(partition)
        self._step.effects.send(node, RootsReply(request.id, trees, left))

    def compare_leaf(self, node: str, request: LeafRequest) -> None:
        """Answer with the entries that the other node lacks, and the keys that this node wants.

        Raises:
            ProtocolError: the digests are malformed, or there is no such leaf.
        """
        theirs = _parsed_digests(request.digests)
        if request.partition >= self._forest.partitions or request.leaf >= LEAVES:
            raise ProtocolError(f"no leaf {request.leaf} in partition {request.partition}")
        mine, end = self._rows(request.partition, request.leaf, request.after, request.end)
        held: dict[bytes, bytes] = {}
        entries: list[object] = []
        size = 0
        is_whole_reply = end is None
        for storage_key, entry in mine:
            digest = held[storage_key] = digest_of(storage_key, entry)
            known = theirs.get(storage_key)
            if known is not None and known.digest == digest:
                continue
            missing = self._lacking(storage_key, entry, known)
            if size < REPLY_BYTES:
                entries += [missing] if missing is not None else []
                size += len(missing[1]) if missing is not None else 0  # type: ignore[arg-type]
            else:
                is_whole_reply = False
        wanted = [
            wish
            for storage_key, known in theirs.items()
            if held.get(storage_key) != known.digest and (wish := self._wish(storage_key, known)) is not None
        ]
        reply = LeafReply(request.id, request.partition, entries, wanted, is_whole_reply)
        # An entry that differs may have been written in this very step.
        self._step.answer(node, reply, not self._replica.commits.has_undurable)

    # The methods of `ExchangeHost`.

    def rows_of_leaf(self, partition: int, leaf: int, after: bytes) -> tuple[_Digests, bytes | None]:
        """Return this node's digests of a leaf after a storage key, and the last complete key (None: complete)."""
        found, end = self._rows(partition, leaf, after, None)
        return [
            [storage_key, digest_of(storage_key, entry), *self._seen(storage_key, entry)]
            for storage_key, entry in found
        ], end

    def take(self, storage_key: bytes, encoded: bytes, basis: object = None) -> bool:
        """Merge an entry from the other node, or the part that is new to a replica that has seen `basis`.

        Return False if the disk is too full, or this node has not seen `basis`.

        Raises:
            CrdtkvError: it is no entry of this key.
        """
        key = self._keys.from_peer(identity_in(storage_key))
        if basis is not None and not self._replica.has_seen(storage_key, parsed(CausalContext.from_wire, basis)):
            return False
        try:
            if self._replica.is_news(key, encoded):
                self._replica.merge(key, Entry.from_replica(encoded, key.type_tag))
        except InsufficientStorage:
            return False
        return True

    def give(self, node: str, number: int, wish: object) -> int:
        """Send this node's entry of a wanted key, or the part the other lacks; return its bytes, 0 for no entry.

        Raises:
            ProtocolError: `wish` is malformed.
        """
        storage_key, seen = _parsed_wish(wish)
        entry = self._replica.entry(storage_key)
        if entry is None:
            return 0
        part = self._replica.lacking(storage_key, seen) if seen is not None else None
        message = WriteReplica(number, identity_in(storage_key), (part or entry).to_bytes(), 0)
        if part is not None and seen is not None:
            message = message._replace(basis=list(seen.to_wire()))
        self._step.answer(node, message, self._replica.commits.is_durable(storage_key))
        return len(message.entry)

    def _seen(self, storage_key: bytes, encoded: bytes) -> list[object]:
        """Return the context that goes with a large entry's digest, so that the other node can send the difference."""
        entry = self._replica.entry(storage_key) if len(encoded) > self._replica.limits.whole_entry_bytes else None
        return [entry.context.to_wire()] if entry is not None else []

    def _lacking(self, storage_key: bytes, encoded: bytes, known: "_Known | None") -> list[object] | None:
        """Return the part of an entry that the other node lacks: the whole, or a delta with its basis, or None."""
        entry = self._replica.entry(storage_key)
        if known is None or known.seen is None or entry is None or entry.context == known.seen:
            return [storage_key, encoded]
        if known.seen.descends(entry.context):
            return None
        part = self._replica.lacking(storage_key, known.seen)
        return [storage_key, encoded] if part is None else [storage_key, part.to_bytes(), known.seen.to_wire()]

    def _wish(self, storage_key: bytes, known: "_Known") -> object:
        """Return the wish for an entry that the other node holds; None if this node has seen all of it, and more."""
        entry = self._replica.entry(storage_key)
        if known.seen is None or entry is None:
            return storage_key
        if entry.context != known.seen and entry.context.descends(known.seen):
            return None
        return [storage_key, entry.context.to_wire()]

    def _rows(
        self, partition: int, leaf: int, after: bytes, end: bytes | None
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        start, stop = rows.token_range(*leaf_range(partition, leaf, self._forest.partitions))
        if after:
            start = max(start, rows.data_row(after) + b"\0")
        if end is not None:
            stop = min(stop, rows.data_row(end) + b"\0")
        found = self._store.scan(start, stop, ROWS_A_LEAF)
        page = [(rows.storage_key_in(row), entry) for row, entry in found]
        return page, None if is_whole(found, ROWS_A_LEAF) else page[-1][0]

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
        ExchangeCall(self._kernel, self, self._forest, peer, self._exchanged).start(built)

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


def _parsed_digests(digests: list[object]) -> dict[bytes, _Known]:
    found: dict[bytes, _Known] = {}
    for item in digests:
        match item:
            case [bytes() as storage_key, bytes() as digest]:
                found[storage_key] = _Known(digest, None)
            case [bytes() as storage_key, bytes() as digest, seen]:
                found[storage_key] = _Known(digest, parsed(CausalContext.from_wire, seen))
            case _:
                raise ProtocolError("a digest is [storage key, 16 bytes], and the context of a large entry")
    return found


def _parsed_wish(wish: object) -> tuple[bytes, CausalContext | None]:
    match wish:
        case bytes():
            return wish, None
        case [bytes() as storage_key, seen]:
            return storage_key, parsed(CausalContext.from_wire, seen)
    raise ProtocolError("a wish is a storage key, and the context of a large entry")
