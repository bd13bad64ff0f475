"""`AntiEntropy`: replicas of a data center find out by themselves where they differ, and mend it.

Every interval a node visits the next other node: it sends the Merkle roots of all partitions they share; the other
answers with the leaves of trees that differ; for each leaf that differs it sends the digests of its entries; the other
answers with the entries it lacks or holds otherwise, and the keys it wants in return. Both sides *merge*: nothing is
overwritten, and what one side has not got is never taken for deleted.

A visit that could not mend everything is followed by the next at once, so a replica that missed much is filled as
fast as `max_mib_per_s` allows; one that found nothing has cost one small message. What does not fit is found again by
a later visit, so nothing has to be remembered. Entries that are written right now differ for a moment; mending them
changes nothing.

The trees are built from the disk first (`merkle.forest`); a partition without a tree takes no part.
"""

from crdtkv.config.model import RepairConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage, ProtocolError
from crdtkv.hashing import DIGEST_BYTES, entry_digest
from crdtkv.merkle.forest import LEAVES, MerkleForest, leaf_range
from crdtkv.node.keys import KeyCheck
from crdtkv.node.replica import Replica
from crdtkv.node.step import Step
from crdtkv.ring.token import identity_in
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole
from crdtkv.wire.messages import (
    LeafReply,
    LeafRequest,
    Message,
    ReplicaSuperseded,
    ReplicaWritten,
    RootsReply,
    RootsRequest,
    WriteReplica,
)

#: How much one visit looks at and moves.
PARTITIONS_A_VISIT = 1024
TREES_A_VISIT = 8
LEAVES_A_VISIT = 64
ROWS_A_LEAF = 1_000
REPLY_BYTES = 256 * 1024
VISIT_TIMEOUT_S = 5.0
#: How building goes on: so many rows, or so many empty partitions, then a pause.
BUILD_ROWS = 500
BUILD_PARTITIONS = 64
BUILD_PAUSE_S = 0.01

_Digests = list[tuple[bytes, bytes]]


