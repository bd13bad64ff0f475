"""Merkle trees that are kept by xor: always what a scan of everything would give, however building and writing meet."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.hashing import DIGEST_BYTES, entry_digest
from crdtkv.merkle.forest import LEAVES, PENDING_MAX, MerkleForest, MerkleTree, leaf_of, leaf_range
from crdtkv.ring.token import partition_of, storage_key_of, token_of

PARTITIONS = 2
KEYS = [f"key-{number}".encode() for number in range(12)]


def digest(storage_key: bytes, entry: bytes | None) -> int:
    return entry_digest(storage_key, entry) if entry is not None else 0


class Node:
    """What is stored, and the forest that follows it."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.forest = MerkleForest(partitions)
        self.forest.read = self.stored.get
        self.cursors: dict[int, bytes] = {}

    def write(self, key: bytes, entry: bytes) -> None:
        at = storage_key_of(key)
        self.forest.changed(token_of(key), at, digest(at, self.stored.get(at)), digest(at, entry))
        self.stored[at] = entry

    def write_large(self, key: bytes, entry: bytes) -> None:
        at = storage_key_of(key)
        before = self.stored.get(at)
        self.forest.changed_largely(token_of(key), at, lambda: before)
        self.stored[at] = entry

    def drop(self, key: bytes) -> None:
        at = storage_key_of(key)
        if at in self.stored:
            self.forest.changed(token_of(key), at, digest(at, self.stored.pop(at)), 0)

    def scan(self, partition: int, limit: int) -> bool | None:
        """Take one step of building a partition's tree."""
        if partition not in self.cursors:
            self.forest.begin(partition)
            self.cursors[partition] = b""
        rows = [
            (at, entry)
            for at, entry in sorted(self.stored.items())
            if at > self.cursors[partition]
            and partition_of(int.from_bytes(at[:8], "big"), self.forest.partitions) == partition
        ]
        page = rows[:limit]
        end = page[-1][0] if len(page) == limit else None
        is_equal = self.forest.scanned(partition, page, end)
        if end is None:
            del self.cursors[partition]
        else:
            self.cursors[partition] = end
        return is_equal

    def build(self) -> list[MerkleTree | None]:
        for partition in range(self.forest.partitions):
            while self.scan(partition, 3) is None:
                pass
        return [self.forest.tree(partition) for partition in range(self.forest.partitions)]


