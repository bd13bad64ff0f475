"""`TreeComparison`: one node's side of anti-entropy exchanges: its roots, digests and entries.

A request carries the Merkle roots of partitions; the answer has the leaves of the trees that differ. For each range of
leaves that differ a request carries the digests of their entries; the answer has the entries that the requester lacks
or holds in another version, and the keys that the answering node wants in return. No entry is changed here.
"""

from typing import NamedTuple

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import parsed
from crdtkv.errors import ProtocolError
from crdtkv.hashing import DIGEST_BYTES, digest_of
from crdtkv.merkle.forest import LEAVES, MerkleForest, leaf_range
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.replica.replica import Replica
from crdtkv.storage import rows
from crdtkv.storage.store import SCAN_BYTES, Store, is_whole
from crdtkv.wire.messages import LeafReply, LeafRequest, RootsReply, RootsRequest

#: The bounds of one request and its answer: rows, bytes of entries.
ROWS_A_REQUEST = 1_000
REPLY_BYTES = 256 * 1024

#: `[storage key, digest]`, of large entries also the context.
Digests = list[list[object]]


class Item(NamedTuple):
    """An entry on its way to the other node: the whole, or the part for one that has seen all of `basis`."""

    storage_key: bytes
    entry: bytes
    basis: CausalContext | None

    def to_wire(self) -> list[object]:
        """Return the item as `LeafReply.entries` and `GiveEntries.entries` have it."""
        plain: list[object] = [self.storage_key, self.entry]
        return plain if self.basis is None else [*plain, self.basis.to_wire()]

    @classmethod
    def from_wire(cls, item: object) -> "Item":
        """Parse an item.

        Raises:
            ProtocolError: it is malformed.
        """
        match item:
            case [bytes() as storage_key, bytes() as entry]:
                return cls(storage_key, entry, None)
            case [bytes() as storage_key, bytes() as entry, basis]:
                return cls(storage_key, entry, parsed(CausalContext.from_wire, basis))
        raise ProtocolError("an item is [storage key, entry], and the basis of a part")


class _Known(NamedTuple):
    """The version of a key on the other side; `seen` is the context of a large entry."""

    digest: bytes
    seen: CausalContext | None


