"""A simulated client: it sends requests over the network to any node, and records what came of each.

It behaves as the real client does: it carries the highest timestamp it has seen, hands over contexts it has read,
tries again what was certainly not done (elsewhere, a few times), repeats reads that were not answered, and never
repeats a write that may have been applied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from crdtkv.causality.context import CausalContext
from crdtkv.checking.history import Context, Operation
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.register import Register
from crdtkv.errors import error_from_wire
from crdtkv.ids import identity_of
from crdtkv.quorum.level import level_named
from crdtkv.sim.plan import Call
from crdtkv.sim.scheduler import Scheduler
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import EntriesReply, ErrorReply, GetRequest, MutateReply, MutateRequest

TIMEOUT_S = 2.0
GRACE_S = 1.0
TRIES = 3
PAUSE_S = 0.05
#: What says that a request was not carried out and may be tried elsewhere.
RETRIED = frozenset(("unavailable", "overloaded"))


@dataclass(slots=True)
class _Waiting:
    """A request under way."""

    operation: Operation
    identity: bytes
    request: MutateRequest | None
    deadline_s: float
    tries: int


class SimClient:
    """One client; it may have many requests in flight. `send` hands a frame to some node of a data center."""

    def __init__(
        self, name: str, replicas: int, scheduler: Scheduler, random: Random, send: Callable[[str, str, bytes], bool]
    ) -> None:
        self.name = name
        self._replicas = replicas
        self._scheduler = scheduler
        self._random = random
        self._send = send
        self.history: list[Operation] = []
        self._waiting: dict[int, _Waiting] = {}
        self._contexts: dict[bytes, CausalContext] = {}
        self._observed = 0
        self._last_id = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a call has neither been answered nor given up."""
        return bool(self._waiting)

    def call(self, call: Call) -> Operation:
        """Begin a call; its outcome is filled in as answers come."""
        identity = identity_of("default", call.type, call.key)
        level = level_named(call.level)
        seen = self._contexts.get(identity) if call.with_context else None
        operation = Operation(
            client=self.name,
            datacenter=call.datacenter,
            kind=call.kind,
            type=call.type,
            key=call.key,
            began=self._scheduler.now,
            argument=call.argument,
            seen=plain_context(seen) if seen is not None else None,
            level=call.level,
            reads=level.read_quorum(self._replicas),
            writes=level.write_quorum(self._replicas),
            replicas=self._replicas,
        )
        if min(operation.reads, operation.writes) * 2 > self._replicas:
            # Whoever stays with majorities in one data center reads his own writes, whichever node takes them.
            operation.session = f"{self.name} in {call.datacenter}"
        self.history.append(operation)
        request = None
        if call.kind not in ("get", "final"):
            argument = call.argument.encode() if isinstance(call.argument, str) else call.argument
            request = MutateRequest(
                0,
                identity,
                call.kind,
                [] if call.kind == "delete" else [argument],
                seen.to_wire() if seen is not None else None,  # type: ignore[arg-type]
                self._observed,
                call.level,
                0,
            )
        self._try(_Waiting(operation, identity, request, self._scheduler.now + TIMEOUT_S, TRIES))
        return operation

    def receive(self, _: str, payload: bytes) -> None:
        """Take a node's answers."""
        for message in decode_frame(payload).messages:
            if not isinstance(message, (EntriesReply, MutateReply, ErrorReply)):
                continue
            waiting = self._waiting.pop(message.id, None)
            if waiting is None:
                continue
            match message:
                case ErrorReply(_, code, fields):
                    self._refused(waiting, code, fields)
                case EntriesReply(_, entries):
                    self._read(waiting, entries[0])
                case MutateReply(_, timestamp, actor, counter):
                    self._end(waiting, "ok")
                    waiting.operation.dot = (actor, counter)
                    waiting.operation.timestamp = timestamp
                    self._observed = max(self._observed, timestamp)

    def _try(self, waiting: _Waiting) -> None:
        left_s = waiting.deadline_s - self._scheduler.now
        if left_s <= 0 or not waiting.tries:
            self._end(waiting, "fail")
            return
        waiting.tries -= 1
        self._last_id += 1
        number = self._last_id
        timeout_ms = max(1, int(left_s * 1000))
        if waiting.request is None:
            request: GetRequest | MutateRequest = GetRequest(
                number, [waiting.identity], waiting.operation.level, timeout_ms
            )
        else:
            request = waiting.request._replace(id=number, timeout_ms=timeout_ms)
        self._waiting[number] = waiting
        if not self._send(self.name, waiting.operation.datacenter, encode_frame(1, [request])):
            del self._waiting[number]
            self._again(waiting)
            return
        self._scheduler.after(left_s + GRACE_S, lambda: self._unanswered(number))

    def _again(self, waiting: _Waiting) -> None:
        self._scheduler.after(self._random.uniform(0.5, 1) * PAUSE_S, lambda: self._try(waiting))

    def _unanswered(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None and waiting.request is None:
            self._end(waiting, "fail")  # a read changes nothing

    def _refused(self, waiting: _Waiting, code: str, fields: list[object]) -> None:
        error = error_from_wire(code, fields)
        if not error.maybe_applied and code in RETRIED and waiting.tries:
            self._again(waiting)
        else:
            self._end(waiting, "info" if error.maybe_applied else "fail")

    def _read(self, waiting: _Waiting, encoded: object) -> None:
        self._end(waiting, "ok")
        operation = waiting.operation
        operation.values, operation.context = [], {}
        if not isinstance(encoded, bytes):
            return
        entry = Entry.from_bytes(encoded)
        operation.values = plain_values(entry)
        operation.context = plain_context(entry.context)
        operation.timestamp = entry.state.newest()
        self._observed = max(self._observed, operation.timestamp)
        if operation.type == "register":
            self._contexts[waiting.identity] = entry.context

    def _end(self, waiting: _Waiting, outcome: str) -> None:
        waiting.operation.outcome = outcome
        waiting.operation.ended = self._scheduler.now


def plain_context(context: CausalContext) -> Context:
    """Return a context as the checkers read it."""
    plain = {actor: [counter] for actor, counter in context.vector.items()}
    for actor, counter in sorted(context.cloud):
        plain.setdefault(actor, [0]).append(counter)
    return plain


def plain_values(entry: Entry) -> list[str | int]:
    """Return what a reader sees, as the checkers read it."""
    match entry.state:
        case Register() as register:
            return [version.value.decode() for version in register.siblings()]
        case LastWriterWins(winner=winner):
            return [winner.value.decode()] if winner is not None and winner.value is not None else []
        case Counter() as counter:
            return [] if counter.is_empty else [counter.value]
    raise AssertionError(f"no values are known for a {entry.type_tag}")
