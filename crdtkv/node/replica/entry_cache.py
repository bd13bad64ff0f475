"""`EntryCache`: recently used entries, as objects, which saves a disk read and parsing.

RocksDB caches blocks, but a lookup through its binding and the parsing of the result cost more than everything else a
replica does with a write (`benchmarks/core_path.py`). The only code that changes entries writes through the cache, so
it never holds an entry that the store does not. It is bounded by bytes; the entry that was put first is evicted first.
"""

from typing import TypeVar

from crdtkv.crdt.entry import Entry

T = TypeVar("T")

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

    def get(self, storage_key: bytes, default: T) -> Entry | T | None:
        """Return the entry of a key, None if the store has none, `default` if that is not known here."""
        return self._entries.get(storage_key, default)

    def clear(self) -> None:
        """Drop all entries."""
        self._entries = {}
        self._bytes = 0

    def put(self, storage_key: bytes, entry: Entry | None) -> None:
        """Put the current entry of a key, or None."""
        entries = self._entries
        if storage_key in entries:
            before = entries.pop(storage_key)
            self._bytes -= OVERHEAD_BYTES if before is None else OVERHEAD_BYTES + before.size
        entries[storage_key] = entry
        self._bytes += OVERHEAD_BYTES if entry is None else OVERHEAD_BYTES + entry.size
        while self._bytes > self._max_bytes:
            oldest = next(iter(entries))
            before = entries.pop(oldest)
            self._bytes -= OVERHEAD_BYTES if before is None else OVERHEAD_BYTES + before.size
