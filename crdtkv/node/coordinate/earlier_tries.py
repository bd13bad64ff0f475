"""`EarlierTries`: finds out whether a write that a client retries was carried out already.

If it was, that write is completed under its own dot; it is never carried out twice.
"""

from collections.abc import Callable

from crdtkv.errors import CrdtkvError, Unavailable
from crdtkv.node.coordinate.mutation import Mutation
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.quorum_calls.finding_operations import FindCall
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.replica.operations import Operations, Record
from crdtkv.quorum.level import majority

#: Called with the record of an earlier try once this node holds its write, or with None if no node has seen it.
Found = Callable[[Record | None], None]


class EarlierTries:
    """The operations that this node knows, and the search for those that other nodes know."""

    def __init__(self, kernel: Kernel, local: LocalCopy, operations: Operations, quorum_calls: QuorumCalls) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._local = local
        self._operations = operations
        self._quorum_calls = quorum_calls

    def note(self, record: Record) -> bytes:
        """Store the record of an operation that is carried out now; return its bytes, b"" if it has no id."""
        if not record.operation_id:
            return b""
        encoded = record.to_bytes()
        self._operations.note(encoded)
        return encoded

    def find(self, mutation: Mutation, found: Found) -> None:
        """Search an earlier try of a mutation; if the result is uncertain, answer the client with an error."""
        step, request = self._step, mutation.request
        assert request.tried is not None
        step.stats.count("operations_retried")
        own = self._operations.find(request.operation_id)
        if isinstance(own, Record) and self._has(mutation.key, own):
            found(own)
            return

        def known(record: Record | None, entry: bytes | None) -> None:
            if record is None:
                found(None)
            elif self.merged(mutation, entry):
                self._fetch(mutation, record, found)

        FindCall(self._kernel, mutation.key, known, lambda error: mutation.refuse_unread(step, error)).start(
            request.operation_id,
            [name for name in request.tried if isinstance(name, str)],
            own,
            mutation.responsibles,
            mutation.deadline_s,
        )

    def merged(self, mutation: Mutation, entry: bytes | None) -> bool:
        """Merge an entry of other replicas into this node's; if that fails, answer the client and return False."""
        try:
            self._local.merge_read(mutation.key, entry, mutation.responsibles)
        except CrdtkvError as error:
            mutation.refuse(self._step, error)
            return False
        return True

    def _fetch(self, mutation: Mutation, record: Record, found: Found) -> None:
        """Read a write that was carried out to this node, if a majority can be read and has it."""
        step, key = self._step, mutation.key
        if self._has(key, record):
            found(record)
            return
        required = majority(self._cluster.ring.replication_factor)

        def read(entry: bytes | None, _: bool) -> None:
            if not self.merged(mutation, entry):
                return
            if self._has(key, record):
                found(record)
            else:
                mutation.refuse(step, Unavailable(required, required - 1))

        self._quorum_calls.read(
            key,
            mutation.responsibles,
            required,
            mutation.deadline_s,
            read,
            lambda error: mutation.refuse_unread(step, error),
        )

    def _has(self, key: PlacedKey, record: Record) -> bool:
        """Return whether this node holds an entry that has seen a write."""
        held = self._local.entry(key)[0]
        return held is not None and record.dot in held.context
