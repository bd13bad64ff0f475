"""A simulated client: it sends requests over the network to any node, and records what came of each."""

from dataclasses import dataclass, field
from random import Random

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry
from crdtkv.errors import error_from_wire
from crdtkv.ids import identity_of
from crdtkv.sim.network import Network
from crdtkv.sim.scheduler import Scheduler
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import EntriesReply, ErrorReply, GetRequest, MutateReply, MutateRequest


@dataclass(slots=True)
class Operation:
    """One call in the history. `outcome`: `ok`, `fail` (certainly not applied), or `info` (unknown)."""

    client: str
    kind: str
    identity: bytes
    argument: object
    level: str
    began_s: float
    outcome: str = "info"
    ended_s: float | None = None
    entry: bytes | None = None


@dataclass(slots=True)
class SimClient:
    """One client; it may have many requests in flight. `number` is its link's number on every node."""

    name: str
    number: int
    scheduler: Scheduler
    network: Network
    random: Random
    history: list[Operation] = field(default_factory=list)
    _waiting: dict[int, Operation] = field(default_factory=dict)
    _contexts: dict[bytes, CausalContext] = field(default_factory=dict)
    _last_id: int = 0

    def start(self, kind: str, type_tag: str, key: str, argument: object, level: str) -> tuple[Operation, bytes]:
        """Record a new operation and return it with the frame to send."""
        identity = identity_of("default", type_tag, key)
        operation = Operation(self.name, kind, identity, argument, level, self.scheduler.now)
        self.history.append(operation)
        self._last_id += 1
        self._waiting[self._last_id] = operation
        if kind == "get":
            request: GetRequest | MutateRequest = GetRequest(self._last_id, [identity], level, 2000)
        else:
            context = None
            if kind == "put" and type_tag == "register" and self.random.random() < 0.3:
                seen = self._contexts.get(identity)
                context = seen.to_wire() if seen is not None else None
            arguments = [] if kind == "delete" else [argument]
            request = MutateRequest(self._last_id, identity, kind, arguments, context, 0, level, 2000)  # type: ignore[arg-type]
        return operation, encode_frame(1, [request])

    def receive(self, _: str, payload: bytes) -> None:
        """Take a node's answers."""
        for message in decode_frame(payload).messages:
            if not isinstance(message, (EntriesReply, MutateReply, ErrorReply)):
                continue
            operation = self._waiting.pop(message.id, None)
            if operation is None:
                continue
            operation.ended_s = self.scheduler.now
            match message:
                case ErrorReply(_, code, fields):
                    operation.outcome = "info" if error_from_wire(code, fields).maybe_applied else "fail"
                case EntriesReply(_, entries):
                    operation.outcome = "ok"
                    entry = operation.entry = entries[0]  # type: ignore[assignment]
                    if entry is not None:
                        self._contexts[operation.identity] = Entry.from_bytes(entry).context  # type: ignore[arg-type]
                case MutateReply():
                    operation.outcome = "ok"
