"""`Superseding`: only a blind write drops versions of other writers that its own writer has not seen.

Rule 14 (repair merges, it never overwrites):

- A message that supersedes carries the record of an operation that a client requested from its sender. The operation
  has no context. Its dot is in the entry, or in the basis of the entry (a replica without that basis refuses the
  message), and the message supersedes by the timestamp of the operation. The receiver is a home replica of the key.
- A replica supersedes only in the step in which such a message arrives, for the same key, by the same timestamp.

A superseding is an operation like others: `operation_log` records it, and `checking.specified` checks its effect. That
checker accepts any superseding; this monitor checks that there was a reason for it.
"""

from typing import Any

from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.checking.history import Dot
from crdtkv.node.kernel.events import Event, Peer, Received
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.replica.write_observer import MadeOperation
from crdtkv.ring.token import storage_key_of
from crdtkv.sim.monitors.home_replicas import HomeReplicas
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.stored import has, parse, violated
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage import rows
from crdtkv.wire.messages import Message, MutateRequest, WriteReplica

RULE = "rule 14"


class Superseding(Monitor):
    """Checks every superseding of one run: the message that requests it, and the merge that does it."""

    def __init__(self, world: WorldView, homes: HomeReplicas) -> None:
        super().__init__(world)
        self._homes = homes
        #: The key, dot and timestamp of each blind operation.
        self._blind: set[tuple[bytes, Dot, int]] = set()
        #: By node and process: the operations that were requested.
        self._requested: dict[tuple[str, int], set[bytes]] = {}
        #: By node: the keys and timestamps that its present step may supersede by.
        self._allowed: dict[str, set[tuple[bytes, int]]] = {}

    def made(self, node: NodeView, key: PlacedKey, operation: MadeOperation) -> None:
        """Note a blind operation."""
        if operation.seen is None:
            dot, timestamp = operation.event
            self._blind.add((key.identity, (dot.actor, dot.counter), timestamp))

    def stepping(self, node: NodeView, events: list[Event]) -> None:
        """Note the requests of a step, and the supersedings that it may do."""
        allowed = self._allowed[node.place.node] = set()
        for event in events:
            if not isinstance(event, Received):
                continue
            for message in expanded(event.messages):
                if isinstance(message, WriteReplica) and message.supersede_before:
                    allowed.add((message.identity, message.supersede_before))
                elif isinstance(message, MutateRequest):
                    self._requested.setdefault((node.place.node, node.process), set()).add(message.operation_id)

    def sent(self, node: NodeView, peer: Peer, messages: list[Message]) -> None:
        """Check every message that supersedes."""
        for message in expanded(messages):
            if isinstance(message, WriteReplica) and message.supersede_before:
                why = self._why_not(node, peer, message)
                if why:
                    violated(RULE, f"{node.place.node} has {peer} supersede {message.identity!r}: {why}")

    def superseding(self, node: NodeView, key: PlacedKey, before: HybridTimestamp) -> None:
        """Check a merge that may supersede."""
        assert node.core is not None
        name = node.place.node
        if name not in node.core.parts.kernel.cluster.ring.replicas_at(key.token):
            violated(RULE, f"{name} supersedes {key.identity!r}, of which it is no replica")
        if (key.identity, before) not in self._allowed.get(name, ()):
            violated(RULE, f"{name} supersedes {key.identity!r} before {before}, which no message has requested")

    def _why_not(self, node: NodeView, peer: Peer, message: WriteReplica) -> str:
        """Return why a message must not supersede, "" if it may."""
        record = message.record
        if not record:
            return "this is no write of a client"
        timestamp, counter = int.from_bytes(record[16:24], "big"), int.from_bytes(record[24:32], "big")
        dot = (record[32:].decode(), counter)
        if (message.identity, dot, timestamp) not in self._blind:
            return f"no blind write has made {dot} at {timestamp}"
        if message.supersede_before != timestamp:
            return f"by {message.supersede_before}, but {dot} is of {timestamp}"
        if not has(parse(message.entry), dot) and not _builds_on(message.basis, dot):
            return f"the entry does not hold {dot}"
        if record[:16] not in self._requested.get((node.place.node, node.process), ()):
            return f"{dot} was not requested from this node"
        homes = self._homes.of(node.place.datacenter, rows.data_row(storage_key_of(message.identity)))
        return "" if peer in homes else "it is no home replica"


def _builds_on(basis: Any, dot: Dot) -> bool:
    """Tell whether a replica needs to have seen a dot to accept a delta with this basis."""
    if basis is None:
        return False
    vector, cloud = (dict.fromkeys(zip(flat[::2], flat[1::2], strict=True)) for flat in basis)
    return dot in cloud or any(actor == dot[0] and counter >= dot[1] for actor, counter in vector)
