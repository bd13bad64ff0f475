"""`ReplicaService`: what a node answers to requests about its own entries and hints.

Everything ends in `Replica.merge` or in a hint. Writes of one frame are acknowledged together, when they are durable.
"""

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry, parsed
from crdtkv.errors import CrdtkvError, ProtocolError
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import BEHIND
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.quorum_calls.scanning import MAX_PAGE_ROWS, read_page
from crdtkv.node.replica.operations import Operations
from crdtkv.node.replica.replica import Replica
from crdtkv.storage.store import Store
from crdtkv.wire.messages import (
    EntriesReply,
    ErrorReply,
    FindOperation,
    HandOff,
    InspectRequest,
    KeepHint,
    OperationFound,
    PartitionRows,
    ReadPartition,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaSuperseded,
    ReplicaWritten,
    WriteReplica,
)


class ReplicaService:
    """The requests of other nodes, and of clients that look at a node."""

    def __init__(
        self, kernel: Kernel, replica: Replica, local: LocalCopy, operations: Operations, store: Store, keys: KeyCheck
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._local = local
        self._operations = operations
        self._store = store
        self._keys = keys
        self._written: list[object] = []

    def read_replica(self, node: str, request: ReadReplica) -> None:
        """Tell what is stored of a key."""
        key = self._keys.from_peer(request.identity)
        entry, is_durable = self._local.entry(key)
        if request.seen is not None and entry is not None:
            seen = parsed(CausalContext.from_wire, request.seen)
            if seen.descends(entry.context):
                is_same = seen == entry.context
                self._step.answer(node, ReplicaEntry(request.id, None, is_same, not is_same), is_durable)
                return
            lacking = self._local.lacking(key, seen)
            if lacking is not None:
                is_older = not entry.context.descends(seen)
                part = ReplicaEntry(request.id, lacking.to_bytes(), is_older=is_older, is_part=True)
                self._step.answer(node, part, is_durable)
                return
        self._step.answer(node, ReplicaEntry(request.id, entry.to_bytes() if entry is not None else None), is_durable)

    def inspect(self, peer: Peer, request: InspectRequest) -> None:
        """Show a client what this node holds of a key."""
        try:
            key = self._keys.from_client(request.identity)
        except CrdtkvError as error:
            self._step.effects.send(peer, ErrorReply(request.id, error.code, list(error.fields)))
            return
        entry, is_durable = self._local.read(key)
        self._step.answer(peer, EntriesReply(request.id, [entry]), is_durable)

    def write_replica(self, node: str, request: WriteReplica) -> None:
        """Merge an entry."""
        key = self._keys.from_peer(request.identity)
        if request.basis is not None and not self._replica.has_seen(
            key.storage_key, parsed(CausalContext.from_wire, request.basis)
        ):
            self._step.stats.count("deltas_refused")
            self._step.effects.send(node, Refusal(request.id, BEHIND, []))
            return
        superseded = None
        if request.made_on and self._replica.adopt(key, request.entry, request.made_on, request.newest):
            pass
        elif request.supersede_before or self._replica.is_news(key, request.entry):
            entry = Entry.from_replica(request.entry, key.type_tag)
            superseded = self._replica.merge(key, entry, request.supersede_before)
        if request.record:
            self._operations.note(request.record)
        if superseded is None:
            self._written.append(request.id)
        else:
            self._step.stats.count("superseded_by_replicas")
            self._step.effects.send_when_durable(node, ReplicaSuperseded(request.id, superseded))

    def keep_hint(self, node: str, request: KeepHint) -> None:
        """Keep an entry for an absent home replica."""
        key = self._keys.from_peer(request.identity)
        if self._cluster.ring.topology.node(request.target) is None:
            raise ProtocolError(f"a hint for {request.target!r:.80}, which is not in the ring")
        entry = Entry.from_replica(request.entry, key.type_tag)
        self._local.accept_hint(key, request.target, entry, request.is_unsent)
        if request.record:
            self._operations.note(request.record)
        self._written.append(request.id)

    def find_operation(self, node: str, request: FindOperation) -> None:
        """Tell what became of an operation."""
        key = self._keys.from_peer(request.identity)
        known = self._operations.find(request.operation_id)
        record, entry = (known.to_bytes(), self._local.read(key)[0]) if known is not None else (b"", None)
        self._step.effects.send_when_durable(node, OperationFound(request.id, record, entry))

    def hand_off(self, node: str, request: HandOff) -> None:
        """Merge an entry that nobody has sent to other data centers yet."""
        key = self._keys.from_peer(request.identity)
        self._local.accept_hint(
            key, self._cluster.node, Entry.from_replica(request.entry, key.type_tag), is_unsent=True
        )
        self._written.append(request.id)

    def read_partition(self, node: str, request: ReadPartition) -> None:
        """Tell a page of a partition."""
        if request.partition >= self._cluster.ring.partitions:
            raise ProtocolError(f"no partition {request.partition}")
        limit = min(max(request.limit, 1), MAX_PAGE_ROWS)
        page, end = read_page(
            self._store, self._cluster.ring.partitions, request.partition, request.prefix, request.after, limit
        )
        answer = PartitionRows(request.id, [[storage_key, entry] for storage_key, entry in page], end)
        self._step.effects.send_when_durable(node, answer)

    def acknowledge(self, node: str) -> None:
        """Acknowledge all writes of one frame together."""
        if self._written:
            self._step.effects.send_when_durable(node, ReplicaWritten(self._written))
            self._written = []
