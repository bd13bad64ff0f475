"""`Operations`: the records of clients' operations that this node took part in lately, so that none runs twice.

A client that gets no answer retries through another node, under the same operation id. Every node that takes a write
stores the id with the write's dot, in the same commit; so a node that is asked about a retry can answer whether the
operation was carried out, and under which dot. Records are stored by the minute in which they arrived, for at least
`KEPT_MINUTES`; a client retries for one minute (`client.attempts`). A minute is one in which the node ran, counted
since its first start, because a wall clock that jumps would lose records.

Source: Lee et al., "Implementing Linearizability at Large Scale and Low Latency" (RIFL, 2015).
"""

from contextlib import suppress
from typing import NamedTuple

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import is_counter
from crdtkv.errors import ProtocolError
from crdtkv.ids import Actor, is_actor
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.storage import rows
from crdtkv.storage.store import Store

ID_BYTES = 16
KEPT_MINUTES = 2
MINUTE_S = 60.0
DROPPED_AT_ONCE = 2000
DROP_EVERY_S = 0.1

#: Replaces timestamp and counter in the row of an operation that was only forwarded.
_HANDED_ON = bytes(16)


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
    operation_id, names = record[:ID_BYTES], record[32:].decode(errors="replace")
    if record[ID_BYTES:32] == _HANDED_ON:
        return HandedOn(operation_id, tuple(names.split()))
    counter, timestamp = int.from_bytes(record[24:32], "big"), int.from_bytes(record[16:24], "big")
    if not (is_actor(names) and is_counter(counter) and is_counter(timestamp)):
        raise ProtocolError("a record is an operation id, a timestamp, a counter and an actor")
    return Record(operation_id, names, counter, timestamp)


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
        if store.scan(rows.operations_from(0), rows.operations_from(self._minute + 1), 1):
            self._noted_in = self._minute
        self._drop_at = 0.0
        self._dropped_until = rows.operations_from(0)

    def note(self, record: bytes) -> None:
        """Store a record, in the same commit as its write."""
        self._noted_in = self._minute
        self._store.put(rows.operation_row(self._minute, record[:ID_BYTES]), record)

    def note_handed_on(self, operation_id: bytes, node: str) -> None:
        """Note, before an operation is forwarded, the node that may carry it out."""
        known = self.find(operation_id) or HandedOn(operation_id, ())
        if isinstance(known, HandedOn):
            self.note(known._replace(nodes=(*known.nodes, node)).to_bytes())

    def find(self, operation_id: bytes) -> Record | HandedOn | None:
        """Return what this node knows of an operation, None if nothing."""
        for minute in range(self._minute, max(-1, self._minute - KEPT_MINUTES - 1), -1):
            record = self._store.get(rows.operation_row(minute, operation_id))
            if record is not None:
                with suppress(ProtocolError):  # replicas keep what peers send as it comes
                    return parsed_record(record)
        return None

    def next_timer(self) -> float | None:
        """Return None: old records can wait for any step."""
        return None

    def run_due(self) -> None:
        """Drop old records, some at a time; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if now_s < self._drop_at:
            return
        self._drop_at = now_s + DROP_EVERY_S
        if now_s >= self._minute_ends_at:
            self._minute_ends_at = now_s + MINUTE_S
            if self._noted_in is not None and self._noted_in + KEPT_MINUTES >= self._minute:
                self._minute += 1
                self._store.put(rows.OPERATIONS_MINUTE, self._minute.to_bytes(4, "big"))
        stop = rows.operations_from(max(0, self._minute - KEPT_MINUTES))
        if self._dropped_until < stop:
            # Continue where the last scan ended, so that deleted rows are not scanned again.
            for row, _ in self._store.scan(self._dropped_until, stop, DROPPED_AT_ONCE):
                self._store.delete(row)
                self._dropped_until = row
