"""`Tombstones`: a note for every tombstone that a node stores, in the same commit as the tombstone itself.

An entry that expires completely becomes a tombstone by itself, so it has a note from the beginning.

A note contains the time from which this node held exactly these bytes, by its own wall clock; the time at which the
entry has expired; and the digest of the bytes. So the age of a tombstone, and whether two replicas hold the same one,
are known without reading entries, also after a restart. Invariant: a key has a note if and only if its stored entry is
a tombstone, or will become one, and the note is about that entry.

Notes are not kept in memory, because there may be as many as deleted keys. Readers read them in pages.
"""

from typing import NamedTuple

from crdtkv.hashing import DIGEST_BYTES, digest_of
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole

_LOAD_ROWS = 10_000
_TIME_BYTES = 8


class Noted(NamedTuple):
    """One note; `digest` is that of the tombstone's bytes.

    `over_ms` is when the entry has expired, 0 if it was a tombstone from the beginning.
    """

    noted_ms: int
    digest: bytes
    over_ms: int


class Tombstones:
    """The notes of one node."""

    def __init__(self, store: Store) -> None:
        """Count the stored notes."""
        self._store = store
        self._count = 0
        start, stop = rows.TOMBSTONE_RANGE
        while True:
            found = store.scan(start, stop, _LOAD_ROWS)
            self._count += len(found)
            if is_whole(found, _LOAD_ROWS):
                break
            start = found[-1][0] + b"\0"

    def __len__(self) -> int:
        return self._count

    def get(self, storage_key: bytes) -> Noted | None:
        """Return the note of a key, None if there is none."""
        value = self._store.get(rows.tombstone_row(storage_key))
        return _parse(value) if value is not None else None

    def note(self, storage_key: bytes, encoded: bytes, wall_ms: int, over_ms: int) -> None:
        """Write, in the store's current batch, the note of an entry that is a tombstone from `over_ms` on."""
        row = rows.tombstone_row(storage_key)
        if self._store.get(row) is None:
            self._count += 1
        self._store.put(row, _encoded(Noted(wall_ms, digest_of(storage_key, encoded), over_ms)))

    def note_again(self, storage_key: bytes, noted: Noted, wall_ms: int) -> None:
        """Date a note from the future anew: the clock was wrong then, or is wrong now."""
        self._store.put(rows.tombstone_row(storage_key), _encoded(noted._replace(noted_ms=wall_ms)))

    def forget(self, storage_key: bytes) -> None:
        """Delete the note of a key, in the store's current batch, because its entry is no tombstone any more."""
        row = rows.tombstone_row(storage_key)
        if self._store.get(row) is not None:
            self._count -= 1
            self._store.delete(row)

    def behind(self, storage_key: bytes, limit: int) -> tuple[list[tuple[bytes, Noted]], bool]:
        """Return the next notes after a storage key, in key order, and whether these are the last."""
        start, stop = rows.TOMBSTONE_RANGE
        found = self._store.scan(rows.tombstone_row(storage_key) + b"\0" if storage_key else start, stop, limit)
        return [(rows.storage_key_in(row), _parse(value)) for row, value in found], is_whole(found, limit)


def _encoded(noted: Noted) -> bytes:
    return noted.noted_ms.to_bytes(_TIME_BYTES, "big") + noted.digest + noted.over_ms.to_bytes(_TIME_BYTES, "big")


def _parse(value: bytes) -> Noted:
    digest_end = _TIME_BYTES + DIGEST_BYTES
    noted_ms, over_ms = value[:_TIME_BYTES], value[digest_end:]
    return Noted(int.from_bytes(noted_ms, "big"), value[_TIME_BYTES:digest_end], int.from_bytes(over_ms, "big"))
