"""`Hints`: the hints that a node stores, durably, for home replicas that missed a write.

A hint is a row `(key, target)`. If this node is a home replica itself, the row is a mere *reference*: the target gets
this node's entry as it is when the target is back. A fallback replica has no entry of its own, so its row carries one;
later writes for the same target are merged into it. A row may also say that its write is *unsent*: no home replica took
part in it, so no node has put it into an outbox yet, and the first home replica that gets it must do that.

Invariant: a row is deleted only when its target has acknowledged, durably, the entry as the row has it now. Writes that
were merged into it during a delivery are delivered again.

Bound: above `rows_max` rows or `bytes_max` bytes a reference is dropped, and a durable mark says that the target needs
an anti-entropy session; an entry is refused, because it may be the only copy.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from crdtkv.crdt.entry import Entry
from crdtkv.errors import Overloaded
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole

_LOAD_ROWS = 10_000
_TARGETS_MAX = 64
#: The first byte of a row: what it holds.
REFERENCE, _ENTRY, _UNSENT = b"\0", b"\1", b"\2"


def _unwatched(storage_key: bytes) -> None:
    """Do nothing."""


class Hint(NamedTuple):
    """One row as it is delivered; `entry` is None for a reference, `version` shows whether the row has changed."""

    storage_key: bytes
    target: str
    entry: bytes | None
    is_unsent: bool
    version: int


class Waiting(NamedTuple):
    """The hints of one target: rows, their bytes, and when the oldest was stored, in the caller's seconds."""

    rows: int
    size_bytes: int
    since: float


class _Row:
    """The metadata of a row; the entry itself is on the disk."""

    __slots__ = ("kept_at", "size", "version")

    def __init__(self, kept_at: float, size: int, version: int) -> None:
        self.kept_at = kept_at
        self.size = size
        self.version = version


