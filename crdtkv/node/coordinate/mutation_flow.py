"""`MutationFlow`: the phases of a write, in their order.

    begin      check the request, place it on the ring, or forward it (`placing`)
    _find      if it is a retry: was an earlier try carried out? (`earlier_tries`)
    _read      if the operation depends on the current state: read a quorum first
    _make      mint the dot, at this node; a decrement may have to wait for rights
    _replicate send the entry to the other replicas (`quorum_calls.writing`), and to other data centers (`datacenters`)
    _answer    enough replicas have it on disk: answer the client with its dot

A write is refused in the phase that detects the error. Before `_make` nothing was written.
"""

from collections.abc import Callable

from crdtkv import cbor
from crdtkv.causality.context import CausalContext, from_client
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.outcome import counts, outcome_of
from crdtkv.crdt.registry import OPERATIONS, type_named
from crdtkv.errors import (
    CrdtkvError,
    InsufficientRights,
    InvalidRequest,
    Overloaded,
    Unavailable,
    ValueTooLarge,
    WriteTimeout,
)
from crdtkv.ids import MAX_VALUE_BYTES
from crdtkv.node.coordinate.earlier_tries import EarlierTries
from crdtkv.node.coordinate.mutation import Mutation
from crdtkv.node.coordinate.placing import UNKNOWN, Placing, check_linearizable, deadline_of
from crdtkv.node.datacenters.remote_calls import Elsewhere
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.kernel.step import Step
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.replica.operations import ID_BYTES, Record
from crdtkv.node.replica.replica import Part
from crdtkv.node.rights.rights import Rights
from crdtkv.node.rights.rights_search import Waiting
from crdtkv.quorum.level import ConsistencyLevel, majority
from crdtkv.wire.messages import MutateReply, MutateRequest

MAX_TTL_MS = 100 * 365 * 86_400 * 1000
#: The share of its timeout that a decrement may wait for rights; the rest is for the write.
RIGHTS_SHARE = 0.75


class _Both:
    """A write that waits for this data center and for others; it ends once."""

    def __init__(self, step: Step, here: str, mutation: Mutation, then: Callable[[list[str]], None]) -> None:
        self._step = step
        self._here = here
        self._mutation = mutation
        self._then = then
        self._is_here = False
        self._elsewhere: list[str] | None = None
        self._is_over = False

    def here(self) -> None:
        """Note that enough replicas of this data center have the write."""
        self._is_here = True
        self._progress()

    def elsewhere(self, datacenters: list[str]) -> None:
        """Note the other data centers that have the write."""
        self._elsewhere = datacenters
        self._progress()

    def failed(self, error: CrdtkvError) -> None:
        """Answer with the first error."""
        if not self._is_over:
            self._is_over = True
            if isinstance(error, WriteTimeout) and error.missing and not self._is_here:
                error = WriteTimeout(error.received - 1, error.required, [self._here, *error.missing])
            self._mutation.refuse(self._step, error)

    def _progress(self) -> None:
        if self._is_here and self._elsewhere is not None and not self._is_over:
            self._is_over = True
            self._then(self._elsewhere)


