"""`EntryCache`: recently used entries, as objects, which saves a disk read and parsing.

RocksDB caches blocks, but a lookup through its binding and the parsing of the result cost more than everything else a
replica does with a write (`benchmarks/core_path.py`). The only code that changes entries writes through the cache, so
it never holds an entry that the store does not. It is bounded by bytes; the entry that was put first is evicted first.
"""

from crdtkv.crdt.entry import Entry

#: The memory of an entry beyond its bytes: objects, dictionaries, the key.
OVERHEAD_BYTES = 1_000


class EntryCache:
    """Entries by storage key; `None` means that the store has no entry of the key."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: dict[bytes, Entry | None] = {}

    def __contains__(self, storage_key: bytes) -> bool:
        return storage_key in self._entries

    def __getitem__(self, storage_key: bytes) -> Entry | None:
        return self._entries[storage_key]

    def clear(self) -> None:
        """Drop all entries."""
        self._entries = {}
        self._bytes = 0

    def put(self, storage_key: bytes, entry: Entry | None) -> None:
        """Put the current entry of a key, or None."""
        if storage_key in self._entries:
            self._bytes -= _size(self._entries.pop(storage_key))
        self._entries[storage_key] = entry
        self._bytes += _size(entry)
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self._bytes -= _size(self._entries.pop(oldest))


def _size(entry: Entry | None) -> int:
    return OVERHEAD_BYTES + (entry.size if entry is not None else 0)
