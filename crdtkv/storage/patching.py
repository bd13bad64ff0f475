"""`PatchingStore`: a store in which a small change of a large entry is a small write.

A large entry has a *base* row with its bytes as they once were, and numbered *patches* (`patch_format`), one for each
write since. A reader sees one value, exactly the bytes that were written last: only this class handles patches, and its
callers get and scan as in any store. When the patches are as large as the base, or as many as a read should have to
apply, the next write makes a new base and drops them, in the same commit. So a change writes about its own size, and
the disk holds at most about twice the value.

Invariants: base and patches change only here. Patches are written in the order of their numbers, each in the commit it
belongs to, so a crash, which leaves a prefix of the commits, leaves a complete earlier value. A base row begins with a
mark that no entry begins with and a digest of its bytes, and each patch with that digest: a patch of another base is
damage, never applied. Rows without the mark are plain entries: small ones, and all that earlier versions wrote.

The content on disk is known in pieces, which it shares with the entries in memory, only for entries that were written
here lately. Any other entry gets a new base first.
"""

from collections.abc import Sequence

from crdtkv.errors import DamagedStore
from crdtkv.hashing import digest_of
from crdtkv.storage import patch_format, rows
from crdtkv.storage.store import SCAN_BYTES, Row, Store, is_whole

#: The first byte of a base row; an entry is a CBOR array and never begins with it.
MARK = b"\0"
TAG_BYTES = 8
_HEAD_BYTES = len(MARK) + TAG_BYTES

PATCHES_MAX = 256
#: The most bytes of entries on disk that are kept in memory in pieces.
KNOWN_BYTES = 64 * 1024 * 1024
_UNLIMITED = 1 << 62


class _OnDisk:
    """The value that a base and its patches represent, and the number and size of the patches."""

    __slots__ = ("base_bytes", "count", "patch_bytes", "pieces", "size", "tag")

    def __init__(self, tag: bytes, pieces: Sequence[bytes], size: int) -> None:
        self.tag = tag
        self.pieces = pieces
        self.size = self.base_bytes = size
        self.count = 0
        self.patch_bytes = 0


class PatchingStore:
    """A `Store` on top of another one; entries of more than `large_bytes` are patched."""

    def __init__(self, store: Store, large_bytes: int) -> None:
        self._store = store
        self._large_bytes = large_bytes
        self._known: dict[bytes, _OnDisk] = {}
        self._known_bytes = 0

    def put_entry(self, storage_key: bytes, pieces: Sequence[bytes], size: int, was_large: bool) -> None:
        """Buffer a write of an entry, given in pieces of `size` bytes together.

        `was_large` says whether there may be patches of the entry it replaces.
        """
        known = self._forget(storage_key)
        row = rows.data_row(storage_key)
        if size <= self._large_bytes:
            if known is not None or was_large:
                self._drop_patches(storage_key)
            self._store.put(row, b"".join(pieces))
            return
        if known is None or not self._patch(storage_key, known, pieces, size):
            known = self._write_base(storage_key, b"".join(pieces), pieces)
        self._known[storage_key] = known
        self._known_bytes += size
        while self._known_bytes > KNOWN_BYTES:
            self._forget(next(iter(self._known)))

    def forget_known(self) -> None:
        """Drop the cached content of the disk."""
        self._known = {}
        self._known_bytes = 0

    def get(self, row: bytes) -> bytes | None:
        """Return a value, buffered or committed, None if there is none."""
        value = self._store.get(row)
        return value if value is None or value[:1] != MARK else self._whole(row, value)

    def scan(self, start: bytes, stop: bytes, limit: int, limit_bytes: int = SCAN_BYTES) -> list[Row]:
        """Return rows with `start <= row < stop` in order, up to one of the limits, buffered writes included."""
        found: list[Row] = []
        size = 0
        while True:
            wanted = limit - len(found)
            raw = self._store.scan(start, stop, wanted, limit_bytes)
            for row, value in raw:
                whole = self._whole(row, value)
                found.append((row, whole))
                size += len(whole)
                if size >= limit_bytes:
                    return found
            # The inner scan may have stopped at its byte limit before this one has reached its own.
            if is_whole(raw, wanted, limit_bytes) or len(found) == limit:
                return found
            start = raw[-1][0] + b"\0"

    def put(self, row: bytes, value: bytes) -> None:
        """Buffer a write; for entries use `put_entry`."""
        self._store.put(row, value)

    def delete(self, row: bytes) -> None:
        """Buffer a deletion; for an entry, also of its patches."""
        if rows.is_data(row):
            storage_key = rows.storage_key_in(row)
            self._forget(storage_key)
            self._drop_patches(storage_key)
        self._store.delete(row)

    @property
    def has_writes(self) -> bool:
        """Whether any write is buffered."""
        return self._store.has_writes

    def commit(self) -> None:
        """Write the buffer as one atomic batch, not durable yet."""
        self._store.commit()

    def sync(self) -> None:
        """Make all commits so far durable."""
        self._store.sync()

    def close(self) -> None:
        """Release the disk; buffered writes are dropped."""
        self._store.close()

    def _patch(self, storage_key: bytes, known: _OnDisk, pieces: Sequence[bytes], size: int) -> bool:
        """Write the patch from the value on disk to this one; return False if a new base is due."""
        if known.count == PATCHES_MAX:
            return False
        patch = patch_format.encoded(patch_format.differences(known.pieces, pieces), known.size, size)
        known.patch_bytes += len(patch)
        if known.patch_bytes > known.base_bytes:
            return False
        known.count += 1
        known.pieces, known.size = pieces, size
        self._store.put(rows.patch_row(storage_key, known.count), known.tag + patch)
        return True

    def _write_base(self, storage_key: bytes, entry: bytes, pieces: Sequence[bytes]) -> _OnDisk:
        self._drop_patches(storage_key)
        tag = digest_of(storage_key, entry)[:TAG_BYTES]
        self._store.put(rows.data_row(storage_key), MARK + tag + entry)
        return _OnDisk(tag, pieces, len(entry))

    def _whole(self, row: bytes, value: bytes) -> bytes:
        """Return the value of a row, with its patches applied.

        Raises:
            DamagedStore: a patch is missing, or belongs to another base.
        """
        if not rows.is_data(row) or value[:1] != MARK:
            return value
        storage_key, tag = rows.storage_key_in(row), value[len(MARK) : _HEAD_BYTES]
        written = self._patches_of(storage_key)
        if not written:
            return value[_HEAD_BYTES:]
        whole = bytearray(value[_HEAD_BYTES:])
        for number, (patch_row, patch) in enumerate(written, 1):
            if patch_row != rows.patch_row(storage_key, number) or patch[:TAG_BYTES] != tag:
                raise DamagedStore("a patch of a stored entry is missing, or belongs to another one")
            patch_format.apply(whole, patch[TAG_BYTES:])
        return bytes(whole)

    def _patches_of(self, storage_key: bytes) -> list[Row]:
        return self._store.scan(*rows.patches_of(storage_key), PATCHES_MAX + 1, _UNLIMITED)

    def _drop_patches(self, storage_key: bytes) -> None:
        for row, _ in self._patches_of(storage_key):
            self._store.delete(row)

    def _forget(self, storage_key: bytes) -> _OnDisk | None:
        known = self._known.pop(storage_key, None)
        if known is not None:
            self._known_bytes -= known.size
        return known
