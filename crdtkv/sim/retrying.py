"""What becomes of operations that clients try again, looked at from outside the nodes.

Rule: an operation that a majority of the home replicas had taken part in, durably, when it was tried again, gets no
other dot; nor does one that was acknowledged. One that fewer have seen may be done twice, if none of them can be asked: then its history says so.
"""

from typing import TYPE_CHECKING

from crdtkv.checking.history import Dot, Operation
from crdtkv.ids import identity_of
from crdtkv.node.effects import Effects
from crdtkv.node.events import Event, Received
from crdtkv.quorum.level import majority
from crdtkv.ring.token import located
from crdtkv.sim.stored import has, parse, violated
from crdtkv.storage import rows
from crdtkv.wire.messages import KeepHint, Message, WriteReplica

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.host import SimNode


class Retrying:
    """All operations of one life, by their ids."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._operations: dict[bytes, Operation] = {}
        #: By data row and node: the dots of operations that the node has been told of, and cannot have forgotten.
        self._told: dict[tuple[bytes, str], dict[Dot, bytes]] = {}
        self._dots: dict[bytes, dict[Dot, set[str]]] = {}
        self._is_seen_by_majority: set[bytes] = set()

    def begins(self, operation_id: bytes, operation: Operation) -> None:
        """Learn that a client begins an operation."""
        self._operations[operation_id] = operation

    def tried_again(self, operation_id: bytes) -> None:
        """Look at who has taken part in an operation when its client tries it again."""
        self._cluster.coverage.count("writes_tried_again")
        operation = self._operations[operation_id]
        homes = self._cluster.monitors.replicas(operation.datacenter, _row_of(operation))
        for holders in self._dots.get(operation_id, {}).values():
            if len(holders.intersection(homes)) >= majority(len(homes)) and not self._cluster.plan.is_forgetful:
                self._is_seen_by_majority.add(operation_id)

    def stepped(self, node: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at the records a node is sent, and sends."""
        messages = [message for event in events if isinstance(event, Received) for message in event.messages]
        for sends in (effects.at_once, effects.held):
            messages += [message for sent in sends.values() for message in sent]
        for message in messages:
            self._take(node, message)

    def durable(self, node: "SimNode", row: bytes, entry: bytes) -> None:
        """Look at an entry that a node can no longer lose."""
        told = self._told.get((row, node.place.node))
        if told:
            stored = parse(entry)
            for dot, operation_id in told.items():
                if has(stored, dot):
                    self._dots[operation_id][dot].add(node.place.node)

    def completed(self) -> None:
        """Write into the history what was done more than once: when it had which effect is not known."""
        for operation_id, dots in self._dots.items():
            if len(dots) > 1:
                self._cluster.coverage.count("writes_done_twice")
                operation = self._operations[operation_id]
                operation.repeated = sorted(dots)
                operation.outcome = "info"

    def _take(self, node: "SimNode", message: Message) -> None:
        if not isinstance(message, WriteReplica | KeepHint) or message.record is None:
            return
        operation_id, actor, counter, _ = message.record
        dot = (str(actor), int(counter))  # type: ignore[call-overload]
        assert isinstance(operation_id, bytes)
        dots = self._dots.setdefault(operation_id, {})
        if dot not in dots:
            operation = self._operations[operation_id]
            if operation_id in self._is_seen_by_majority or operation.outcome == "ok":
                violated("retries", f"a majority had {sorted(dots)}, now it is done again as {dot}: {operation}")
            dots[dot] = set()
        row = rows.data_row(located(message.identity))
        self._told.setdefault((row, node.place.node), {})[dot] = operation_id


def _row_of(operation: Operation) -> bytes:
    return rows.data_row(located(identity_of("default", operation.type, operation.key)))
