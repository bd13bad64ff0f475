"""`Mutating`: a client's operation on its way, once it is checked and placed: what came before it, and the write.

A retry first asks whether an earlier try was carried out (`finding`): then that write is completed, under its own dot.
An operation that acts on what it sees reads a quorum first. Then this node makes the dot, unless the client has given
this try up by then, and sends the entry (`writing`). A decrement for which this node has not enough rights waits for
some (`rights`), and is then begun anew.
"""

from collections.abc import Callable
from typing import NamedTuple

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.outcome import counts, outcome_of
from crdtkv.errors import CrdtkvError, InsufficientRights, Overloaded, Unavailable
from crdtkv.node.handoff.handoff import Handoff
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.kernel.seats import Seat
from crdtkv.node.kernel.step import Step
from crdtkv.node.quorum_calls.finding import FindCall
from crdtkv.node.quorum_calls.reading import Failed, GetCall, Then
from crdtkv.node.quorum_calls.writing import PutCall
from crdtkv.node.replica.operations import Operations, Record
from crdtkv.node.replica.replica import Part, Replica
from crdtkv.node.rights.rights import Rights
from crdtkv.node.rights.rights_search import Waiting
from crdtkv.quorum.level import majority
from crdtkv.wire.messages import MutateReply, MutateRequest

#: How much of its time a decrement may wait for rights; the rest is for the write.
RIGHTS_SHARE = 0.75

GetCallMaker = Callable[[PlacedKey, Then, Failed, bool], GetCall]


class Mutation(NamedTuple):
    """One operation: who asked what, and how it is carried out.

    `read_first` is how many replicas to read before, 0 for none; `deadline_s` is monotonic.
    """

    requester: Requester
    request: MutateRequest
    key: PlacedKey
    seen: CausalContext | None
    seats: tuple[Seat, ...]
    required: int
    read_first: int
    ttl_ms: int
    deadline_s: float


