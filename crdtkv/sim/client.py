"""A simulated client: it sends requests over the network to any node, and records what came of each.

It behaves as the real client does: it carries the highest timestamp it has seen, hands over contexts it has read,
tries again what was certainly not done (elsewhere, a few times), and repeats reads that were not answered. A write that
may have been applied is tried again under the same operation id when no earlier try can begin any more. In a session
it reads again what does not show all that the session has seen; another client may go on with the session, by its
token. Its scans are `scanner`'s part.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from random import Random

from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.seen import Seen
from crdtkv.checking.history import Context, Operation
from crdtkv.checking.levels import read_and_write_quorum
from crdtkv.crdt.entry import Entry
from crdtkv.errors import error_from_wire
from crdtkv.ids import identity_of
from crdtkv.node.replica.operations import ID_BYTES
from crdtkv.sim.retrying import Retrying
from crdtkv.sim.scanner import Scanner
from crdtkv.sim.scheduler import Scheduler
from crdtkv.sim.shown import plain, values_of
from crdtkv.sim.workload import Call
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import EntriesReply, ErrorReply, GetRequest, MutateReply, MutateRequest, ScanRequest

TIMEOUT_S = 2.0
GRACE_S = 1.0
TRIES = 3
BEGIN_WITHIN_S = 1.0
PAUSE_S = 0.05
#: What says that a request may be tried elsewhere.
RETRIED = frozenset(("unavailable", "overloaded", "stale_replica", "write_timeout"))
#: How often a client gives a write up as soon as it may, whether the node is only slow or not.
IMPATIENCE = 0.5
#: How many of the clients are in a session, wherever they read and write.
SESSIONS = 0.5


@dataclass(slots=True)
class _Waiting:
    """A request under way."""

    operation: Operation
    identity: bytes
    request: MutateRequest | None
    deadline_s: float
    tries: int
    #: Until when its tries may begin, and whether one of them may have been applied.
    settled_at: float = 0.0
    is_unsettled: bool = False
    tried: dict[str, None] = field(default_factory=dict)


class SimClient:
    """One client; it may have many requests in flight.

    `send` hands a frame to some node of a data center, and returns its name, "" if there is none; `times` tells between
    which hybrid times the nodes of one answer now.
    """

    def __init__(
        self,
        name: str,
        replicas: int,
        scheduler: Scheduler,
        random: Random,
        send: Callable[[str, str, bytes], str],
        retrying: Retrying,
        times: Callable[[str], tuple[int, int]],
        count: Callable[[str], None],
        keys: list[tuple[str, str]],
        partitions: int,
    ) -> None:
        self.name = name
        self._replicas = replicas
        self._scheduler = scheduler
        self._random = random
        self._send = send
        self._retrying = retrying
        self._times = times
        self.count = count
        self.scanner = Scanner(self, keys, partitions)
        #: What its session has seen; about half of the clients have one.
        self._seen = Seen() if random.random() < SESSIONS else None
        self._session = name
        self._sessions = 1
        self.history: list[Operation] = []
        self._waiting: dict[int, _Waiting] = {}
        self._contexts: dict[bytes, CausalContext] = {}
        self._observed = 0
        self._last_id = 0
        self._pauses = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a call has neither been answered nor given up, or will be tried again."""
        return bool(self._waiting) or self._pauses > 0 or self.scanner.is_waiting

    def call(self, call: Call) -> Operation:
        """Begin a call; its outcome is filled in as answers come. Of a read of several keys, return the first."""
        identity = identity_of("default", call.type, call.key)
        seen = self._contexts.get(identity) if call.with_context else None
        operation = self._operation(call, call.key, seen)
        deadline_s = self._scheduler.now + TIMEOUT_S
        if call.kind in ("get", "final"):
            reads = [_Waiting(operation, identity, None, deadline_s, TRIES)]
            for key in call.others:
                other = identity_of("default", call.type, key)
                reads.append(_Waiting(self._operation(call, key, None), other, None, deadline_s, TRIES))
            self._try(reads)
            return operation
        request = MutateRequest(
            0,
            identity,
            call.kind,
            wire_arguments(call),
            seen.to_wire() if seen is not None else None,  # type: ignore[arg-type]
            self._observed,
            call.level,
            0,
            call.ttl_ms or None,
            operation_id=self._random.randbytes(ID_BYTES),
        )
        self._retrying.begins(request.operation_id, operation)
        self._try([_Waiting(operation, identity, request, deadline_s, TRIES)])
        return operation

    def hand_session_to(self, other: "SimClient") -> None:
        """Let another client go on with this one's session, by its token, and begin a new one."""
        if self._seen is None or other is self:
            return
        self.count("sessions_moved")
        other._go_on_with(self._session, Seen.from_token(self._seen.to_token()))
        self._sessions += 1
        self._go_on_with(f"{self.name} session {self._sessions}", Seen())

    def _go_on_with(self, session: str, seen: Seen) -> None:
        """Be in that session from now on, with all that is under way: its answers are compared with that, too."""
        self._session, self._seen = session, seen
        self._observed = max(self._observed, seen.newest)
        for operation in self.history:
            if math.isinf(operation.ended) and operation.kind not in ("final", "scan"):
                operation.session = session

    def _operation(self, call: Call, key: str, seen: CausalContext | None) -> Operation:
        reads, writes = read_and_write_quorum(call.level, self._replicas)
        operation = Operation(
            client=self.name,
            datacenter=call.datacenter,
            kind=call.kind,
            type=call.type,
            key=key,
            began=self._scheduler.now,
            argument=plain(call.argument),
            seen=plain_context(seen) if seen is not None else None,
            level=call.level,
            reads=reads,
            writes=writes,
            replicas=self._replicas,
            observed=self._observed,
            ttl_ms=call.ttl_ms,
            earliest=self._times(call.datacenter)[0],
        )
        if self._seen is not None and call.kind != "final":
            operation.session = self._session
        elif call.kind != "scan" and min(operation.reads, operation.writes) * 2 > self._replicas:
            # Whoever stays with majorities in one data center reads his own writes, whichever node takes them.
            operation.session = f"{self.name} in {call.datacenter}"
        self.history.append(operation)
        return operation

    def receive(self, _: str, payload: bytes) -> None:
        """Take a node's answers."""
        for message in decode_frame(payload).messages:
            if self.scanner.receive(message):
                continue
            match message:
                case ErrorReply(number, code, fields):
                    waiting = self._waiting.pop(number, None)
                    if waiting is not None:
                        self._refused(waiting, code, fields)
                case EntriesReply(first, entries):
                    for number, entry in enumerate(entries, first):
                        waiting = self._waiting.pop(number, None)
                        if waiting is not None:
                            self._read(waiting, entry)
                case MutateReply():
                    waiting = self._waiting.pop(message.id, None)
                    if waiting is not None:
                        self._written(waiting, message)

    def _try(self, group: list[_Waiting]) -> None:
        """Send one write, or one request for several reads."""
        first = group[0]
        left_s = first.deadline_s - self._scheduler.now
        if left_s <= 0 or not first.tries:
            for waiting in group:
                self._end(waiting.operation, "info" if waiting.is_unsettled else "fail")
            return
        numbers = range(self._last_id + 1, self._last_id + 1 + len(group))
        self._last_id = numbers[-1]
        timeout_ms = max(1, int(left_s * 1000))
        if first.request is None:
            identities: list[object] = [waiting.identity for waiting in group]
            request: GetRequest | MutateRequest = GetRequest(numbers[0], identities, first.operation.level, timeout_ms)
        else:
            first.settled_at = self._scheduler.now + BEGIN_WITHIN_S
            request = first.request._replace(
                id=numbers[0],
                timeout_ms=timeout_ms,
                tried=list(first.tried) if first.is_unsettled else None,
                begin_by_ms=int(first.settled_at * 1000),
            )
        for number, waiting in zip(numbers, group, strict=True):
            waiting.tries -= 1
            self._waiting[number] = waiting
        node = self._send(self.name, first.operation.datacenter, encode_frame(1, [request]))
        if not node:
            for number in numbers:
                self._again(self._waiting.pop(number))
            return
        first.tried[node] = None
        patience_s = left_s + GRACE_S
        if first.request is not None and self._random.random() < IMPATIENCE:
            patience_s = min(patience_s, BEGIN_WITHIN_S)
        for number in numbers:
            self._scheduler.after(patience_s, lambda number=number: self._unanswered(number))  # type: ignore[misc]

    def _again(self, waiting: _Waiting) -> None:
        self._pauses += 1

        def try_again() -> None:
            self._pauses -= 1
            self._try([waiting])

        pause_s = self._random.uniform(0.5, 1) * PAUSE_S
        if waiting.is_unsettled:
            pause_s += max(0.0, waiting.settled_at - self._scheduler.now)
        self._scheduler.after(pause_s, try_again)

    def _unanswered(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        if waiting.request is None:
            self._end(waiting.operation, "fail")  # a read changes nothing
        else:
            waiting.is_unsettled = True
            self._again(waiting)

    def _refused(self, waiting: _Waiting, code: str, fields: list[object]) -> None:
        waiting.is_unsettled = waiting.is_unsettled or error_from_wire(code, fields).maybe_applied
        if code in RETRIED and waiting.tries:
            self._again(waiting)
        else:
            self._end(waiting.operation, "info" if waiting.is_unsettled else "fail")

    def _written(self, waiting: _Waiting, reply: MutateReply) -> None:
        self._end(waiting.operation, "ok")
        waiting.operation.dot = (reply.actor, reply.counter)
        waiting.operation.timestamp = reply.timestamp
        self._observe(reply.timestamp)
        if self._seen is not None:
            self._seen.written(waiting.identity, Dot(reply.actor, reply.counter), reply.timestamp)

    def _read(self, waiting: _Waiting, encoded: object) -> None:
        entry = Entry.from_bytes(encoded) if isinstance(encoded, bytes) else None
        if self._seen is not None and waiting.operation.kind == "get":
            context = entry.context if entry is not None else EMPTY
            if not self._seen.is_in(waiting.identity, context):
                self.count("session_reads_again")
                waiting.tries += 1
                self._again(waiting)
                return
            self._seen.read(waiting.identity, context)
        self._end(waiting.operation, "ok")
        self._show(waiting.operation, entry)
        if entry is not None:
            self._contexts[waiting.identity] = entry.context

    def _show(self, operation: Operation, entry: Entry | None) -> None:
        operation.values, operation.context = [], {}
        if entry is None:
            return
        operation.values = plain(values_of(entry.state))
        operation.context = plain_context(entry.context)
        operation.timestamp = entry.state.newest()
        self._observe(operation.timestamp)

    def _observe(self, timestamp: int) -> None:
        self._observed = max(self._observed, timestamp)
        if self._seen is not None:
            self._seen.observe(timestamp)

    # What a scan needs (`scanner.Reader`).

    def send_scan(self, datacenter: str, request: ScanRequest) -> int:
        """See `Reader.send_scan`."""
        self._last_id += 1
        node = self._send(self.name, datacenter, encode_frame(1, [request._replace(id=self._last_id)]))
        return self._last_id if node else 0

    def begin(self, call: Call, key: str) -> Operation:
        """See `Reader.begin`."""
        return self._operation(call, key, None)

    def begin_anew(self, operation: Operation) -> None:
        """See `Reader.begin_anew`."""
        operation.began = self._scheduler.now
        operation.earliest = self._times(operation.datacenter)[0]

    def found(self, operation: Operation, encoded: bytes | None) -> None:
        """See `Reader.found`: in a session, read again what does not show all it has seen."""
        entry = Entry.from_bytes(encoded) if encoded is not None else None
        if self._seen is not None and operation.kind == "scan":
            context = entry.context if entry is not None else EMPTY
            identity = identity_of("default", operation.type, operation.key)
            if self._seen.is_in(identity, context):
                self._seen.read(identity, context)
                operation.session = self._session
            else:
                self.count("session_reads_again")
                operation.session = ""
                dc, type_tag, key, level = operation.datacenter, operation.type, operation.key, operation.level
                self.call(Call(0.0, 0, dc, "get", type_tag, key, None, level, with_context=False))
        self._end(operation, "ok")
        self._show(operation, entry)

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """See `Reader.later`."""
        self._scheduler.after(delay_s, act)

    def _end(self, operation: Operation, outcome: str) -> None:
        operation.outcome = outcome
        operation.ended = self._scheduler.now
        earliest, operation.latest = self._times(operation.datacenter)
        operation.earliest = min(operation.earliest, earliest)


def plain_context(context: CausalContext) -> Context:
    """Return a context as the checkers read it."""
    plain = {actor: [counter] for actor, counter in context.vector.items()}
    for actor, counter in sorted(context.cloud):
        plain.setdefault(actor, [0]).append(counter)
    return plain


def wire_arguments(call: Call) -> list[object]:
    """Return what a call's operation takes, as it is sent: values, elements and names of fields are bytes."""
    arguments = call.argument if isinstance(call.argument, tuple) else () if call.argument is None else (call.argument,)
    if call.kind != "update":
        return [encoded(argument) for argument in arguments]
    path, inner, *rest = arguments
    fields = [part if is_type else part.encode() for part, is_type in zip(path, cycle((True, False)), strict=False)]
    return [fields, inner, *map(encoded, rest)]


def encoded(argument: object) -> object:
    """Return a value as clients encode it, here simply as its text."""
    return argument.encode() if isinstance(argument, str) else argument
