"""`Outbox`: the writes of this node that other data centers have not confirmed yet.

A row `(outbox_seq → storage key)` is stored in the same atomic batch as its write. The publisher reads the key's entry
when it sends, so a hot key that is written often is sent rarely. A row is deleted when every other data center has
confirmed it end to end; acknowledgements of the stream do not count. So no loss, wipe or rewind of a stream loses a
write: its row is still here, and `republish_lost` sends it again.

Invariant: while a row exists and has been sent, its key was not written here since it was first sent. A later write
replaces the row by one with a new number. Hence a confirmation of `outbox_seq` covers all earlier writes of this node.

Numbers are never reused, also not after a crash: they are reserved in blocks, durably, before they are used.

Bound: at `rows_max` rows the outbox gives up on the data center that has confirmed least: it marks that one for a
comparison (`comparison_marks`), durably, and drops what only that one has not confirmed, the oldest rows first. So the
rows of other data centers stay, and the newest ones of all.
"""

from collections.abc import Iterable

from crdtkv.node.replica.comparison_marks import GIVE, ComparisonMarks
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole

_NUMBERS_BLOCK = 1 << 20
_LOAD_ROWS = 10_000
#: The most rows of a full outbox that are given up at a time.
_GIVEN_UP_MAX = 10_000


class OutboxRow:
    """One row in memory. `sent_at` is when it was last sent, None if it was certainly never sent."""

    __slots__ = ("recorded_at", "sent_at", "storage_key", "waiting_for")

    def __init__(self, storage_key: bytes, recorded_at: float, waiting_for: set[str]) -> None:
        self.storage_key = storage_key
        self.recorded_at = recorded_at
        self.sent_at: float | None = None
        self.waiting_for = waiting_for