class Mutating:
    """Operations that this node coordinates.

    `get_call` makes a quorum read of a key, `begin_anew` checks and places a request once more.
    """

    def __init__(
        self,
        step: Step,
        replica: Replica,
        handoff: Handoff,
        operations: Operations,
        rights: Rights,
        get_call: GetCallMaker,
        begin_anew: Callable[[Requester, MutateRequest], None],
    ) -> None:
        self._step = step
        self._replica = replica
        self._handoff = handoff
        self._operations = operations
        self._rights = rights
        self._get_call = get_call
        self._begin_anew = begin_anew

    def begin(self, mutation: Mutation) -> None:
        """Carry out an operation, unless that was done already."""
        request = mutation.request
        try:
            self._replica.limits.check_arguments(request.operation, request.arguments)
        except CrdtkvError as error:
            mutation.requester.refuse(self._step, error)
            return
        if request.tried is None:
            self._read(mutation)
            return
        step = self._step
        step.stats.count("operations_retried")
        own = self._operations.find(request.operation_id)
        if isinstance(own, Record) and self._has(mutation.key, own):
            self._complete(mutation, own)
            return

        def found(record: Record | None, entry: bytes | None) -> None:
            if record is None:
                self._read(mutation)
            elif self._holds(mutation, entry):
                self._look_for(mutation, record)

        FindCall(step, mutation.key, found, self._refusal(mutation)).start(
            request.operation_id,
            [name for name in request.tried if isinstance(name, str)],
            own,
            mutation.seats,
            mutation.deadline_s,
        )

    def _look_for(self, mutation: Mutation, record: Record) -> None:
        """Complete a write that was carried out, if it is within reach."""
        if self._has(mutation.key, record):
            self._complete(mutation, record)
            return
        required = majority(self._step.ring.replication_factor)

        def read(entry: bytes | None, _: bool) -> None:
            if not self._holds(mutation, entry):
                return
            if self._has(mutation.key, record):
                self._complete(mutation, record)
            else:
                mutation.requester.refuse(self._step, Unavailable(required, required - 1))

        call = self._get_call(mutation.key, read, self._refusal(mutation), False)
        call.start(mutation.seats, required, mutation.deadline_s)

    def _has(self, key: PlacedKey, record: Record) -> bool:
        """Tell whether this node's seat holds an entry that has seen a write."""
        held = self._handoff.entry(key)[0]
        return held is not None and record.dot in held.context

    def _read(self, mutation: Mutation) -> None:
        """Read first, if the operation needs it."""
        if mutation.read_first == 0:
            self._write(mutation)
            return

        def read(entry: bytes | None, _: bool) -> None:
            if self._holds(mutation, entry):
                self._write(mutation)

        call = self._get_call(mutation.key, read, self._refusal(mutation), True)
        call.start(mutation.seats, mutation.read_first, mutation.deadline_s)

    def _write(self, mutation: Mutation) -> None:
        step, key = self._step, mutation.key
        requester, request, _, seen, seats, *_ = mutation
        what = (request.operation, request.arguments, seen, request.observed, mutation.ttl_ms)
        try:
            if request.begin_by_ms and step.now.monotonic_s * 1000 > request.begin_by_ms:
                raise Overloaded("the operation waited too long to be begun, and was not: retry")
            own = next(seat for seat in seats if seat.node == step.node)
            write = self._replica.mutate(key, *what) if own.is_home else self._handoff.mutate(key, own.targets, *what)
        except InsufficientRights as error:
            if request.operation != "decrement" or not self._waits_for_rights(mutation, error.requested):
                requester.refuse(step, error)
            return
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        dot, timestamp = write.event
        record = Record(request.operation_id, *dot, timestamp)
        self._send(mutation, record, write.entry, write.part, self._outcome(mutation, own.is_home))

    def _waits_for_rights(self, mutation: Mutation, amount: int) -> bool:
        """Have a decrement wait until there are rights for it, its time is almost up, or it must not begin any more."""
        requester, request, key, *_ = mutation
        until_s = requester.started_s + (mutation.deadline_s - requester.started_s) * RIGHTS_SHARE
        if request.begin_by_ms:
            until_s = min(until_s, request.begin_by_ms / 1000)
        return self._rights.wait(
            key,
            Waiting(
                amount,
                until_s,
                try_again=lambda: self._begin_anew(requester, request),
                refuse=lambda error: requester.refuse(self._step, error),
            ),
        )

    def _complete(self, mutation: Mutation, record: Record) -> None:
        """Bring what this node holds to as many replicas as the level asks, and answer with the dot of the write."""
        self._step.stats.count("operations_found")
        whole = self._handoff.entry(mutation.key)[0]
        assert whole is not None
        self._send(mutation, record, whole, value=self._outcome(mutation, is_home=False))

    def _outcome(self, mutation: Mutation, is_home: bool) -> bytes | None:
        """Return the number that the operation has made, as this node holds it now; None if there is none to tell."""
        request, key = mutation.request, mutation.key
        if not counts(request.operation, request.arguments):
            return None
        held = self._replica.entry(key.located) if is_home else Entry.from_bytes(self._handoff.read(key)[0] or b"")
        assert held is not None
        number = outcome_of(held.at(self._replica.hybrid_now).state, request.operation, request.arguments)
        return cbor.encode_value(number) if number is not None else None

    def _holds(self, mutation: Mutation, entry: bytes | None) -> bool:
        """Merge what others hold into what this node's seat holds; False if it cannot, which was answered."""
        key = mutation.key
        try:
            if entry is not None and entry != self._handoff.read(key)[0]:
                self._handoff.hold(key, Entry.from_replica(entry, key.type_tag), mutation.seats)
        except CrdtkvError as error:
            mutation.requester.refuse(self._step, error)
            return False
        return True

    def _send(
        self, mutation: Mutation, record: Record, entry: Entry, part: Part | None = None, value: bytes | None = None
    ) -> None:
        encoded = record.to_bytes() if record.operation_id else b""
        if encoded:
            self._operations.note(encoded)
        PutCall(
            self._step,
            self._replica,
            self._handoff,
            mutation.key,
            then=lambda: self._reply(mutation, record, value),
            failed=lambda error: mutation.requester.refuse(self._step, error),
        ).start(
            entry,
            record.timestamp if mutation.seen is None else 0,
            mutation.seats,
            mutation.required,
            mutation.deadline_s,
            part,
            encoded,
        )

    def _reply(self, mutation: Mutation, record: Record, value: bytes | None) -> None:
        # Our own replica counts, so the answer waits for our own commit.
        _, actor, counter, timestamp = record
        reply = MutateReply(mutation.request.id, timestamp, actor, counter, value)
        mutation.requester.reply(self._step, reply, is_durable=False)

    def _refusal(self, mutation: Mutation) -> Failed:
        """Return what tells that nothing was written: a read that failed is "unavailable", and may be retried."""

        def refuse(error: CrdtkvError) -> None:
            required = mutation.read_first or getattr(error, "required", mutation.required)
            mutation.requester.refuse(self._step, Unavailable(required, getattr(error, "received", 0)))

        return refuse
