"""`RecentDeltas`: the recent changes of large entries, to be sent in place of whole entries.

For every change of a large entry this class keeps the delta, and the context that the entry had before: its basis. The
bases of a key's changes are ordered, so a replica that has seen a basis lacks exactly the join of the changes from that
basis on. Merging the join equals merging the changes one after the other, because joining is associative. A replica
that has not seen the oldest basis needs the whole entry.

Invariant: everything in a kept delta was new to the entry then. Dots that it had seen before may have been removed
since, and must not reach other replicas as a change (`Replica.merge` ensures that).

The changes are kept in memory only, bounded by keys, changes and bytes; without them entries are sent whole.

Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 6 (delta-intervals).
"""

from collections import deque
from functools import reduce
from typing import NamedTuple

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry

KEYS_MAX = 256
CHANGES_MAX = 64
#: A larger change, and all before it, are not kept: the entry is sent whole.
CHANGE_BYTES_MAX = 16 * 1024
BYTES_MAX = 128 * 1024


class Change(NamedTuple):
    """A delta that was merged into an entry whose context was `basis`."""

    basis: CausalContext
    delta: Entry

    def makes_up(self, context: CausalContext) -> bool:
        """Return whether a replica that has seen the basis and merges the delta has then seen all of a context."""
        return self.basis.merge(self.delta.context).descends(context)


class RecentDeltas:
    """The last changes of large entries by storage key."""

    def __init__(self) -> None:
        self._changes: dict[bytes, deque[Change]] = {}
        self._bytes: dict[bytes, int] = {}

    def note(self, storage_key: bytes, basis: CausalContext, delta: Entry) -> None:
        """Add a change; if a change of a key cannot be kept, the key is dropped."""
        if delta.size > CHANGE_BYTES_MAX or not delta.state.has_partial_deltas:
            self.forget(storage_key)
            return
        changes = self._changes.pop(storage_key, None) or deque()
        self._changes[storage_key] = changes  # the key that was changed last stays longest
        changes.append(Change(basis, delta))
        self._bytes[storage_key] = self._bytes.get(storage_key, 0) + delta.size
        while len(changes) > CHANGES_MAX or self._bytes[storage_key] > BYTES_MAX:
            self._bytes[storage_key] -= changes.popleft().delta.size
        if len(self._changes) > KEYS_MAX:
            self.forget(next(iter(self._changes)))

    def forget(self, storage_key: bytes) -> None:
        """Drop the changes of a key, because it was changed in another way."""
        self._changes.pop(storage_key, None)
        self._bytes.pop(storage_key, None)

    def clear(self) -> None:
        """Drop all changes."""
        self._changes = {}
        self._bytes = {}

    def behind(self, storage_key: bytes, seen: CausalContext) -> Entry | None:
        """Return the join of the changes that a replica lacks that has seen `seen`; None if that is not known."""
        wanted: list[Entry] = []
        for basis, delta in reversed(self._changes.get(storage_key, ())):
            wanted.append(delta)
            if seen.descends(basis):
                return reduce(Entry.merge, reversed(wanted))
        return None

    def all_of(self, storage_key: bytes) -> Change | None:
        """Return all kept changes of a key as one, None if there are none."""
        changes = self._changes.get(storage_key)
        if not changes:
            return None
        return Change(changes[0].basis, reduce(Entry.merge, (delta for _, delta in changes)))
