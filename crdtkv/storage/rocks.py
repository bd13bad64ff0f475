"""The store on RocksDB; the only module that imports rocksdict.

Rules that follow from measurements (each is pinned by a test in `tests/contract/test_rocks_traps.py`):
- A batch is written unsynced on the loop, then `flush_wal(True)` in a worker thread makes it durable: rocksdict's
  `write` holds the GIL, also while it waits for the disk, `flush_wal` does not.
- Scans use the raw iterator and check its `status()` at the end: the convenient iterators stop silently at damage.
- Only an upper bound is ever set on an iterator: rocksdict's lower bound sets the upper one.
- WAL recovery tolerates a torn tail only. Damage in the middle refuses to open instead of dropping the following
  records.
- Only an error that RocksDB calls "Corruption" is damage, and not if its reason is that the file could not be read: too
  many open files, a full disk and a held lock are no damage.
- It opens at most `OPEN_FILES_MAX` tables at a time; by default it would open all of them.
"""

from collections.abc import Iterator
from pathlib import Path

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from crdtkv.errors import DamagedStore, StorageError
from crdtkv.storage.store import SCAN_BYTES, Row

OPEN_FILES_MAX = 256
#: Further files: the log, the manifest, locks, and tables that are being written.
OTHER_FILES = 32

_MIB = 1024 * 1024
_NOT_DAMAGE = (
    "Too many open files", "No space left", "Disk quota exceeded", "Cannot allocate memory", "Permission denied",
    "Operation not permitted", "Read-only file system", "Resource temporarily unavailable", "Interrupted system call",
)  # fmt: skip


class RocksStore:
    """A `Store` in a directory of its own."""

    def __init__(self, directory: Path, block_cache_mib: int = 64, write_buffer_mib: int = 32) -> None:
        """Open the store, creating it if there is none.

        Raises:
            DamagedStore: it holds a damaged database, or another kind of database.
            StorageError: the directory is unwritable, in use, or cannot be read; that says nothing about damage.
        """
        self.directory = directory
        self._buffer: dict[bytes, bytes | None] = {}
        try:
            _check_writable(directory)
        except OSError as error:
            raise StorageError(
                f"{directory}: not writable ({error.strerror}): choose another --data directory"
            ) from None
        try:
            self._db = Rdict(
                str(directory), _options(block_cache_mib, write_buffer_mib), access_type=AccessType.read_write()
            )
        except Exception as error:
            raise _opening_failed(directory, error) from None
        self._unsynced = WriteOptions()

    def get(self, row: bytes) -> bytes | None:
        """Return a value, buffered or committed, None if there is none."""
        if row in self._buffer:
            return self._buffer[row]
        try:
            return self._db.get(row)
        except Exception as error:
            raise _reading_failed(f"{self.directory}: reading failed", error) from None

    def scan(self, start: bytes, stop: bytes, limit: int, limit_bytes: int = SCAN_BYTES) -> list[Row]:
        """Return rows with `start <= row < stop` in order, up to one of the limits, buffered writes included."""
        buffered = {row: value for row, value in self._buffer.items() if start <= row < stop}
        found: list[Row] = []
        size = 0
        for row, value in _overlaid(self._scan_disk(start, stop), sorted(buffered.items())):
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
        batch = WriteBatch(raw_mode=True)
        for row, value in self._buffer.items():
            if value is None:
                batch.delete(row)
            else:
                batch.put(row, value)
        try:
            self._db.write(batch, self._unsynced)
        except Exception as error:
            raise StorageError(f"{self.directory}: writing failed: {error}") from None
        self._buffer = {}

    def sync(self) -> None:
        """Make all commits so far durable."""
        try:
            self._db.flush_wal(True)
        except Exception as error:
            raise StorageError(f"{self.directory}: fsync failed: {error}") from None

    def close(self) -> None:
        """Release the disk; buffered writes are dropped."""
        self._buffer = {}
        self._db.close()

    def figures(self) -> dict[str, int]:
        """Return sizes and counts for metrics: bytes on disk, estimated rows, memtable and cache bytes."""
        names = {
            "sst_bytes": "rocksdb.total-sst-files-size",
            "estimated_rows": "rocksdb.estimate-num-keys",
            "memtable_bytes": "rocksdb.cur-size-all-mem-tables",
            "block_cache_bytes": "rocksdb.block-cache-usage",
            "pending_compaction_bytes": "rocksdb.estimate-pending-compaction-bytes",
        }
        return {name: self._db.property_int_value(rocks_name) or 0 for name, rocks_name in names.items()}

    def _scan_disk(self, start: bytes, stop: bytes) -> Iterator[Row]:
        """Yield the rows on disk.

        Raises:
            StorageError: the scan is incomplete; `DamagedStore` if the reason is damage.
        """
        options = ReadOptions()
        options.set_iterate_upper_bound(stop)
        try:
            iterator = self._db.iter(options)
            iterator.seek(start)
            while iterator.valid():
                yield iterator.key(), iterator.value()
                iterator.next()
            iterator.status()
        except Exception as error:
            raise _reading_failed(f"{self.directory}: a scan is incomplete", error) from None


def _overlaid(disk: Iterator[Row], buffered: list[tuple[bytes, bytes | None]]) -> Iterator[Row]:
    """Merge two sorted sequences; a buffered row hides the one on disk, and a buffered None is a deletion."""
    waiting = iter(buffered)
    pending = next(waiting, None)
    for row, value in disk:
        while pending is not None and pending[0] < row:
            if pending[1] is not None:
                yield pending[0], pending[1]
            pending = next(waiting, None)
        if pending is not None and pending[0] == row:
            continue
        yield row, value
    while pending is not None:
        if pending[1] is not None:
            yield pending[0], pending[1]
        pending = next(waiting, None)


def _options(block_cache_mib: int, write_buffer_mib: int) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_write_buffer_size(write_buffer_mib * _MIB)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_bottommost_compression_type(DBCompressionType.zstd())
    options.set_keep_log_file_num(3)
    options.set_max_open_files(OPEN_FILES_MAX)
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, False)
    blocks.set_block_cache(Cache(block_cache_mib * _MIB))
    options.set_block_based_table_factory(blocks)
    return options


def _check_writable(directory: Path) -> None:
    """Create the directory, for its owner only, then write and remove a small file: permissions are not enough."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / ".writable"
    path.write_bytes(b"")
    path.unlink()


def _is_damage(text: str) -> bool:
    return text.startswith("Corruption") and not any(reason in text for reason in _NOT_DAMAGE)


def _reading_failed(what: str, error: Exception) -> StorageError:
    text = _in_one_line(error)
    return (DamagedStore if _is_damage(text) else StorageError)(f"{what}: {text}")


def _opening_failed(directory: Path, error: Exception) -> StorageError:
    text = _in_one_line(error)
    if "Too many open files" in text:
        return StorageError(
            f"{directory}: the process may not open more files: raise its limit (`ulimit -n`, LimitNOFILE=), or lower "
            "limits.connections_max"
        )
    if "hold by current process" in text or ("lock file" in text.lower() and "temporarily unavailable" in text):
        return StorageError(f"{directory}: in use by another process: stop that node first")
    if _is_damage(text):
        return DamagedStore(
            f"{directory}: the database is damaged or not a database ({text}): move the directory away, and keep it "
            "until the node has been filled again from its peers"
        )
    return StorageError(
        f"{directory}: the database cannot be opened ({text}): nothing was changed: remove the cause, and start again"
    )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
