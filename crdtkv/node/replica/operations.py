"""`Operations`: the records of clients' operations that this node took part in lately, so that none runs twice.

A client that gets no answer retries through another node, under the same operation id. Every node that takes a write
stores the id with the write's dot, in the same commit; so a node that is asked about a retry can answer whether the
operation was carried out, and under which dot. Records are stored by the minute in which they arrived, for at least
`KEPT_MINUTES`; a client retries for one minute (`client.core`). A minute is one in which the node ran, counted
since its first start, because a wall clock that jumps would lose records.

All records of a step share one row, because the cost of a commit grows with its rows. An index in memory (24 bytes a
record) maps each operation id to the row of its record; a start builds the index from the rows.

Source: Lee et al., "Implementing Linearizability at Large Scale and Low Latency" (RIFL, 2015).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import is_counter
from crdtkv.errors import ProtocolError
from crdtkv.ids import Actor, is_actor
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.storage import rows
from crdtkv.storage.store import Row, Store, is_whole

ID_BYTES = 16
KEPT_MINUTES = 2
MINUTE_S = 60.0
DROPPED_AT_ONCE = 2000
DROP_EVERY_S = 0.1

#: Replaces timestamp and counter in the record of an operation that was only forwarded.
_HANDED_ON = bytes(16)
_HEAD_BYTES = ID_BYTES + len(_HANDED_ON)
_LENGTH_BYTES = 2
_RECORD_BYTES_MAX = (1 << 8 * _LENGTH_BYTES) - 1
_LOAD_ROWS = 1_000
#: An item of an index: the operation id, and the number of the row.
_NUMBER_BYTES = 8
_ITEM_BYTES = ID_BYTES + _NUMBER_BYTES


class Record(NamedTuple):
    """The record of an operation that was carried out: the dot and the timestamp of its write."""

    operation_id: bytes
    actor: Actor
    counter: int
    timestamp: int

    @property
    def dot(self) -> Dot:
        """The dot of the write."""
        return Dot(self.actor, self.counter)

    def to_bytes(self) -> bytes:
        """Return operation id, timestamp and counter in 16, 8 and 8 bytes, and the actor's name."""
        return (
            self.operation_id
            + self.timestamp.to_bytes(8, "big")
            + self.counter.to_bytes(8, "big")
            + self.actor.encode()
        )  # fmt: skip


class HandedOn(NamedTuple):
    """The note of an operation before it is forwarded: the nodes that may carry it out."""

    operation_id: bytes
    nodes: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """Return operation id, zeros where a record has timestamp and counter, and the names."""
        return self.operation_id + _HANDED_ON + " ".join(self.nodes).encode()


def parsed_record(record: bytes) -> Record | HandedOn:
    """Parse the result of `Record.to_bytes` or `HandedOn.to_bytes`.

    Raises:
        ProtocolError: the bytes are neither.
    """
    operation_id, names = record[:ID_BYTES], record[_HEAD_BYTES:].decode(errors="replace")
    if record[ID_BYTES:_HEAD_BYTES] == _HANDED_ON:
        return HandedOn(operation_id, tuple(names.split()))
    counter, timestamp = int.from_bytes(record[24:32], "big"), int.from_bytes(record[16:24], "big")
    if not (is_actor(names) and is_counter(counter) and is_counter(timestamp)):
        raise ProtocolError("a record is an operation id, a timestamp, a counter and an actor")
    return Record(operation_id, names, counter, timestamp)


class _Index:
    """In which rows the records of one minute are, by operation id."""

    def __init__(self) -> None:
        # An id is random, so its first byte divides them evenly, and a search looks at a 256th of them.
        self._items: dict[int, bytearray] = {}

    def add(self, records: list[bytes], number: int) -> None:
        """Note that records are in the row of this number."""
        row = number.to_bytes(_NUMBER_BYTES, "big")
        for record in records:
            items = self._items.get(record[0])
            if items is None:
                items = self._items[record[0]] = bytearray()
            items += record[:ID_BYTES] + row

    def find(self, operation_id: bytes) -> int | None:
        """Return the number of the row with the last record of an operation, None if there is none."""
        items = self._items.get(operation_id[0])
        at = items.rfind(operation_id) if items is not None else -1
        while items is not None and at >= 0:
            if at % _ITEM_BYTES == 0:
                return int.from_bytes(items[at + ID_BYTES : at + _ITEM_BYTES], "big")
            at = items.rfind(operation_id, 0, at + ID_BYTES - 1)
        return None


