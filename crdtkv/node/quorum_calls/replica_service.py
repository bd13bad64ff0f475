"""`ReplicaService`: answers requests about this node's own entries and hints.

Every write ends in `Replica.merge` or in a hint. The writes of one frame are acknowledged together, when they are
durable.
"""

from collections.abc import Iterator
from typing import Any

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry, parsed
from crdtkv.errors import CrdtkvError, ProtocolError, StorageError
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import BEHIND
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck, PlacedKey
from crdtkv.node.quorum_calls.scanning import MAX_PAGE_ROWS, read_page
from crdtkv.node.replica.operations import Operations
from crdtkv.node.replica.replica import Replica
from crdtkv.storage.store import Store
from crdtkv.wire.codec import MAX_INT
from crdtkv.wire.messages import (
    ApplyEntries,
    DigestRead,
    DigestReply,
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
    WriteReplicas,
)

#: The types of the columns of `WriteReplicas`, `DigestRead` and `ApplyEntries`.
_WRITE_TYPES = (int, bytes, bytes, int, bytes, bytes, int)
_DIGEST_TYPES = (bytes, bytes)
_APPLY_TYPES = (bytes, bytes, bytes, int)


class ReplicaService:
    """The requests of other nodes, and the inspection requests of clients."""

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
        """Answer with the entry of a key, or with the part that `request.seen` lacks."""
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

    def compare(self, node: str, request: DigestRead) -> None:
        """Answer which entries differ from those of another node, by their digests.

        Raises:
            ProtocolError: the rows are malformed, or a key is.
        """
        local = self._local
        different: list[object] = []
        for position, (identity, digest) in enumerate(_rows_of(request.rows, _DIGEST_TYPES)):
            key = self._keys.from_peer(identity)
            entry, is_durable = local.entry(key)
            is_comparable = is_durable and not local.is_large(entry)
            held = entry.digest_bytes(key.storage_key) if is_comparable and entry is not None else b""
            if held != digest or not is_comparable:
                different.append(position)
        self._step.effects.send(node, DigestReply(request.id, different))

    def inspect(self, peer: Peer, request: InspectRequest) -> None:
        """Answer a client with this node's entry of a key."""
        try:
            key = self._keys.from_client(request.identity)
        except CrdtkvError as error:
            self._step.effects.send(peer, ErrorReply(request.id, error.code, list(error.fields)))
            return
        entry, is_durable = self._local.read(key)
        self._step.answer(peer, EntriesReply(request.id, [entry]), is_durable)

    def write_replica(self, node: str, request: WriteReplica) -> None:
        """Merge an entry, or refuse a delta whose basis this node has not seen."""
        key = self._keys.from_peer(request.identity)
        if request.basis is not None and not self._replica.has_seen(
            key.storage_key, parsed(CausalContext.from_wire, request.basis)
        ):
            self._step.stats.count("deltas_refused")
            self._step.effects.send(node, Refusal(request.id, BEHIND, []))
            return
        self._merge(node, request.id, key, request.entry, request.supersede_before, request.record)

    def write_replicas(self, node: str, request: WriteReplicas) -> None:
        """Store the writes of another node's step; each fails alone.

        Raises:
            ProtocolError: the message is malformed; nothing was written.
        """
        for number, identity, entry, supersede_before, record, made_on, newest in _rows_of(request.rows, _WRITE_TYPES):
            try:
                key = self._keys.from_peer(identity)
                if self._replica.adopt(key, entry, made_on, newest):
                    self._operations.note(record)
                    self._written.append(number)
                else:
                    self._merge(node, number, key, entry, supersede_before, record)
            except StorageError:
                raise
            except CrdtkvError as error:
                if isinstance(error, ProtocolError):
                    self._step.stats.count("junk_messages")
                self._step.effects.send(node, Refusal(number, error.code, list(error.fields)))

    def apply_entries(self, node: str, request: ApplyEntries) -> None:
        """Merge the entries of another data center, or adopt the results of merging them; all count, or none.

        Raises:
            ProtocolError, InsufficientStorage: an entry was not stored; those before it were.
        """
        for identity, entry, made_on, newest in _rows_of(request.rows, _APPLY_TYPES):
            key = self._keys.from_peer(identity)
            if not self._replica.adopt(key, entry, made_on, newest) and self._replica.is_news(key, entry):
                self._replica.merge(key, Entry.from_replica(entry, key.type_tag))
        self._written.append(request.id)

    def _merge(
        self, node: str, number: int, key: PlacedKey, encoded: bytes, supersede_before: int, record: bytes
    ) -> None:
        superseded = None
        if supersede_before or self._replica.is_news(key, encoded):
            entry = Entry.from_replica(encoded, key.type_tag)
            superseded = self._replica.merge(key, entry, supersede_before)
        self._operations.note(record)
        if superseded is None:
            self._written.append(number)
        else:
            self._step.stats.count("superseded_by_replicas")
            self._step.effects.send_when_durable(node, ReplicaSuperseded(number, superseded))

    def keep_hint(self, node: str, request: KeepHint) -> None:
        """Store an entry for an absent home replica."""
        key = self._keys.from_peer(request.identity)
        if self._cluster.ring.topology.node(request.target) is None:
            raise ProtocolError(f"a hint for {request.target!r:.80}, which is not in the ring")
        entry = Entry.from_replica(request.entry, key.type_tag)
        self._local.accept_hint(key, request.target, entry, request.is_unsent)
        self._operations.note(request.record)
        self._written.append(request.id)

    def find_operation(self, node: str, request: FindOperation) -> None:
        """Answer with the record of an operation, and the entry of its key."""
        key = self._keys.from_peer(request.identity)
        known = self._operations.find(request.operation_id)
        record, entry = (known.to_bytes(), self._local.read(key)[0]) if known is not None else (b"", None)
        self._step.effects.send_when_durable(node, OperationFound(request.id, record, entry))

    def hand_off(self, node: str, request: HandOff) -> None:
        """Merge an entry that is in no outbox yet."""
        key = self._keys.from_peer(request.identity)
        self._local.accept_hint(
            key, self._cluster.node, Entry.from_replica(request.entry, key.type_tag), is_unsent=True
        )
        self._written.append(request.id)

    def read_partition(self, node: str, request: ReadPartition) -> None:
        """Answer with a page of a partition."""
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


def _rows_of(items: list[object], types: tuple[type, ...]) -> Iterator[tuple[Any, ...]]:
    """Return the rows of a flat list, whose columns have these types.

    Raises:
        ProtocolError: it is malformed.
    """
    width = len(types)
    columns = [items[number::width] for number in range(width)]
    if len(items) % width or not all(map(_is_column_of, columns, types)):
        raise ProtocolError(f"rows of {width} items are expected: {', '.join(kind.__name__ for kind in types)}")
    return zip(*columns, strict=True)


def _is_column_of(column: list[Any], kind: type) -> bool:
    if not set(map(type, column)) <= {kind}:
        return False
    return kind is not int or not column or 0 <= min(column) <= max(column) <= MAX_INT
