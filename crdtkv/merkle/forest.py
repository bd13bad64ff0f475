"""`MerkleForest`: one tree per partition, updated by every write, compared by exchanging a few numbers.

A tree has two levels below its root: `LEAVES` leaves, chosen by the token bits after those of the partition, and in
each leaf its entries. A leaf is the xor of the digests of its entries, the root the xor of the leaves. Xor can be
undone, so a write costs two digests and never a scan; and it does not depend on order, so equal entries give equal
trees.

A tree is useful only if it covers all stored entries. After a start there are no trees: a tree is *built* by scanning
its partition in pieces, in key order. Writes during the scan are added at once if the scan has passed them, otherwise
by the scan itself. Each tree is built again from time to time, beside the one in use. If the two differ, the disk does
not hold what was written, and the new tree replaces the old one.

The digest of a large entry costs more than a small change of it. So for large entries only the key is noted, with the
digest that the tree contains, and the new digest is computed when the tree is read: once for all changes since.

The tree is flat on purpose: two levels of 256 compare 65,536 leaves at 256 partitions, some 15 entries each at a
million keys, and the roots of all partitions that two nodes share fit into one message.

Source: DeCandia et al., "Dynamo" (2007), section 4.7; Merkle (1988).
"""

from collections.abc import Callable

from crdtkv.hashing import DIGEST_BYTES, entry_digest
from crdtkv.ring.token import TOKEN_BITS, TOKEN_BYTES, partition_start

LEAF_BITS = 8
LEAVES = 1 << LEAF_BITS
#: The most changed large entries of a partition whose digests are not computed yet.
PENDING_MAX = 64


class MerkleTree:
    """The leaves of one partition."""

    __slots__ = ("leaves", "root")

    def __init__(self) -> None:
        self.root = 0
        self.leaves = [0] * LEAVES

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MerkleTree) and self.leaves == other.leaves

    __hash__ = None  # type: ignore[assignment]

    @property
    def root_bytes(self) -> bytes:
        """The root, 16 bytes."""
        return self.root.to_bytes(DIGEST_BYTES, "big")

    def leaf_bytes(self) -> bytes:
        """Return all leaves, 16 bytes each."""
        return b"".join(leaf.to_bytes(DIGEST_BYTES, "big") for leaf in self.leaves)

    def differing(self, leaf_bytes: bytes) -> list[int]:
        """Return the numbers of the leaves that differ from those of another tree."""
        theirs = [leaf_bytes[at : at + DIGEST_BYTES] for at in range(0, len(leaf_bytes), DIGEST_BYTES)]
        return [n for n, leaf in enumerate(self.leaves) if leaf.to_bytes(DIGEST_BYTES, "big") != theirs[n]]

    def toggle(self, leaf: int, digest: int) -> None:
        """Add the digest of an entry, or remove it."""
        self.leaves[leaf] ^= digest
        self.root ^= digest


class _Building:
    """A tree in progress; its scan has read up to `cursor`, a storage key."""

    __slots__ = ("cursor", "tree")

    def __init__(self) -> None:
        self.cursor = b""
        self.tree = MerkleTree()


class MerkleForest:
    """The trees of all partitions of a node.

    `read` returns the stored bytes of a key, None if there is no entry.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.read: Callable[[bytes], bytes | None] = _nothing
        #: By partition: the keys whose digest in the trees is outdated, and that digest.
        self._pending: dict[int, dict[bytes, int]] = {}
        self._trees: dict[int, MerkleTree] = {}
        self._building: dict[int, _Building] = {}

    def tree(self, partition: int) -> MerkleTree | None:
        """Return a partition's tree, None until it is built."""
        self._take_digests(partition)
        return self._trees.get(partition)

    def is_built(self, partition: int) -> bool:
        """Return whether a partition has a tree."""
        return partition in self._trees

    def changed(self, token: int, storage_key: bytes, before: int, after: int) -> None:
        """Update the trees after an entry was written or dropped, by the digests before and after; 0 for none."""
        partition = token * self.partitions >> TOKEN_BITS
        tree = self._trees.get(partition)
        if not self._building and not self._pending:
            if tree is not None:
                tree.toggle(leaf_of(token, self.partitions), before ^ after)
            return
        if tree is None and partition not in self._building:
            return
        pending = self._pending.get(partition)
        known = pending.pop(storage_key, None) if pending else None
        self._replace(partition, storage_key, (before if known is None else known) ^ after)

    def changed_largely(self, token: int, storage_key: bytes, before: Callable[[], bytes | None]) -> None:
        """Note that a large entry was written; `before` returns the earlier bytes, None if there were none.

        `before` is called at most once, and must be called before the store has changed.
        """
        partition = token * self.partitions >> TOKEN_BITS
        if partition not in self._trees and partition not in self._building:
            return
        pending = self._pending.get(partition, {})
        if storage_key in pending:
            return
        if len(pending) == PENDING_MAX:
            self._take_digests(partition)  # for the other keys; the new entry of this one is not stored yet
        self._pending.setdefault(partition, {})[storage_key] = _digest(storage_key, before())

    def begin(self, partition: int) -> None:
        """Begin to build a tree, from the partition's first key on."""
        self._take_digests(partition)
        self._building[partition] = _Building()

    def scanned(self, partition: int, found: list[tuple[bytes, bytes]], end: bytes | None) -> bool | None:
        """Add the next piece of a scan, `(storage key, entry)` as stored now, complete up to `end` (None: the end).

        Return None while the scan continues. At its end the new tree replaces the old one, and the result is whether
        the two are equal (True if there was none).
        """
        self._take_digests(partition)
        building = self._building[partition]
        for storage_key, entry in found:
            token = int.from_bytes(storage_key[:TOKEN_BYTES], "big")
            building.tree.toggle(leaf_of(token, self.partitions), entry_digest(storage_key, entry))
        if end is not None:
            building.cursor = end
            return None
        del self._building[partition]
        before = self._trees.get(partition)
        self._trees[partition] = building.tree
        return before is None or before == building.tree

    def forget(self, partition: int) -> None:
        """Drop the trees of a partition that this node does not hold any more."""
        self._trees.pop(partition, None)
        self._building.pop(partition, None)
        self._pending.pop(partition, None)

    def _take_digests(self, partition: int) -> None:
        """Compute the digests of changed large entries, and update a partition's trees."""
        pending = self._pending.pop(partition, None)
        for storage_key, known in pending.items() if pending else ():
            self._replace(partition, storage_key, known ^ _digest(storage_key, self.read(storage_key)))

    def _replace(self, partition: int, storage_key: bytes, difference: int) -> None:
        leaf = leaf_of(int.from_bytes(storage_key[:TOKEN_BYTES], "big"), self.partitions)
        tree, building = self._trees.get(partition), self._building.get(partition)
        if tree is not None:
            tree.toggle(leaf, difference)
        # The scan itself will add entries after its cursor.
        if building is not None and storage_key <= building.cursor:
            building.tree.toggle(leaf, difference)


def _nothing(_: bytes) -> bytes | None:
    return None


def _digest(storage_key: bytes, entry: bytes | None) -> int:
    return entry_digest(storage_key, entry) if entry is not None else 0


def leaf_of(token: int, partitions: int) -> int:
    """Return the leaf of a token within its partition."""
    return (token * partitions * LEAVES >> TOKEN_BITS) & (LEAVES - 1)


def leaf_range(partition: int, leaf: int, partitions: int) -> tuple[int, int]:
    """Return the first token of a leaf and the first one after it."""
    first = partition * LEAVES + leaf
    return partition_start(first, partitions * LEAVES), partition_start(first + 1, partitions * LEAVES)
