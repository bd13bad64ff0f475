"""`RecentDeltas`: what was merged into large entries lately, so that who has missed only that is not sent the whole.

Of every change of a large entry this keeps the delta, and the context the entry had before: its basis. The bases of
a key's changes descend from each other, so the changes behind a basis are, joined, what somebody lacks who has seen
that basis; merged there they come to what merging one after the other comes to, because joining is associative. Who has
not seen even the first basis needs the whole.

Invariant: whatever a kept delta holds was new to the entry then. What it had seen before it may have let go since, and
must not come to others as a change (`Replica.merge` sees to that).

It is a memory of this process alone, bounded by keys, changes and bytes; without it everything is sent whole.

Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 6 (delta-intervals).
"""

from collections import deque
from functools import reduce
from typing import NamedTuple

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry

KEYS_MAX = 256
CHANGES_MAX = 64
#: Larger changes are sent whole, with all before them.
CHANGE_BYTES_MAX = 16 * 1024
BYTES_MAX = 128 * 1024


class Change(NamedTuple):
    """What was merged into an entry whose context was `basis`."""

    basis: CausalContext
    delta: Entry

    def makes_up(self, context: CausalContext) -> bool:
        """Tell whether who has seen the basis has then seen all of a context."""
        return self.basis.merge(self.delta.context).descends(context)


class RecentDeltas:
    """The last changes of large entries by storage key."""

    def __init__(self) -> None:
        self._changes: dict[bytes, deque[Change]] = {}
        self._bytes: dict[bytes, int] = {}

    def note(self, storage_key: bytes, basis: CausalContext, delta: Entry) -> None:
        """Note a change; of each key all must be noted, or else all forgotten."""
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
        """Forget a key: it was changed otherwise."""
        self._changes.pop(storage_key, None)
        self._bytes.pop(storage_key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._changes = {}
        self._bytes = {}

    def behind(self, storage_key: bytes, seen: CausalContext) -> Entry | None:
        """Return what somebody lacks who has seen this; None if that is not known."""
        wanted: list[Entry] = []
        for basis, delta in reversed(self._changes.get(storage_key, ())):
            wanted.append(delta)
            if seen.descends(basis):
                return reduce(Entry.merge, reversed(wanted))
        return None

    def all_of(self, storage_key: bytes) -> Change | None:
        """Return all changes that are known of a key as one."""
        changes = self._changes.get(storage_key)
        if not changes:
            return None
        return Change(changes[0].basis, reduce(Entry.merge, (delta for _, delta in changes)))