class Outbox:
    """The rows of one node. Times are the caller's monotonic seconds."""

    def __init__(self, store: Store, marks: ComparisonMarks, rows_max: int, now: float) -> None:
        """Load the stored rows; `marks` knows the other data centers."""
        self._store = store
        self._marks = marks
        self._peers = marks.peers
        self._rows_max = rows_max
        self._unconfirmed = dict.fromkeys(self._peers, 0)
        self._rows: dict[int, OutboxRow] = {}
        self._newest: dict[bytes, int] = {}
        self._queued: dict[int, None] = {}
        self._aside: dict[int, None] = {}
        numbers = store.get(rows.OUTBOX_NUMBERS)
        # The unused numbers of the last block are skipped.
        self._next_number = self._reserved = int.from_bytes(numbers, "big") if numbers else 1
        self._load(now)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def queued(self) -> int:
        """The number of rows that wait to be sent."""
        return len(self._queued)

    def waits_with(self, storage_key: bytes) -> bool:
        """Return whether a key has a row, or may have had one that was dropped."""
        return storage_key in self._newest or bool(self._marks)

    def record(self, storage_key: bytes, now: float) -> None:
        """Record, in the store's current batch, that a key was written here."""
        if not self._peers:
            return
        earlier = self._newest.get(storage_key)
        if earlier is not None:
            if self._rows[earlier].sent_at is None and earlier in self._queued:
                return  # never sent: the row will carry this write, too
            self._forget(earlier)
        while len(self._rows) >= self._rows_max:
            self._give_up()
        outbox_seq = self._take_number()
        self._store.put(rows.outbox_row(outbox_seq), storage_key)
        self._add(outbox_seq, storage_key, now)

    def next_batch(self, limit: int, now: float, resting: frozenset[bytes] = frozenset()) -> list[tuple[int, bytes]]:
        """Take up to `limit` rows to send as `(outbox_seq, storage key)`, the oldest first; they count as sent.

        Rows of resting keys stay in the queue.
        """
        batch: list[tuple[int, bytes]] = []
        for outbox_seq in self._queued:
            if len(batch) >= limit:
                break
            row = self._rows[outbox_seq]
            if row.storage_key not in resting:
                row.sent_at = now
                batch.append((outbox_seq, row.storage_key))
        for outbox_seq, _ in batch:
            del self._queued[outbox_seq]
        return batch

    def give_back(self, outbox_seqs: Iterable[int]) -> None:
        """Queue rows again that could not be sent."""
        for outbox_seq in outbox_seqs:
            if outbox_seq in self._rows:
                self._queued[outbox_seq] = None

    def set_aside(self, outbox_seq: int) -> None:
        """Set aside a row whose entry is too large to be sent; the next write of its key replaces it."""
        self._queued.pop(outbox_seq, None)
        row = self._rows[outbox_seq]
        row.sent_at = None
        self._aside[outbox_seq] = None

    @property
    def set_aside_keys(self) -> list[bytes]:
        """The storage keys of the rows that were set aside."""
        return [self._rows[outbox_seq].storage_key for outbox_seq in self._aside]

    def confirm(self, datacenter: str, outbox_seqs: Iterable[int]) -> None:
        """Note that a data center has these rows durably; delete rows that all data centers have confirmed."""
        for outbox_seq in outbox_seqs:
            row = self._rows.get(outbox_seq)
            if row is not None and datacenter in row.waiting_for:
                self._confirmed(outbox_seq, row, datacenter)

    def republish_lost(self, datacenter: str, sent_before: float) -> int:
        """Queue rows again that `datacenter` has not confirmed and that were sent before a time; return their number.

        To be called when the data center's consumer has no undelivered messages.
        """
        lost = [
            outbox_seq
            for outbox_seq, row in self._rows.items()
            if row.sent_at is not None
            and row.sent_at < sent_before
            and datacenter in row.waiting_for
            and outbox_seq not in self._queued
        ]
        self.give_back(lost)
        return len(lost)

    def lag(self, datacenter: str, now: float) -> tuple[int, float]:
        """Return the number of rows that a data center has not confirmed, and the age of the oldest in seconds."""
        if not self._unconfirmed[datacenter]:
            return 0, 0.0
        waiting = [row.recorded_at for row in self._rows.values() if datacenter in row.waiting_for]
        return len(waiting), now - min(waiting)

    def _load(self, now: float) -> None:
        start, stop = rows.OUTBOX_RANGE
        while True:
            found = self._store.scan(start, stop, _LOAD_ROWS)
            for row, storage_key in found:
                if not self._peers:  # there is no other data center any more
                    self._store.delete(row)
                    continue
                # The row may have been sent before the restart, and a late confirmation may refer to that.
                self._add(rows.outbox_seq_in(row), storage_key, now).sent_at = now
            if is_whole(found, _LOAD_ROWS):
                return
            start = found[-1][0] + b"\0"

    def _add(self, outbox_seq: int, storage_key: bytes, now: float) -> OutboxRow:
        row = self._rows[outbox_seq] = OutboxRow(storage_key, now, set(self._peers))
        for datacenter in self._peers:
            self._unconfirmed[datacenter] += 1
        self._newest[storage_key] = outbox_seq
        self._queued[outbox_seq] = None
        return row

    def _give_up(self) -> None:
        """Drop the oldest rows of the data center that has confirmed least, and mark it for a comparison."""
        last = max(self._peers, key=lambda datacenter: self._unconfirmed[datacenter])
        self._marks.set(last, GIVE)
        too_many = len(self._rows) - self._rows_max + 1
        limit = max(too_many, min(self._rows_max // 10, _GIVEN_UP_MAX))
        oldest: list[tuple[int, OutboxRow]] = []
        for outbox_seq, row in self._rows.items():
            if last in row.waiting_for:
                oldest.append((outbox_seq, row))
                if len(oldest) >= limit:
                    break
        for outbox_seq, row in oldest:
            self._confirmed(outbox_seq, row, last)

    def _confirmed(self, outbox_seq: int, row: OutboxRow, datacenter: str) -> None:
        """Note that a row does not wait for a data center any more."""
        row.waiting_for.discard(datacenter)
        self._unconfirmed[datacenter] -= 1
        if not row.waiting_for:
            self._forget(outbox_seq)

    def _forget(self, outbox_seq: int) -> None:
        row = self._rows.pop(outbox_seq)
        for datacenter in row.waiting_for:
            self._unconfirmed[datacenter] -= 1
        self._queued.pop(outbox_seq, None)
        self._aside.pop(outbox_seq, None)
        if self._newest.get(row.storage_key) == outbox_seq:
            del self._newest[row.storage_key]
        self._store.delete(rows.outbox_row(outbox_seq))

    def _take_number(self) -> int:
        if self._next_number >= self._reserved:
            self._reserved = self._next_number + _NUMBERS_BLOCK
            self._store.put(rows.OUTBOX_NUMBERS, self._reserved.to_bytes(8, "big"))
        number = self._next_number
        self._next_number += 1
        return number