class Hints:
    """The hints of one node. Times are the caller's monotonic seconds."""

    def __init__(self, store: Store, rows_max: int, bytes_max: int, now: float) -> None:
        """Load the rows that survived."""
        self._store = store
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._of: dict[str, dict[bytes, _Row]] = {}
        self._count = 0
        self._bytes = 0
        self._versions = 0
        #: Called with the storage key of every hint, before it is stored.
        self.on_kept: Callable[[bytes], None] = _unwatched
        #: Per target that needs repair, the number of hints that were dropped for it.
        self._drops = {rows.marked_in(row): 1 for row, _ in self._scan(*rows.NEEDS_REPAIR_RANGE)}
        for row, value in self._scan(*rows.HINT_RANGE):
            storage_key, target = rows.hint_in(row)
            self._note(storage_key, target, len(value), now)

    def __len__(self) -> int:
        return self._count

    @property
    def targets(self) -> list[str]:
        """The nodes for which hints are stored, sorted."""
        return sorted(self._of)

    @property
    def needs_repair(self) -> bool:
        """Whether hints were dropped for any target."""
        return bool(self._drops)

    @property
    def needing_repair(self) -> list[str]:
        """The targets whose hints were dropped, sorted."""
        return sorted(self._drops)

    def drops(self, target: str) -> int:
        """Return how many hints of a target were dropped since its last repair; a restart resets the count to 1."""
        return self._drops.get(target, 0)

    def waiting_for(self, target: str) -> Waiting:
        """Return the size and age of the hints of a target, which must have some."""
        kept = self._of.get(target, {})
        return Waiting(len(kept), sum(row.size for row in kept.values()), min(row.kept_at for row in kept.values()))

    def has(self, storage_key: bytes) -> bool:
        """Return whether any hint for a key is stored."""
        return any(storage_key in kept for kept in self._of.values())

    def add_ref(self, storage_key: bytes, target: str, now: float) -> bool:
        """Store a hint by reference to this node's entry; return False if the target was marked instead."""
        self.on_kept(storage_key)
        earlier = self._of.get(target, {}).get(storage_key)
        if earlier is not None:
            self._changed(earlier)
            return True
        if self._is_full(1, 1):
            self._store.put(rows.needs_repair_row(target), b"")
            self._drops[target] = self.drops(target) + 1
            return False
        self._store.put(rows.hint_row(storage_key, target), REFERENCE)
        self._note(storage_key, target, 1, now)
        return True

    def store(self, storage_key: bytes, targets: Sequence[str], entry: Entry, is_unsent: bool, now: float) -> None:
        """Store an entry for some targets: for all of them or, if there is no room, for none.

        Raises:
            Overloaded: there are too many hints; nothing was stored.
        """
        self.on_kept(storage_key)
        contents = {target: self._joined(rows.hint_row(storage_key, target), entry, is_unsent) for target in targets}
        noted = {target: self._of.get(target, {}).get(storage_key) for target in targets}
        more_bytes = sum(len(contents[target]) - (row.size if row is not None else 0) for target, row in noted.items())
        if self._is_full(list(noted.values()).count(None), more_bytes):
            raise Overloaded("the node stores too many hints for nodes that are down: retry when they are back")
        for target, content in contents.items():
            self._store.put(rows.hint_row(storage_key, target), content)
            row = noted[target]
            if row is None:
                self._note(storage_key, target, len(content), now)
            else:
                self._bytes += len(content) - row.size
                row.size = len(content)
                self._changed(row)

    def held(self, storage_key: bytes) -> Entry | None:
        """Return the join of the entries in the hints of a key, over all targets; None if there are none."""
        merged: Entry | None = None
        for _, value in self._store.scan(*rows.hints_of(storage_key), _TARGETS_MAX):
            if value[:1] != REFERENCE:
                entry = Entry.from_bytes(value[1:])
                merged = entry if merged is None else merged.merge(entry)
        return merged

    def first(self, target: str, limit: int) -> list[Hint]:
        """Return the first `limit` hints of a target, in the order in which they were stored."""
        found: list[Hint] = []
        for storage_key, row in self._of.get(target, {}).items():
            if len(found) == limit:
                break
            value = self._store.get(rows.hint_row(storage_key, target))
            assert value is not None
            entry = None if value[:1] == REFERENCE else value[1:]
            found.append(Hint(storage_key, target, entry, value[:1] == _UNSENT, row.version))
        return found

    def delivered(self, hint: Hint) -> bool:
        """Delete a hint that its target has acknowledged, durably; return False if the row has changed meanwhile."""
        row = self._of.get(hint.target, {}).get(hint.storage_key)
        if row is None:
            return True
        if row.version != hint.version:
            return False
        self._store.delete(rows.hint_row(hint.storage_key, hint.target))
        self._count -= 1
        self._bytes -= row.size
        del self._of[hint.target][hint.storage_key]
        if not self._of[hint.target]:
            del self._of[hint.target]
        return True

    def repaired(self, target: str) -> None:
        """Remove the mark of a target that holds again all that this node holds."""
        self._store.delete(rows.needs_repair_row(target))
        self._drops.pop(target, None)

    def _joined(self, row: bytes, entry: Entry, is_unsent: bool) -> bytes:
        """Return the content of a row after an entry is merged into it."""
        value = self._store.get(row)
        if value is not None and value[:1] != REFERENCE:
            entry = Entry.from_bytes(value[1:]).merge(entry)
            is_unsent = is_unsent or value[:1] == _UNSENT
        return (_UNSENT if is_unsent else _ENTRY) + entry.to_bytes()

    def _note(self, storage_key: bytes, target: str, size: int, now: float) -> None:
        self._versions += 1
        self._of.setdefault(target, {})[storage_key] = _Row(now, size, self._versions)
        self._count += 1
        self._bytes += size

    def _changed(self, row: _Row) -> None:
        self._versions += 1
        row.version = self._versions

    def _is_full(self, more_rows: int, more_bytes: int) -> bool:
        return self._count + more_rows > self._rows_max or self._bytes + more_bytes > self._bytes_max

    def _scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        while True:
            found = self._store.scan(start, stop, _LOAD_ROWS)
            yield from found
            if is_whole(found, _LOAD_ROWS):
                return
            start = found[-1][0] + b"\0"