class MutationFlow:
    """The operations that this node coordinates; `bucket_ttls_ms` are the default times to live of buckets."""

    def __init__(
        self,
        kernel: Kernel,
        placing: Placing,
        local: LocalCopy,
        quorum_calls: QuorumCalls,
        earlier_tries: EarlierTries,
        rights: Rights,
        elsewhere: Elsewhere,
        bucket_ttls_ms: dict[bytes, int],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._placing = placing
        self._local = local
        self._quorum_calls = quorum_calls
        self._earlier_tries = earlier_tries
        self._rights = rights
        self._elsewhere = elsewhere
        self._bucket_ttls_ms = bucket_ttls_ms

    def mutate(self, peer: Peer, request: MutateRequest) -> None:
        """Carry out an operation of a client."""
        kind = request.operation if request.operation in OPERATIONS else UNKNOWN
        self.begin(Requester(peer, request.id, kind, self._placing.label(request.level), self._step.arrived_s), request)

    def begin(self, requester: Requester, request: MutateRequest) -> None:
        """Check and place an operation, then continue with it unless it was forwarded."""
        try:
            mutation = self._placed(requester, request)
            if mutation is None:
                return
            self._local.check_arguments(request.operation, request.arguments)
        except CrdtkvError as error:
            requester.refuse(self._step, error)
            return
        if request.tried is None:
            self._read(mutation)
        else:
            self._find(mutation)

    def _placed(self, requester: Requester, request: MutateRequest) -> Mutation | None:
        """Return the checked operation, None if it was forwarded."""
        placing = self._placing
        level = placing.level(request.level)
        key = placing.keys.from_client(request.identity)
        check_linearizable(level, key)
        if level.is_sloppy and key.type_tag == BoundedCounter.type_tag:
            raise InvalidRequest(f"{level} is not for a bcounter, fallback replicas have no rights: use ONE")
        required = level.write_quorum(self._cluster.ring.replication_factor)
        if placing.forward(requester, request, key.token, level, required):
            return None
        placing.check_load()
        seen = from_client(request.context) if request.context is not None else None
        responsibles = self._cluster.responsibles(key.token, level.is_sloppy)
        self._check_writable(request, responsibles, required)
        self._elsewhere.check(level)
        return Mutation(
            requester,
            request,
            key,
            seen,
            responsibles,
            level,
            required,
            self._read_first(key, request, seen, level),
            self._ttl_ms(key, request),
            deadline_of(requester, request.timeout_ms),
        )

    def _find(self, mutation: Mutation) -> None:
        """Complete an earlier try, if there was one."""
        self._earlier_tries.find(
            mutation,
            lambda record: self._read(mutation) if record is None else self._complete(mutation, record),
        )

    def _read(self, mutation: Mutation) -> None:
        """Read first, if the operation needs it."""
        if mutation.read_first == 0:
            self._make(mutation)
            return

        def read(entry: bytes | None, _: bool) -> None:
            if self._earlier_tries.merged(mutation, entry):
                self._make(mutation)

        self._quorum_calls.read(
            mutation.key,
            mutation.responsibles,
            mutation.read_first,
            mutation.deadline_s,
            read,
            lambda error: mutation.refuse_unread(self._step, error),
            is_for_write=True,
        )

    def _make(self, mutation: Mutation) -> None:
        """Mint the dot, unless the client has given up this try by now."""
        step = self._step
        _, request, key, seen, responsibles, *_ = mutation
        try:
            if request.begin_by_ms and step.now.monotonic_s * 1000 > request.begin_by_ms:
                raise Overloaded("the operation waited too long to be begun, and was not: retry")
            [own] = [responsible for responsible in responsibles if responsible.node == self._cluster.node]
            write = self._local.mutate(
                key, own, request.operation, request.arguments, seen, request.observed, mutation.ttl_ms
            )
        except InsufficientRights as error:
            if request.operation != "decrement" or not self._waits_for_rights(mutation, error.requested):
                mutation.refuse(step, error)
            return
        except CrdtkvError as error:
            mutation.refuse(step, error)
            return
        dot, timestamp = write.event
        record = Record(request.operation_id, *dot, timestamp)
        self._replicate(mutation, record, write.entry, write.part, write.made_on)

    def _waits_for_rights(self, mutation: Mutation, amount: int) -> bool:
        """Queue a decrement until rights arrive, or most of its timeout has passed; return False if too many wait."""
        requester, request, key, *_ = mutation
        until_s = requester.started_s + (mutation.deadline_s - requester.started_s) * RIGHTS_SHARE
        if request.begin_by_ms:
            until_s = min(until_s, request.begin_by_ms / 1000)
        return self._rights.wait(
            key,
            Waiting(
                amount,
                until_s,
                try_again=lambda: self.begin(requester, request),
                refuse=lambda error: requester.refuse(self._step, error),
            ),
        )

    def _complete(self, mutation: Mutation, record: Record) -> None:
        """Replicate the entry under the dot of the earlier try."""
        self._step.stats.count("operations_found")
        whole = self._local.entry(mutation.key)[0]
        assert whole is not None
        self._replicate(mutation, record, whole)

    def _replicate(
        self,
        mutation: Mutation,
        record: Record,
        entry: Entry,
        part: Part | None = None,
        made_on: bytes = b"",
    ) -> None:
        value = self._outcome(mutation)
        if mutation.level.spans_datacenters:
            both = _Both(
                self._step,
                self._cluster.datacenter,
                mutation,
                lambda names: self._answer(mutation, record, value, names),
            )
            self._elsewhere.write(
                mutation.key, entry.to_bytes(), mutation.level, mutation.deadline_s, both.elsewhere, both.failed
            )
            stored, failed = both.here, both.failed
        else:
            stored = lambda: self._answer(mutation, record, value)  # noqa: E731
            failed = lambda error: mutation.refuse(self._step, error)  # noqa: E731
        self._quorum_calls.write(
            mutation.key,
            entry,
            mutation.responsibles,
            mutation.required,
            mutation.deadline_s,
            then=stored,
            failed=failed,
            supersede_before=record.timestamp if mutation.seen is None else 0,
            part=part,
            record=self._earlier_tries.note(record),
            made_on=made_on,
        )

    def _answer(
        self, mutation: Mutation, record: Record, value: bytes | None, elsewhere: list[str] | None = None
    ) -> None:
        # This node counts as a replica, so the answer waits for its own commit.
        _, actor, counter, timestamp = record
        datacenters: list[object] | None = None
        if elsewhere is not None:
            datacenters = [self._cluster.datacenter, *elsewhere]
        reply = MutateReply(mutation.request.id, timestamp, actor, counter, value, datacenters)
        mutation.requester.reply(self._step, reply, is_durable=False)

    def _outcome(self, mutation: Mutation) -> bytes | None:
        """Return the number that the operation has produced, as CBOR; None if the operation returns no number."""
        request = mutation.request
        if not counts(request.operation, request.arguments):
            return None
        number = outcome_of(self._local.state_now(mutation.key), request.operation, request.arguments)
        return cbor.encode_value(number) if number is not None else None

    def _check_writable(self, request: MutateRequest, responsibles: tuple[Responsible, ...], required: int) -> None:
        self._local.check_disk_space()
        has_id = request.tried is not None or request.operation_id != b""
        if len(request.operation_id) != (ID_BYTES if has_id else 0):
            raise InvalidRequest(f"an operation id has {ID_BYTES} bytes")
        for argument in request.arguments:
            if isinstance(argument, bytes) and len(argument) > MAX_VALUE_BYTES:
                raise ValueTooLarge(len(argument), MAX_VALUE_BYTES)
        alive = len([1 for responsible in responsibles if responsible.is_counted])
        if alive < required:
            raise Unavailable(required, alive)

    def _read_first(
        self, key: PlacedKey, request: MutateRequest, seen: CausalContext | None, level: ConsistencyLevel
    ) -> int:
        """Return how many replicas to read before an operation, 0 for none.

        An operation that depends on the current state should see the state of a quorum. An operation with a context
        must be made on an entry that has seen that context, if its type needs it.
        """
        state_type = type_named(key.type_tag)
        factor = self._cluster.ring.replication_factor
        quorum = level.read_quorum(factor)
        if seen is None:
            needs_quorum_read = state_type.needs_quorum_read(request.operation, request.arguments)
            return quorum if quorum > 1 and (needs_quorum_read or level.is_linearizable) else 0
        if state_type.has_partial_deltas and not self._local.has_seen(key, seen):
            return max(quorum, majority(factor))
        return quorum if level.is_linearizable else 0

    def _ttl_ms(self, key: PlacedKey, request: MutateRequest) -> int:
        """Return after how long the written value expires, 0 for never."""
        is_bounded = key.type_tag == BoundedCounter.type_tag
        if request.ttl_ms is None:
            return 0 if is_bounded else self._bucket_ttls_ms.get(key.identity.partition(b"\0")[0], 0)
        if is_bounded and request.ttl_ms:
            raise InvalidRequest("a bcounter does not expire: rights to decrement it may be in use elsewhere")
        if request.ttl_ms > MAX_TTL_MS:
            raise InvalidRequest(f"a time to live is at most {MAX_TTL_MS // 1000} seconds")
        return request.ttl_ms
