"""`Retrying`: an operation that its client retries is carried out once.

An operation has one durable dot, however often and wherever it is tried. Only if a disk has lost data it may have
several; `completed` then records them in the history.
"""

from crdtkv.checking.history import Dot, Operation
from crdtkv.node.kernel.events import Peer
from crdtkv.node.replica.operations import records_in
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.stored import violated
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage.memory import Batch
from crdtkv.wire.messages import KeepHint, Message, WriteReplica


class Retrying(Monitor):
    """All writes of one run, by their operation ids."""

    def __init__(self, world: WorldView) -> None:
        super().__init__(world)
        self._operations: dict[bytes, Operation] = {}
        self._dots: dict[bytes, set[Dot]] = {}

    def begun(self, operation_id: bytes, operation: Operation) -> None:
        """Note the operation of a client."""
        self._operations[operation_id] = operation

    def sent(self, node: NodeView, peer: Peer, messages: list[Message]) -> None:
        """Take the operation records in messages; whatever is sent is durable."""
        for message in expanded(messages):
            if isinstance(message, WriteReplica | KeepHint) and message.record:
                self._take(message.record)

    def durable(self, node: NodeView, batch: Batch) -> None:
        """Take the durable operation records."""
        for row, value in batch.items():
            if row[:1] == b"p" and value is not None:
                for record in records_in(value):
                    self._take(record)

    def completed(self) -> None:
        """Record in the history which operations were carried out more than once; their outcome becomes unknown."""
        for operation_id, dots in self._dots.items():
            if len(dots) > 1:
                operation = self._operations[operation_id]
                operation.repeated = sorted(dots)
                operation.outcome = "info"

    def _take(self, record: bytes) -> None:
        operation_id, counter, actor = record[:16], int.from_bytes(record[24:32], "big"), record[32:].decode()
        if not counter:
            return  # a forwarded request, which has no dot yet
        if operation_id not in self._operations:
            violated("retries", f"no client has begun the operation {operation_id.hex()}, which is carried out")
        dots = self._dots.setdefault(operation_id, set())
        dots.add((actor, counter))
        if len(dots) > 1 and not self._loses_data:
            violated("retries", f"done more than once, as {sorted(dots)}: {self._operations[operation_id]}")