class TreeComparison:
    """The roots, digests and entries of one node."""

    def __init__(self, kernel: Kernel, replica: Replica, store: Store, keys: KeyCheck, forest: MerkleForest) -> None:
        self._cluster = kernel.cluster
        self._replica = replica
        self._store = store
        self.keys = keys
        self.forest = forest

    @property
    def is_durable(self) -> bool:
        """Whether everything that an answer may contain is durable."""
        return not self._replica.commits.has_undurable

    def roots_reply(self, request: RootsRequest, trees_max: int) -> RootsReply:
        """Return the leaves of up to `trees_max` trees that differ, and the partitions that were not compared.

        Raises:
            ProtocolError: there is not one root per partition.
        """
        if len(request.roots) != len(request.partitions) * DIGEST_BYTES:
            raise ProtocolError("a root has 16 bytes")
        trees: list[object] = []
        left: list[object] = []
        unheld: list[object] = []
        for number, partition in enumerate(request.partitions):
            if type(partition) is not int or not self._holds(partition):
                unheld.append(partition)
                continue
            tree = self.forest.tree(partition)
            if tree is None:
                left.append(partition)
            elif tree.root_bytes != request.roots[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]:
                if len(trees) < trees_max:
                    trees.append([partition, tree.leaf_bytes()])
                else:
                    left.append(partition)
        return RootsReply(request.id, trees, left, unheld)

    def leaf_reply(self, request: LeafRequest, entry_bytes_max: int) -> LeafReply:
        """Return the entries that the other node lacks, and the keys that this node wants.

        An entry above `entry_bytes_max` is left out.

        Raises:
            ProtocolError: the digests are malformed, or there is no such leaf.
        """
        theirs = _parsed_digests(request.digests)
        if request.partition >= self.forest.partitions or not request.first <= request.last < LEAVES:
            raise ProtocolError(f"no leaves {request.first} to {request.last} in partition {request.partition}")
        leaves = range(request.first, request.last + 1)
        mine, end = self._rows(request.partition, leaves, request.after, request.end)
        held: dict[bytes, bytes] = {}
        entries: list[object] = []
        size = 0
        is_whole_reply = end is None or end == request.end
        for storage_key, entry in mine:
            digest = held[storage_key] = digest_of(storage_key, entry)
            known = theirs.get(storage_key)
            if known is not None and known.digest == digest:
                continue
            missing = self._lacking(storage_key, entry, known)
            if missing is None:
                continue
            if len(missing.entry) <= entry_bytes_max and (not entries or size + len(missing.entry) <= REPLY_BYTES):
                entries.append(missing.to_wire())
                size += len(missing.entry)
            else:
                is_whole_reply = False
        wanted: list[object] = []
        if size <= REPLY_BYTES:
            wanted = [
                wish
                for storage_key, known in theirs.items()
                if held.get(storage_key) != known.digest and (wish := self._wish(storage_key, known)) is not None
            ]
        else:  # one large entry fills the answer
            is_whole_reply = False
        return LeafReply(request.id, request.partition, entries, wanted, is_whole_reply)

    def digests(self, partition: int, leaves: range, after: bytes) -> tuple[Digests, bytes | None, int]:
        """Return this node's digests of leaves after a storage key, and the last complete key (None: complete).

        The third item is the size of the entries in bytes.
        """
        found, end = self._rows(partition, leaves, after, None)
        digests: Digests = [
            [storage_key, digest_of(storage_key, entry), *self._seen(storage_key, entry)]
            for storage_key, entry in found
        ]
        return digests, end, sum([len(entry) for _, entry in found])

    def wished(self, wish: object) -> Item | None:
        """Return this node's entry of a wanted key, or the part that the other node lacks; None for no entry.

        Raises:
            ProtocolError: `wish` is malformed.
        """
        storage_key, seen = _parsed_wish(wish)
        part = self._replica.lacking(storage_key, seen) if seen is not None else None
        if part is not None:
            return Item(storage_key, part.to_bytes(), seen)
        encoded = self._replica.encoded(storage_key)
        return Item(storage_key, encoded, None) if encoded is not None else None

    def _holds(self, partition: int) -> bool:
        ring = self._cluster.ring
        return 0 <= partition < ring.partitions and self._cluster.node in ring.replicas_of(partition)

    def _seen(self, storage_key: bytes, encoded: bytes) -> list[object]:
        """Return the context that goes with a large entry's digest, so that the other node can send the difference."""
        entry = self._replica.entry(storage_key) if len(encoded) > self._replica.limits.whole_entry_bytes else None
        return [entry.context.to_wire()] if entry is not None else []

    def _lacking(self, storage_key: bytes, encoded: bytes, known: _Known | None) -> Item | None:
        """Return the part of an entry that the other node lacks: the whole, or a delta with its basis, or None."""
        entry = self._replica.entry(storage_key)
        if known is None or known.seen is None or entry is None or entry.context == known.seen:
            return Item(storage_key, encoded, None)
        if known.seen.descends(entry.context):
            return None
        part = self._replica.lacking(storage_key, known.seen)
        return Item(storage_key, encoded, None) if part is None else Item(storage_key, part.to_bytes(), known.seen)

    def _wish(self, storage_key: bytes, known: _Known) -> object:
        """Return the wish for an entry that the other node holds; None if this node has seen all of it, and more."""
        entry = self._replica.entry(storage_key)
        if known.seen is None or entry is None:
            return storage_key
        if entry.context != known.seen and entry.context.descends(known.seen):
            return None
        return [storage_key, entry.context.to_wire()]

    def _rows(
        self, partition: int, leaves: range, after: bytes, end: bytes | None
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        first, _ = leaf_range(partition, leaves[0], self.forest.partitions)
        _, next_leaf = leaf_range(partition, leaves[-1], self.forest.partitions)
        start, stop = rows.token_range(first, next_leaf)
        if after:
            start = max(start, rows.data_row(after) + b"\0")
        if end is not None:
            stop = min(stop, rows.data_row(end) + b"\0")
        # Up to `end` this node may hold a few rows or bytes more than the other one, which has chosen it.
        limit, limit_bytes = (ROWS_A_REQUEST, SCAN_BYTES) if end is None else (2 * ROWS_A_REQUEST, 2 * SCAN_BYTES)
        found = self._store.scan(start, stop, limit, limit_bytes)
        page = [(rows.storage_key_in(row), entry) for row, entry in found]
        return page, None if is_whole(found, limit, limit_bytes) else page[-1][0]


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
