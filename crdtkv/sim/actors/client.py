"""A simulated client: it begins the calls of the plan, and records their outcomes.

The core of the real client (`client.core`) decides what is sent, and to which node. A simulated client has one core for
every data center that it prefers in turn, as a program with several clients has. They share the observations, so a
session spans all data centers. About half of the clients are in a session, which another client may continue by its
token. `scanner` does the scans, `recorder` keeps the history.
"""

from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from crdtkv.causality.context import CausalContext
from crdtkv.causality.seen import Seen
from crdtkv.checking.history import Operation
from crdtkv.client.core.calls import Call as CoreCall
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.reading import Read
from crdtkv.client.core.sessions import SessionRead
from crdtkv.client.core.writing import Mutation, Write
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError
from crdtkv.ids import identity_of
from crdtkv.quorum.level import level_named
from crdtkv.sim.actors.client_host import ClientHost
from crdtkv.sim.actors.recorder import AnswerTimes, Recorder
from crdtkv.sim.actors.scanner import Scanner
from crdtkv.sim.plan.workload import Call
from crdtkv.sim.world.sim_world import SimWorld
from crdtkv.wire.messages import MutateReply

#: The timeouts of calls: most are too short for a second try of a write, one is long enough for several.
TIMEOUTS_S = (2.0, 2.0, 5.0)
#: The share of clients that are in a session.
SESSIONS = 0.5
#: The share of cores that reach nodes only at addresses that they were given.
GIVEN_ADDRESSES = 0.5


@dataclass(slots=True)
class _Running:
    """A call in flight: its operation, and the earliest time of an answer of each data center when it began."""

    operation: Operation
    identity: bytes
    earliest: dict[str, int]


class SimClient:
    """One client; it may have many calls in flight. Made by `clients_of`."""

    def __init__(self, name: str, world: SimWorld, times: AnswerTimes, random: Random) -> None:
        self.name = name
        self._world = world
        self._random = random
        self.observations = Observations(Seen() if random.random() < SESSIONS else None)
        self._recorder = Recorder(name, world, times, self.observations)
        self.hosts = {datacenter: self._host(datacenter) for datacenter in world.plan.datacenters}
        self.scanner = Scanner(self._recorder, self.hosts, world)
        self._sessions = 1
        self._running: dict[CoreCall, _Running] = {}
        self._contexts: dict[bytes, CausalContext] = {}

    @property
    def history(self) -> list[Operation]:
        """All its operations, in the order in which they began."""
        return self._recorder.history

    @property
    def is_waiting(self) -> bool:
        """Whether a call has not ended."""
        return bool(self._running) or self.scanner.is_waiting

    def call(self, call: Call) -> Operation:
        """Begin a call; its outcome is filled in when it ends. Of a read of several keys, return the first."""
        identity = identity_of("default", call.type, call.key)
        level, timeout_s = level_named(call.level), self._random.choice(TIMEOUTS_S)
        host = self.hosts[call.datacenter]
        if call.kind in ("get", "final"):
            reads = {key: self._read(call, key, timeout_s) for key in (call.key, *call.others)}
            operation = self._running[reads[call.key]].operation
            host.begin(self, *reads.values())
            return operation
        seen = self._contexts.get(identity) if call.with_context else None
        context: Any = seen.to_wire() if seen is not None else None
        mutation = Mutation(call.kind, wire_arguments(call), context, call.ttl_ms or None)
        write = Write(identity, mutation, level, timeout_s, self.observations)
        operation = self._note(write, identity, self._recorder.begin(call, call.key, seen))
        host.begin(self, write)
        self._world.observer.begun(write.operation_id, operation)
        return operation

    def hand_session_to(self, other: "SimClient") -> None:
        """Let another client continue this one's session, by its token, and begin a new one."""
        seen = self.observations.seen
        if seen is None or other is self:
            return
        self._world.count("sessions_moved")
        other._continue_session(self._recorder.session, Seen.from_token(seen.to_token()))
        self._sessions += 1
        self._continue_session(f"{self.name} session {self._sessions}", Seen())

    def _continue_session(self, session: str, seen: Seen) -> None:
        """Enter another session; calls in flight belong to it, too, because their answers are compared with it."""
        self._recorder.continue_session(session, seen)
        for call, running in self._running.items():
            if isinstance(call, SessionRead | Write):
                running.operation.session = session

    # What the host reports (`CallUser`):

    def ended(self, call: CoreCall, result: Any, error: CrdtkvError | None) -> None:
        """Enter the outcome of a call into the history."""
        running = self._running.pop(call)
        operation = running.operation
        view = call.view if isinstance(call, Read | SessionRead | Write) else None
        datacenter = view.name if view is not None else operation.datacenter
        outcome = "ok" if error is None else "info" if error.maybe_applied else "fail"
        if isinstance(call, SessionRead) and call.is_repeated:
            self._world.count("session_reads_again")
        self._recorder.end(operation, outcome, datacenter, running.earliest[datacenter])
        if error is not None:
            return
        if isinstance(result, MutateReply):
            operation.dot = (result.actor, result.counter)
            operation.timestamp = result.timestamp
            return
        entry = Entry.from_bytes(result) if result is not None else None
        self._recorder.show(operation, entry)
        if entry is not None:
            self._contexts[running.identity] = entry.context

    def page(self, call: CoreCall, page: Any) -> None:
        """Ignore a page: pages of scans go to the scanner."""

    def _read(self, call: Call, key: str, timeout_s: float) -> Read | SessionRead:
        identity, level = identity_of("default", call.type, key), level_named(call.level)
        read: Read | SessionRead
        if self.observations.seen is None or call.kind == "final":
            read = Read(identity, level, timeout_s)
        else:
            read = SessionRead(identity, level, timeout_s, self.observations)
        self._note(read, identity, self._recorder.begin(call, key))
        return read

    def _note(self, call: CoreCall, identity: bytes, operation: Operation) -> Operation:
        self._running[call] = _Running(operation, identity, self._recorder.earliest())
        return operation

    def _host(self, datacenter: str) -> ClientHost:
        """Return the host of the core that prefers a data center."""
        world, random = self._world, Random(f"{self.name} {datacenter} {self._world.plan.seed}")
        others = [other for other in world.plan.datacenters if other != datacenter]
        host = ClientHost(f"{self.name}@{datacenter}", world, random, [datacenter, *others])
        if random.random() < GIVEN_ADDRESSES:
            host.given = tuple(random.sample(sorted(world.nodes), len(world.nodes)))
        return host


def clients_of(world: SimWorld, times: AnswerTimes) -> list[SimClient]:
    """Return the clients of the plan, and one more, which reads everything at the end of a run."""
    seed = world.plan.seed
    return [
        SimClient(f"client-{number}", world, times, Random(f"client {seed} {number}"))
        for number in range(world.plan.shape.clients + 1)
    ]


def wire_arguments(call: Call) -> list[object]:
    """Return the arguments of a call's operation as they are sent: values, elements and names of fields are bytes."""
    arguments = call.argument if isinstance(call.argument, tuple) else () if call.argument is None else (call.argument,)
    if call.kind != "update":
        return [encoded(argument) for argument in arguments]
    path, inner, *rest = arguments
    fields = [part if is_type else part.encode() for part, is_type in zip(path, cycle((True, False)), strict=False)]
    return [fields, inner, *map(encoded, rest)]


def encoded(argument: object) -> object:
    """Return a value as clients encode it: text as UTF-8, anything else as it is."""
    return argument.encode() if isinstance(argument, str) else argument
