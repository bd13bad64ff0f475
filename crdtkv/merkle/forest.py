"""`MerkleForest`: one tree a partition, kept up to date by every write, compared by exchanging a few numbers.

A tree has two levels below its root: `LEAVES` leaves, chosen by the token bits behind those of the partition, and in
each leaf its entries. A leaf is the xor of the digests of its entries, the root the xor of the leaves. Xor can be
undone, so a write costs two digests and never a scan; and it does not depend on order, so equal entries give equal
trees.

A tree is worth something only when it covers all that is stored. After a start nothing is known: a tree is *built* by
scanning its partition in pieces, in key order. Writes that happen meanwhile count at once if the scan has passed them,
else when it meets them. Trees are built again from time to time, beside the one in use: if the two differ, the disk
holds something else than what was written, and the tree of the disk holds.

The digest of a large entry costs more than a small change of it. So of large entries only the key is noted, with the
digest the trees have of it, and the new one is taken when a tree is asked for: once for all changes since.

Deliberately flat: two levels of 256 compare 65,536 leaves at 256 partitions, some 15 entries each at a million keys,
and the roots of all partitions two nodes share fit into one message.

Source: DeCandia et al., "Dynamo" (2007), section 4.7; Merkle (1987).
"""

from collections.abc import Callable

from crdtkv.hashing import DIGEST_BYTES, entry_digest
from crdtkv.ring.token import TOKEN_BITS, TOKEN_BYTES, partition_start

LEAF_BITS = 8
LEAVES = 1 << LEAF_BITS
#: Of so many changed entries of a partition the digests wait to be taken.
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
        """Return which leaves differ from those of another tree."""
        theirs = [leaf_bytes[at : at + DIGEST_BYTES] for at in range(0, len(leaf_bytes), DIGEST_BYTES)]
        return [n for n, leaf in enumerate(self.leaves) if leaf.to_bytes(DIGEST_BYTES, "big") != theirs[n]]

    def toggle(self, leaf: int, digest: int) -> None:
        """Put an entry in, or take it out."""
        self.leaves[leaf] ^= digest
        self.root ^= digest


class _Building:
    """A tree whose scan has come as far as `cursor`, a storage key."""

    __slots__ = ("cursor", "tree")

    def __init__(self) -> None:
        self.cursor = b""
        self.tree = MerkleTree()


class MerkleForest:
    """The trees of all partitions of a node.

    `read` returns the bytes of the entry that is stored under a key now, None if there is none.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.read: Callable[[bytes], bytes | None] = _nothing
        #: By partition, the keys of which the trees have another entry than is stored, and the digest they have.
        self._pending: dict[int, dict[bytes, int]] = {}
        self._trees: dict[int, MerkleTree] = {}
        self._building: dict[int, _Building] = {}

    def tree(self, partition: int) -> MerkleTree | None:
        """Return a partition's tree, None until it has been built."""
        self._take_digests(partition)
        return self._trees.get(partition)

    def is_built(self, partition: int) -> bool:
        """Tell whether a partition has a tree."""
        return partition in self._trees

    def changed(self, token: int, storage_key: bytes, before: int, after: int) -> None:
        """Note that an entry was written over another one, or that one was dropped, by their digests; 0 for none."""
        partition = token * self.partitions >> TOKEN_BITS
        if partition not in self._trees and partition not in self._building:
            return
        pending = self._pending.get(partition)
        known = pending.pop(storage_key, None) if pending else None
        self._replace(partition, storage_key, (before if known is None else known) ^ after)

    def changed_largely(self, token: int, storage_key: bytes, before: Callable[[], bytes | None]) -> None:
        """Note that something large was written over an entry, or over none; what it was is asked for at most once."""
        partition = token * self.partitions >> TOKEN_BITS
        if partition not in self._trees and partition not in self._building:
            return
        pending = self._pending.get(partition, {})
        if storage_key in pending:
            return
        if len(pending) == PENDING_MAX:
            self._take_digests(partition)  # of the others, for this one is not stored yet
        self._pending.setdefault(partition, {})[storage_key] = _digest(storage_key, before())

    def begin(self, partition: int) -> None:
        """Begin to build a tree, from the partition's first key on."""
        self._take_digests(partition)
        self._building[partition] = _Building()

    def scanned(self, partition: int, found: list[tuple[bytes, bytes]], end: bytes | None) -> bool | None:
        """Take the next piece of a scan, `(storage key, entry)` as stored now, complete up to `end` (None: the end).

        Returns None while the scan goes on; then the tree is in use, and the return value tells whether it equals
        the one that was in use before (True if there was none).
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
        """Drop a partition that is no longer this node's."""
        self._trees.pop(partition, None)
        self._building.pop(partition, None)
        self._pending.pop(partition, None)

    def _take_digests(self, partition: int) -> None:
        """Bring a partition's trees up to date with its large entries."""
        pending = self._pending.pop(partition, None)
        for storage_key, known in pending.items() if pending else ():
            self._replace(partition, storage_key, known ^ _digest(storage_key, self.read(storage_key)))

    def _replace(self, partition: int, storage_key: bytes, difference: int) -> None:
        leaf = leaf_of(int.from_bytes(storage_key[:TOKEN_BYTES], "big"), self.partitions)
        tree, building = self._trees.get(partition), self._building.get(partition)
        if tree is not None:
            tree.toggle(leaf, difference)
        # What the scan has not come to yet it will meet.
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
    """Return the first token of a leaf and the first one behind it."""
    first = partition * LEAVES + leaf
    return partition_start(first, partitions * LEAVES), partition_start(first + 1, partitions * LEAVES)
