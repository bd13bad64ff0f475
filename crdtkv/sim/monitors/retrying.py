"""What becomes of operations that clients try again, looked at from outside the nodes.

Rule: an operation has one durable dot, however often and wherever it is tried. Only where a disk has forgotten it may
have more; then its history says so.
"""

from typing import TYPE_CHECKING

from crdtkv.checking.history import Dot, Operation
from crdtkv.node.replica.operations import records_in
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.stored import violated
from crdtkv.storage.memory import Batch
from crdtkv.wire.messages import KeepHint, Message, WriteReplica

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster


class Retrying:
    """All operations of one life, by their ids."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._operations: dict[bytes, Operation] = {}
        self._dots: dict[bytes, set[Dot]] = {}

    def begins(self, operation_id: bytes, operation: Operation) -> None:
        """Learn that a client begins an operation."""
        self._operations[operation_id] = operation

    def sent(self, messages: list[Message]) -> None:
        """Look at what is really sent, which is durable."""
        for message in expanded(messages):
            if isinstance(message, WriteReplica | KeepHint) and message.record:
                self._take(message.record)

    def durable(self, batch: Batch) -> None:
        """Look at the records that a power loss can no longer take."""
        for row, value in batch.items():
            if row[:1] == b"p" and value is not None:
                for record in records_in(value):
                    self._take(record)

    def completed(self) -> None:
        """Write into the history what was done more than once: when it had which effect is not known."""
        for operation_id, dots in self._dots.items():
            if len(dots) > 1:
                operation = self._operations[operation_id]
                operation.repeated = sorted(dots)
                operation.outcome = "info"

    def _take(self, record: bytes) -> None:
        operation_id, counter, actor = record[:16], int.from_bytes(record[24:32], "big"), record[32:].decode()
        if not counter:
            return  # only handed on
        if operation_id not in self._operations:
            violated("retries", f"no client has begun the operation {operation_id.hex()}, which is carried out")
        dots = self._dots.setdefault(operation_id, set())
        dots.add((actor, counter))
        if len(dots) > 1 and not self._cluster.plan.is_forgetful:
            violated("retries", f"done more than once, as {sorted(dots)}: {self._operations[operation_id]}")