def fresh(node: Node) -> list[MerkleTree | None]:
    """Return the trees that building from nothing gives now."""
    other = Node(node.forest.partitions)
    other.stored = dict(node.stored)
    return other.build()


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("write", "large")), st.sampled_from(KEYS), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("look"), st.integers(0, PARTITIONS - 1), st.none()),
        st.tuples(st.just("drop"), st.sampled_from(KEYS), st.none()),
        st.tuples(st.just("scan"), st.integers(0, PARTITIONS - 1), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(steps)
def test_however_writes_and_scans_meet_a_tree_in_use_is_what_building_anew_gives(steps: list[tuple]) -> None:
    node = Node()
    for kind, what, value in steps:
        if kind == "write":
            node.write(what, value)
        elif kind == "large":
            node.write_large(what, value)
        elif kind == "drop":
            node.drop(what)
        elif kind == "look":
            node.forest.tree(what)
        else:
            assert node.scan(what, value) is not False
    for partition, expected in enumerate(fresh(node)):
        tree = node.forest.tree(partition)
        assert tree is None or tree == expected
    assert node.build() == fresh(node)


@given(st.dictionaries(st.sampled_from(KEYS), st.binary(min_size=1, max_size=3)), st.permutations(KEYS))
def test_equal_entries_give_equal_trees_in_whatever_order_they_came(entries: dict, order: list) -> None:
    one, other = Node(), Node()
    one.build()
    other.build()
    for key, entry in entries.items():
        one.write(key, b"an older version")
        one.write(key, entry)
    for key in order:
        if key in entries:
            other.write(key, entries[key])
    for partition in range(PARTITIONS):
        assert one.forest.tree(partition) == other.forest.tree(partition)


def test_of_a_large_entry_only_the_first_and_the_last_of_many_changes_are_looked_at() -> None:
    node = Node(1)
    node.build()
    looked_at: list[str] = []
    stored = node.stored

    def read(at: bytes) -> bytes | None:
        looked_at.append("after")
        return stored.get(at)

    def before() -> bytes | None:
        looked_at.append("before")
        return None

    node.forest.read = read
    for number in range(10):
        node.forest.changed_largely(token_of(KEYS[0]), storage_key_of(KEYS[0]), before)
        stored[storage_key_of(KEYS[0])] = b"%d" % number
    assert looked_at == ["before"]
    assert node.forest.tree(0) == fresh(node)[0]
    assert looked_at == ["before", "after"]


def test_a_large_entry_that_a_scan_passes_after_it_was_written_counts_once() -> None:
    """Once for what the scan met; its digest was still to be taken for the tree in use."""
    node = Node(1)
    for key in KEYS:
        node.write(key, b"1")
    node.build()
    assert node.scan(0, 1) is None
    for key in KEYS:
        node.write_large(key, b"2")
    while node.scan(0, 3) is None:
        pass
    assert node.forest.tree(0) == fresh(node)[0]


def test_of_many_large_entries_the_digests_are_taken_before_they_are_too_many() -> None:
    node = Node(1)
    node.build()
    for number in range(PENDING_MAX + 1):
        node.write_large(b"key %d" % number, b"1")
    assert len(node.forest._pending[0]) == 1
    assert node.forest.tree(0) == fresh(node)[0]


def test_a_different_entry_shows_in_the_root_and_in_its_leaf_only() -> None:
    one, other = Node(1), Node(1)
    for node in (one, other):
        node.build()
        for key in KEYS:
            node.write(key, b"equal")
    other.write(KEYS[0], b"different")
    mine, theirs = one.forest.tree(0), other.forest.tree(0)
    assert mine is not None
    assert theirs is not None
    assert mine.root != theirs.root
    assert mine.differing(theirs.leaf_bytes()) == [leaf_of(token_of(KEYS[0]), 1)]
    assert len(mine.leaf_bytes()) == LEAVES * DIGEST_BYTES


def test_two_equal_changes_in_one_leaf_do_not_cancel_out() -> None:
    """Digests cover the key: the same bytes under two keys are two digests."""
    node = Node(1)
    node.build()
    node.write(b"one", b"same")
    node.write(b"two", b"same")
    tree = node.forest.tree(0)
    assert tree is not None
    assert tree.root != 0


def test_a_partition_has_no_tree_until_it_is_built_and_after_it_is_forgotten() -> None:
    node = Node(1)
    node.write(KEYS[0], b"1")
    assert node.forest.tree(0) is None
    node.build()
    assert node.forest.tree(0) is not None
    node.forest.forget(0)
    assert node.forest.tree(0) is None


def test_building_again_tells_when_the_disk_holds_something_else() -> None:
    node = Node(1)
    node.write(KEYS[0], b"1")
    assert node.scan(0, 100) is True
    assert node.scan(0, 100) is True
    node.stored[storage_key_of(KEYS[0])] = b"changed behind our back"
    assert node.scan(0, 100) is False
    assert node.forest.tree(0) == fresh(node)[0]


@given(st.integers(0, 2**64 - 1), st.sampled_from([1, 8, 256, 65_536]))
def test_a_token_lies_in_the_range_of_its_leaf(token: int, partitions: int) -> None:
    first, end = leaf_range(partition_of(token, partitions), leaf_of(token, partitions), partitions)
    assert first <= token < end


def test_the_leaves_of_a_partition_follow_each_other() -> None:
    ends = [leaf_range(3, leaf, 8) for leaf in range(LEAVES)]
    assert ends[0][0] == 3 << 61
    assert ends[-1][1] == 4 << 61
    assert all(one[1] == following[0] for one, following in pairwise(ends))
