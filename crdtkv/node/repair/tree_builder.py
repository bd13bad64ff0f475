"""`TreeBuilder`: builds the Merkle trees of a node's partitions by scanning its disk.

After a start there are no trees: all are built, a piece at a time, so that no step takes long. Then one partition after
the other is built again, every `rebuild_s`, to verify that the tree in use matches the disk.
"""

from collections.abc import Callable

from crdtkv.merkle.forest import MerkleForest
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole

#: One step scans at most this many rows, and this many partitions; then a pause follows.
BUILD_ROWS = 500
BUILD_PARTITIONS = 64
BUILD_PAUSE_S = 0.01


class TreeBuilder:
    """Builds the trees of one node; `due_at` is when it continues, monotonic seconds.

    `forget_cached` is called when the disk does not hold the entries that were written to it.
    """

    def __init__(
        self, kernel: Kernel, store: Store, forest: MerkleForest, rebuild_s: float, forget_cached: Callable[[], None]
    ) -> None:
        self._step = kernel.step
        self._store = store
        self._forest = forest
        self._rebuild_s = rebuild_s
        self._forget_cached = forget_cached
        self._own: list[int] = []
        self._to_build: list[int] = []
        self._cursors: dict[int, bytes] = {}
        self._last_rebuilt = -1
        self.due_at = kernel.step.now.monotonic_s

    def follow(self, own: list[int]) -> None:
        """Take the partitions of this node from now on."""
        before, self._own = self._own, own
        staying = frozenset(own)
        for partition in before:
            if partition not in staying:
                self._forest.forget(partition)
        self._to_build = [partition for partition in own if not self._forest.is_built(partition)]
        self._cursors = {}

    def build(self) -> None:
        """Scan the next rows."""
        if not self._to_build and self._own:
            # All are built: build one of them again, to verify that it matches the disk.
            self._last_rebuilt = next((p for p in self._own if p > self._last_rebuilt), self._own[0])
            self._to_build.append(self._last_rebuilt)
        left = BUILD_ROWS
        for _ in range(BUILD_PARTITIONS):
            if not self._to_build or left <= 0:
                break
            left -= self._build_some(self._to_build[0], left)
        self.due_at = self._step.now.monotonic_s + (BUILD_PAUSE_S if self._to_build else self._rebuild_s)

    def _build_some(self, partition: int, limit: int) -> int:
        """Scan the next piece of a partition; return the number of rows."""
        start, stop = rows.partition_range(partition, self._forest.partitions)
        cursor = self._cursors.get(partition)
        if cursor is None:
            self._forest.begin(partition)
        else:
            start = rows.data_row(cursor) + b"\0"
        found = self._store.scan(start, stop, limit)
        page = [(rows.storage_key_in(row), entry) for row, entry in found]
        end = None if is_whole(found, limit) else page[-1][0]
        is_equal = self._forest.scanned(partition, page, end)
        if end is not None:
            self._cursors[partition] = end
            return len(found)
        self._to_build.pop(0)
        self._cursors.pop(partition, None)
        if not is_equal:
            # The caches do not match the disk: drop them, so that entries of peers are compared with the disk.
            self._forget_cached()
            self._step.stats.count("merkle_trees_corrected")
            self._step.effects.notes.append(f"the tree of partition {partition} did not match the disk: corrected")
        return len(found)
