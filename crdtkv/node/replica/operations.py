"""`Operations`: which operations of clients this node has taken part in lately, so that none is carried out twice.

A client that was not answered tries again, through another node, under the same operation id. Every node that takes a
write keeps the id with the write's dot, in the same commit; so whoever is asked about a retry can tell that the
operation was carried out, and as what. Rows are kept by the minute they came in, for `KEPT_MINUTES` at least; a client
tries again for one minute (`client.core`). Minutes are those that the node ran, since its first start: a wall clock
that jumps would forget operations.

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

#: In the place of timestamp and counter in the row of an operation that was only handed on.
_HANDED_ON = bytes(16)


class Record(NamedTuple):
    """What became of an operation: the dot and the timestamp of its write."""

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
    """What a node notes of an operation before it hands it on: the nodes that may carry it out."""

    operation_id: bytes
    nodes: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """Return operation id, zeros where a record has timestamp and counter, and the names."""
        return self.operation_id + _HANDED_ON + " ".join(self.nodes).encode()


def parsed_record(record: bytes) -> Record | HandedOn:
    """Parse what one of the two `to_bytes` made.

    Raises:
        ProtocolError: it is something else.
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
        #: A start goes on in the minute of the last, which is then a longer one.
        self._minute = int.from_bytes(store.get(rows.OPERATIONS_MINUTE) or b"", "big")
        self._minute_ends_at = kernel.step.now.monotonic_s + MINUTE_S
        #: When the last was noted: without any there are no minutes to count, and nothing to write for that.
        self._noted_in: int | None = None
        if store.scan(rows.operations_from(0), rows.operations_from(self._minute + 1), 1):
            self._noted_in = self._minute
        self._drop_at = 0.0
        self._dropped_until = rows.operations_from(0)

    def note(self, record: bytes) -> None:
        """Keep a record, in the same commit as the write it is about."""
        self._noted_in = self._minute
        self._store.put(rows.operation_row(self._minute, record[:ID_BYTES]), record)

    def note_handed_on(self, operation_id: bytes, node: str) -> None:
        """Note, before that is done, that an operation is handed to another node: it may carry it out."""
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
        """Return None: what is old can wait for any step."""
        return None

    def run_due(self) -> None:
        """Drop what is old, some at a time; called at the end of every step."""
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
            # Begins where it ended: what was dropped before must not be passed over again.
            for row, _ in self._store.scan(self._dropped_until, stop, DROPPED_AT_ONCE):
                self._store.delete(row)
                self._dropped_until = row