class AntiEntropy:
    """Builder, visitor and host of visits of one node."""

    def __init__(
        self, step: Step, replica: Replica, store: Store, keys: KeyCheck, forest: MerkleForest, config: RepairConfig
    ) -> None:
        self._step = step
        self._replica = replica
        self._store = store
        self._keys = keys
        self._forest = forest
        self._config = config
        now_s = step.now.monotonic_s
        self._build_at = now_s
        self._visit_at = now_s + config.interval_s
        self._to_build: list[int] = []
        self._cursors: dict[int, bytes] = {}
        self._last_rebuilt = -1
        self._to_visit: list[str] = []
        self._visit: _Visit | None = None
        self._of_epoch = 0
        self._own: list[int] = []
        self._shared: dict[str, list[int]] = {}

    @property
    def is_built(self) -> bool:
        """Whether every partition of this node has a tree."""
        self._follow_ring()
        return all(self._forest.tree(partition) is not None for partition in self._own)

    def roots(self) -> dict[int, int]:
        """Return the Merkle roots of this node's partitions, as far as their trees are built."""
        self._follow_ring()
        trees = {partition: self._forest.tree(partition) for partition in self._own}
        return {partition: tree.root for partition, tree in trees.items() if tree is not None}

    def next_timer(self) -> float:
        """Return when the next piece of work is due."""
        return self._build_at if self._visit is not None else min(self._build_at, self._visit_at)

    def tend(self) -> None:
        """Build and visit, if it is time; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if now_s >= self._build_at:
            self._follow_ring()
            self._build(now_s)
        if now_s >= self._visit_at and self._visit is None:
            self._follow_ring()
            self._begin_visit(now_s)

    def visit_soon(self, peer: str) -> None:
        """Visit a node next, because hints for it were dropped."""
        if self._to_visit[:1] != [peer]:
            self._to_visit.insert(0, peer)

    def visited(self, differences: int, moved_bytes: int, is_cut_short: bool) -> None:
        """Take the end of a visit: the next comes soon if there was more to mend."""
        now_s = self._step.now.monotonic_s
        self._visit = None
        if differences:
            self._step.stats.count("merkle_mended", differences)
        pause_s = moved_bytes / (self._config.max_mib_per_s * 1024 * 1024)
        self._visit_at = now_s + (pause_s if is_cut_short else max(pause_s, self._config.interval_s))

    # Serving visits of others.

    def compare_roots(self, node: str, request: RootsRequest) -> None:
        """Answer with the leaves of trees that differ."""
        if len(request.roots) != len(request.partitions) * DIGEST_BYTES:
            raise ProtocolError("a root has 16 bytes")
        trees: list[object] = []
        for number, partition in enumerate(request.partitions):
            tree = self._forest.tree(partition) if type(partition) is int else None
            if tree is None:
                continue
            root = request.roots[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
            if tree.root_bytes != root:
                trees.append([partition, tree.leaf_bytes()])
                if len(trees) == TREES_A_VISIT:
                    break
        self._step.effects.send(node, RootsReply(request.id, trees))

    def compare_leaf(self, node: str, request: LeafRequest) -> None:
        """Answer with what the other lacks, and what this node wants."""
        theirs = _parsed_digests(request.digests)
        if request.partition >= self._forest.partitions or request.leaf >= LEAVES:
            raise ProtocolError(f"no leaf {request.leaf} in partition {request.partition}")
        mine, _ = self._rows(request.partition, request.leaf, request.after, request.end)
        held = {located: _digest(located, entry) for located, entry in mine}
        entries: list[object] = []
        size = 0
        for located, entry in mine:
            if theirs.get(located) != held[located] and size < REPLY_BYTES:
                entries.append([located, entry])
                size += len(entry)
        wanted: list[object] = [located for located, digest in theirs.items() if held.get(located) != digest]
        # What differs may have been written this very moment.
        self._step.answer(node, LeafReply(request.id, entries, wanted), not self._replica.has_undurable)

    def rows_of_leaf(self, partition: int, leaf: int, after: bytes) -> tuple[_Digests, bytes | None]:
        """Return this node's digests of a leaf behind a key, and up to where they are complete (None: all)."""
        found, end = self._rows(partition, leaf, after, None)
        return [(located, _digest(located, entry)) for located, entry in found], end

    def take(self, located: bytes, encoded: bytes) -> bool:
        """Merge an entry another replica sent; False if this node's disk is too full for it.

        Raises:
            CrdtkvError: it is no entry of this key.
        """
        key = self._keys.from_peer(identity_in(located))
        try:
            self._replica.merge(key, Entry.from_replica(encoded, key.type_tag))
        except InsufficientStorage:
            return False
        return True

    def give(self, node: str, number: int, located: bytes) -> int:
        """Send this node's entry of a key; return its bytes, 0 if there is none."""
        entry, is_durable = self._replica.read(located)
        if entry is None:
            return 0
        self._step.answer(node, WriteReplica(number, identity_in(located), entry, 0), is_durable)
        return len(entry)

    # Behind it.

    def _rows(
        self, partition: int, leaf: int, after: bytes, end: bytes | None
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        start, stop = rows.token_range(*leaf_range(partition, leaf, self._forest.partitions))
        if after:
            start = max(start, rows.data_row(after) + b"\0")
        if end is not None:
            stop = min(stop, rows.data_row(end) + b"\0")
        found = self._store.scan(start, stop, ROWS_A_LEAF)
        page = [(rows.located_in(row), entry) for row, entry in found]
        return page, None if is_whole(found, ROWS_A_LEAF) else page[-1][0]

    def _follow_ring(self) -> None:
        """Learn which partitions this node has, and shares with whom, when the ring has changed."""
        step = self._step
        if self._of_epoch == step.epoch:
            return
        self._of_epoch = step.epoch
        before, self._own, self._shared = self._own, [], {}
        for partition in range(step.ring.partitions):
            replicas = step.ring.replicas_of(partition)
            if step.node in replicas:
                self._own.append(partition)
                for name in replicas:
                    if name != step.node:
                        self._shared.setdefault(name, []).append(partition)
        own = frozenset(self._own)
        for partition in before:
            if partition not in own:
                self._forest.forget(partition)
        self._to_build = [partition for partition in self._own if self._forest.tree(partition) is None]
        self._cursors = {}

    def _build(self, now_s: float) -> None:
        if not self._to_build and self._own:
            # All are built: build one of them again, to see that the tree is what the disk holds.
            self._last_rebuilt = next((p for p in self._own if p > self._last_rebuilt), self._own[0])
            self._to_build.append(self._last_rebuilt)
        left = BUILD_ROWS
        for _ in range(BUILD_PARTITIONS):
            if not self._to_build or left <= 0:
                break
            left -= self._build_some(self._to_build[0], left)
        self._build_at = now_s + (BUILD_PAUSE_S if self._to_build else self._config.rebuild_s)

    def _build_some(self, partition: int, limit: int) -> int:
        """Scan the next piece of a partition; return how many rows that were."""
        start, stop = rows.partition_range(partition, self._forest.partitions)
        cursor = self._cursors.get(partition)
        if cursor is None:
            self._forest.begin(partition)
        else:
            start = rows.data_row(cursor) + b"\0"
        found = self._store.scan(start, stop, limit)
        page = [(rows.located_in(row), entry) for row, entry in found]
        end = None if is_whole(found, limit) else page[-1][0]
        is_equal = self._forest.scanned(partition, page, end)
        if end is not None:
            self._cursors[partition] = end
            return len(found)
        self._to_build.pop(0)
        self._cursors.pop(partition, None)
        if not is_equal:
            self._step.stats.count("merkle_trees_corrected")
            self._step.effects.notes.append(f"the tree of partition {partition} was not that of the disk: corrected")
        return len(found)

    def _begin_visit(self, now_s: float) -> None:
        self._visit_at = now_s + self._config.interval_s
        peer = self._next_peer()
        if peer is None:
            return
        built = [p for p in self._shared[peer] if self._forest.tree(p) is not None]
        if not built:
            return
        if len(built) > PARTITIONS_A_VISIT:
            first = int(now_s / self._config.interval_s) * PARTITIONS_A_VISIT % len(built)
            built = (built + built)[first : first + PARTITIONS_A_VISIT]
        self._step.stats.count("merkle_visits")
        self._visit = _Visit(self._step, self, self._forest, peer)
        self._visit.start(built)

    def _next_peer(self) -> str | None:
        """Return the next node that is alive and shares partitions; all in turn."""
        for _ in range(len(self._shared) + 1):
            if not self._to_visit:
                self._to_visit = sorted(self._shared)
            peer = self._to_visit.pop(0) if self._to_visit else None
            if peer is not None and peer in self._shared and peer in self._step.alive:
                return peer
        return None


class _Visit:
    """One visit in flight; see `Call`."""

    def __init__(self, step: Step, anti_entropy: AntiEntropy, forest: MerkleForest, peer: str) -> None:
        self._step = step
        self._anti_entropy = anti_entropy
        self._forest = forest
        self._peer = peer
        self._waiting = 0
        self._differences = 0
        self._moved_bytes = 0
        self._is_cut_short = False
        self._number = 0

    def start(self, partitions: list[int]) -> None:
        """Send the roots of these partitions."""
        self._number = self._step.calls.add(self)
        self._step.calls.set_timer(self._number, self._step.now.monotonic_s + VISIT_TIMEOUT_S, "deadline")
        trees = [self._forest.tree(partition) for partition in partitions]
        roots = b"".join(tree.root_bytes for tree in trees if tree is not None)
        self._send(RootsRequest(self._number, list(partitions), roots))

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
        self._waiting -= 1
        match message:
            case RootsReply(_, trees):
                self._look_into(trees)
            case LeafReply(_, entries, wanted):
                self._mend(entries, wanted)
            case ReplicaWritten() | ReplicaSuperseded():
                pass
        self._end_if_done()

    def lost(self, replica: str) -> None:
        """See `Call`."""
        if replica == self._peer:
            self._end()

    def timer(self, purpose: str) -> None:
        """See `Call`; the only timer is the deadline."""
        self._end()

    def _look_into(self, trees: list[object]) -> None:
        asked = 0
        self._is_cut_short = len(trees) >= TREES_A_VISIT
        for item in trees:
            match item:
                case [int() as partition, bytes() as leaves] if len(leaves) == LEAVES * DIGEST_BYTES:
                    tree = self._forest.tree(partition)
                    for leaf in tree.differing(leaves) if tree is not None else ():
                        if asked == LEAVES_A_VISIT:
                            self._is_cut_short = True
                            return
                        asked += 1
                        self._ask_leaf(partition, leaf, b"")

    def _ask_leaf(self, partition: int, leaf: int, after: bytes) -> None:
        digests, end = self._anti_entropy.rows_of_leaf(partition, leaf, after)
        shown: list[object] = [list(item) for item in digests]
        self._send(LeafRequest(self._number, partition, leaf, after, end, shown))
        if end is not None:
            self._ask_leaf(partition, leaf, end)

    def _mend(self, entries: list[object], wanted: list[object]) -> None:
        for item in entries:
            match item:
                case [bytes() as located, bytes() as entry]:
                    if self._anti_entropy.take(located, entry):
                        self._differences += 1
                        self._moved_bytes += len(entry)
        for key in wanted:
            if isinstance(key, bytes):
                given = self._anti_entropy.give(self._peer, self._number, key)
                if given:
                    self._waiting += 1
                    self._differences += 1
                    self._moved_bytes += given

    def _send(self, message: Message) -> None:
        self._waiting += 1
        self._step.effects.send(self._peer, message)

    def _end_if_done(self) -> None:
        if self._waiting <= 0:
            self._end()

    def _end(self) -> None:
        self._step.calls.end(self._number)
        is_cut_short = self._differences > 0 and (self._is_cut_short or self._moved_bytes >= REPLY_BYTES)
        self._anti_entropy.visited(self._differences, self._moved_bytes, is_cut_short)


def _digest(located: bytes, entry: bytes) -> bytes:
    return entry_digest(located, entry).to_bytes(DIGEST_BYTES, "big")


def _parsed_digests(digests: list[object]) -> dict[bytes, bytes]:
    parsed: dict[bytes, bytes] = {}
    for item in digests:
        match item:
            case [bytes() as located, bytes() as digest]:
                parsed[located] = digest
            case _:
                raise ProtocolError("a digest is [storage key, 16 bytes]")
    return parsed
