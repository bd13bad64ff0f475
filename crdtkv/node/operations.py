"""`Operations`: which operations of clients this node has taken part in lately, so that none is carried out twice.

A client that was not answered tries again, through another node, under the same operation id. Every node that takes a
write keeps the id with the write's dot, in the same commit; so whoever is asked about a retry can tell that the
operation was carried out, and as what. Rows are kept by the minute they came in, for `KEPT_MINUTES` at least; a client
tries again for one minute (`client.attempts`). Minutes are those that the node ran, since its first start: a wall clock
that jumps would forget operations.

Source: Lee et al., "Implementing Linearizability at Large Scale and Low Latency" (RIFL, 2015).
"""

from typing import NamedTuple, Self

from crdtkv.crdt.causal import is_counter
from crdtkv.errors import ProtocolError
from crdtkv.ids import Actor, is_actor
from crdtkv.node.step import Step
from crdtkv.storage import rows
from crdtkv.storage.store import Store

ID_BYTES = 16
KEPT_MINUTES = 2
MINUTE_S = 60.0
DROPPED_AT_ONCE = 500
DROP_EVERY_S = 0.1


class Record(NamedTuple):
    """What became of an operation: the dot and the timestamp of its write."""

    operation_id: bytes
    actor: Actor
    counter: int
    timestamp: int

    def to_bytes(self) -> bytes:
        """Return operation id, timestamp and counter in 16, 8 and 8 bytes, and the actor's name."""
        return (
            self.operation_id
            + self.timestamp.to_bytes(8, "big")
            + self.counter.to_bytes(8, "big")
            + self.actor.encode()
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, record: bytes) -> Self:
        """Parse what `to_bytes` made.

        Raises:
            ProtocolError: it is something else.
        """
        actor = record[32:].decode(errors="replace")
        counter, timestamp = int.from_bytes(record[24:32], "big"), int.from_bytes(record[16:24], "big")
        if not (is_actor(actor) and is_counter(counter) and is_counter(timestamp)):
            raise ProtocolError("a record is an operation id, a timestamp, a counter and an actor")
        return cls(record[:ID_BYTES], actor, counter, timestamp)


class Operations:
    """The records of one node."""

    def __init__(self, step: Step, store: Store) -> None:
        self._step = step
        self._store = store
        #: A start goes on in the minute of the last, which is then a longer one.
        self._minute = int.from_bytes(store.get(rows.OPERATIONS_MINUTE) or b"", "big")
        self._minute_ends_at = step.now.monotonic_s + MINUTE_S
        self._drop_at = 0.0
        self._dropped_until = rows.operations_from(0)

    def note(self, record: bytes) -> None:
        """Keep a record, in the same commit as the write it is about."""
        self._store.put(rows.operation_row(self._minute, record[:ID_BYTES]), record)

    def find(self, operation_id: bytes) -> bytes:
        """Return the record of an operation, b"" if this node knows nothing of it."""
        for minute in range(self._minute, max(-1, self._minute - KEPT_MINUTES - 1), -1):
            record = self._store.get(rows.operation_row(minute, operation_id))
            if record is not None:
                return record
        return b""

    def tend(self) -> None:
        """Drop what is old, some at a time; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if now_s < self._drop_at:
            return
        self._drop_at = now_s + DROP_EVERY_S
        if now_s >= self._minute_ends_at:
            self._minute += 1
            self._minute_ends_at = now_s + MINUTE_S
            self._store.put(rows.OPERATIONS_MINUTE, self._minute.to_bytes(4, "big"))
        stop = rows.operations_from(max(0, self._minute - KEPT_MINUTES))
        if self._dropped_until < stop:
            # Begins where it ended: what was dropped before must not be passed over again.
            for row, _ in self._store.scan(self._dropped_until, stop, DROPPED_AT_ONCE):
                self._store.delete(row)
                self._dropped_until = row