class Operations:
    """The records of one node."""

    def __init__(self, kernel: Kernel, store: Store) -> None:
        self._step = kernel.step
        self._store = store
        #: A start continues in the minute of the last run, which then takes longer.
        self._minute = int.from_bytes(store.get(rows.OPERATIONS_MINUTE) or b"", "big")
        self._minute_ends_at = kernel.step.now.monotonic_s + MINUTE_S
        #: The minute of the last record; None if there are no records, and so no minutes to count and to write.
        self._noted_in: int | None = None
        self._drop_at = 0.0
        self._dropped_until = rows.operations_from(0)
        self._indexes: dict[int, _Index] = {}
        #: The records of this step, and the number of their row.
        self._noted: list[bytes] = []
        self._number = 0
        self._load()

    def note(self, record: bytes) -> None:
        """Store a record, in the same commit as its write. Bytes that are no record are not stored."""
        if not _HEAD_BYTES <= len(record) <= _RECORD_BYTES_MAX:
            return
        self._noted.append(record)

    def note_handed_on(self, operation_id: bytes, node: str) -> None:
        """Note, before an operation is forwarded, the node that may carry it out."""
        known = self.find(operation_id) or HandedOn(operation_id, ())
        if isinstance(known, HandedOn):
            self.note(known._replace(nodes=(*known.nodes, node)).to_bytes())

    def find(self, operation_id: bytes) -> Record | HandedOn | None:
        """Return what this node knows of an operation, None if nothing."""
        if len(operation_id) != ID_BYTES:
            return None
        known = _last_of(operation_id, self._noted)
        for minute in range(self._minute, max(-1, self._minute - KEPT_MINUTES - 1), -1):
            index = self._indexes.get(minute)
            if known is not None or index is None:
                continue
            number = index.find(operation_id)
            if number is not None:
                value = self._store.get(rows.operations_row(minute, number)) or b""
                known = _last_of(operation_id, records_in(value))
        return known

    def next_timer(self) -> float | None:
        """Return None: old records can wait for any step."""
        return None

    def run_due(self) -> None:
        """Write the records of this step, and drop old records, some at a time; called last in every step."""
        if self._noted:
            self._noted_in = self._minute
            self._store.put(rows.operations_row(self._minute, self._number), _joined(self._noted))
            self._index(self._minute).add(self._noted, self._number)
            self._noted = []
            self._number += 1
        now_s = self._step.now.monotonic_s
        if now_s < self._drop_at:
            return
        self._drop_at = now_s + DROP_EVERY_S
        if now_s >= self._minute_ends_at:
            self._minute_ends_at = now_s + MINUTE_S
            if self._noted_in is not None and self._noted_in + KEPT_MINUTES >= self._minute:
                self._minute += 1
                self._store.put(rows.OPERATIONS_MINUTE, self._minute.to_bytes(4, "big"))
                self._indexes.pop(self._minute - KEPT_MINUTES - 1, None)
        stop = rows.operations_from(max(0, self._minute - KEPT_MINUTES))
        if self._dropped_until < stop:
            # Continue where the last scan ended, so that deleted rows are not scanned again.
            for row, _ in self._store.scan(self._dropped_until, stop, DROPPED_AT_ONCE):
                self._store.delete(row)
                self._dropped_until = row

    def _load(self) -> None:
        """Index the records that are stored."""
        oldest = max(0, self._minute - KEPT_MINUTES)
        for row, value in self._stored(rows.operations_from(oldest)):
            self._noted_in = self._minute
            if rows.is_single_operation(row):
                self.note(value)  # as earlier versions stored it; the next step writes it again
                continue
            minute, number = rows.operations_in(row)
            self._number = max(self._number, number + 1)
            self._index(minute).add(records_in(value), number)

    def _stored(self, start: bytes) -> Iterator[Row]:
        while True:
            found = self._store.scan(start, rows.operations_from(self._minute + 1), _LOAD_ROWS)
            yield from found
            if is_whole(found, _LOAD_ROWS):
                return
            start = found[-1][0] + b"\0"

    def _index(self, minute: int) -> _Index:
        index = self._indexes.get(minute)
        if index is None:
            index = self._indexes[minute] = _Index()
        return index


def _last_of(operation_id: bytes, records: list[bytes]) -> Record | HandedOn | None:
    """Return the last record of an operation, None if there is none that can be parsed."""
    for record in reversed(records):
        if record.startswith(operation_id):
            with suppress(ProtocolError):  # replicas store the records of other nodes unchecked
                return parsed_record(record)
    return None


def _joined(records: list[bytes]) -> bytes:
    """Return the value of a row: every record behind its length."""
    return b"".join([part for record in records for part in (len(record).to_bytes(_LENGTH_BYTES, "big"), record)])


def records_in(value: bytes) -> list[bytes]:
    """Return the records in the value of a row."""
    records: list[bytes] = []
    at = 0
    while at < len(value):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(value[at:begin], "big")
        records.append(value[begin:at])
    return records
