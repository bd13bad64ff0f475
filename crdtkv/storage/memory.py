"""The store in memory, with a disk's crash semantics; the simulator's disk.

Committed batches wait in `_unsynced` until a `sync`; `crash` drops a suffix of them, as a power loss does.
"""

from bisect import bisect_left, insort

from crdtkv.storage.store import SCAN_BYTES, Row

Batch = dict[bytes, bytes | None]


class MemoryStore:
    """A `Store` whose `crash` loses what a disk would lose."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []
        self._durable: dict[bytes, bytes] = {}
        self._unsynced: list[Batch] = []
        self._buffer: Batch = {}
        self.commits = 0

    def get(self, row: bytes) -> bytes | None:
        """Return a value, buffered or committed, None if there is none."""
        if row in self._buffer:
            return self._buffer[row]
        return self._rows.get(row)

    def scan(self, start: bytes, stop: bytes, limit: int, limit_bytes: int = SCAN_BYTES) -> list[Row]:
        """Return rows with `start <= row < stop` in order, up to one of the limits, buffered writes included."""
        names = set(self._between(start, stop))
        names.update(row for row in self._buffer if start <= row < stop)
        found: list[Row] = []
        size = 0
        for row in sorted(names):
            value = self.get(row)
            if value is not None:
                found.append((row, value))
                size += len(value)
                if len(found) == limit or size >= limit_bytes:
                    break
        return found

    def put(self, row: bytes, value: bytes) -> None:
        """Buffer a write."""
        self._buffer[row] = value

    def delete(self, row: bytes) -> None:
        """Buffer a deletion."""
        self._buffer[row] = None

    @property
    def has_writes(self) -> bool:
        """Whether any write is buffered."""
        return bool(self._buffer)

    def commit(self) -> None:
        """Write the buffer as one atomic batch, not durable yet."""
        if not self._buffer:
            return
        self._apply(self._buffer)
        self._unsynced.append(self._buffer)
        self._buffer = {}
        self.commits += 1

    def sync(self) -> None:
        """Make all commits so far durable."""
        self.sync_to(self.commits)

    def sync_to(self, commit: int) -> None:
        """Make the commits up to number `commit` durable, as a sync that began after it would."""
        first_unsynced = self.commits - len(self._unsynced)
        for batch in self._unsynced[: max(0, commit - first_unsynced)]:
            _write(self._durable, batch)
        del self._unsynced[: max(0, commit - first_unsynced)]

    def crash(self, survivors: int = 0) -> int:
        """Lose the buffer and all unsynced commits but the first `survivors`; return the number of lost commits."""
        self._buffer = {}
        kept, lost = self._unsynced[:survivors], self._unsynced[survivors:]
        for batch in kept:
            _write(self._durable, batch)
        self._unsynced = []
        self._rows = dict(self._durable)
        self._sorted = sorted(self._rows)
        return len(lost)

    @property
    def unsynced(self) -> int:
        """The number of commits that a crash could lose."""
        return len(self._unsynced)

    def close(self) -> None:
        """Drop buffered writes."""
        self._buffer = {}

    def _between(self, start: bytes, stop: bytes) -> list[bytes]:
        """Return the committed rows of a range, sorted."""
        return self._sorted[bisect_left(self._sorted, start) : bisect_left(self._sorted, stop)]

    def _apply(self, batch: Batch) -> None:
        for row, value in batch.items():
            if value is None:
                if self._rows.pop(row, None) is not None:
                    del self._sorted[bisect_left(self._sorted, row)]
            else:
                if row not in self._rows:
                    insort(self._sorted, row)
                self._rows[row] = value


def _write(rows: dict[bytes, bytes], batch: Batch) -> None:
    for row, value in batch.items():
        if value is None:
            rows.pop(row, None)
        else:
            rows[row] = value
