"""Recently used entries, as objects: a key that is written or read again needs neither the disk nor parsing.

RocksDB caches blocks, but a lookup through its binding and parsing what it returns cost more than everything else a
replica does with a write (`benchmarks/core_path.py`). The cache is written through by the only code that changes
entries, so it never holds anything the store does not. It is bounded by bytes; what came in first goes first.
"""

from crdtkv.crdt.entry import Entry

#: What an entry costs beyond its bytes: objects, dictionaries, the key.
OVERHEAD_BYTES = 1_000


class EntryCache:
    """Entries by storage key; `None` stands for a key that is known not to be stored."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: dict[bytes, Entry | None] = {}

    def __contains__(self, storage_key: bytes) -> bool:
        return storage_key in self._entries

    def __getitem__(self, storage_key: bytes) -> Entry | None:
        return self._entries[storage_key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries = {}
        self._bytes = 0

    def put(self, storage_key: bytes, entry: Entry | None) -> None:
        """Remember what is stored under a key now."""
        if storage_key in self._entries:
            self._bytes -= _size(self._entries.pop(storage_key))
        self._entries[storage_key] = entry
        self._bytes += _size(entry)
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self._bytes -= _size(self._entries.pop(oldest))


def _size(entry: Entry | None) -> int:
    return OVERHEAD_BYTES + (entry.size if entry is not None else 0)
