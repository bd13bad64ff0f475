"""A simulated client: it begins calls, and records in the history what came of each.

What it sends, and to whom, is decided by the core of the real client (`client.core`): it has one core for every data
center that it prefers in turn, as a program with several clients has. They share what it has seen, so a session goes on
wherever it reads and writes. About half of the clients are in a session; another client may go on with it, by its
token. Its scans are `scanner`'s part.

A call that moves to another data center is recorded as one of that data center, unless it is linearizable: that holds
for the data center it was meant for, wherever it is carried out.
"""

from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING, Any

from crdtkv.causality.context import CausalContext
from crdtkv.causality.seen import Seen
from crdtkv.checking.history import Context, Operation
from crdtkv.checking.levels import read_and_write_quorum
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
from crdtkv.sim.actors.scanner import Scanner
from crdtkv.sim.plan.workload import Call
from crdtkv.sim.world.shown import plain, values_of
from crdtkv.wire.messages import MutateReply

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster

#: How long a call may take: mostly too short for a write to be tried again, now and then long enough for several tries.
TIMEOUTS_S = (2.0, 2.0, 5.0)
#: How many of the clients are in a session, wherever they read and write.
SESSIONS = 0.5
#: How many of the cores reach nodes only at addresses that they were given.
GIVEN_ADDRESSES = 0.5


@dataclass(slots=True)
class _Running:
    """A call under way: what it is recorded as, and between which hybrid times each data center answered at first."""

    operation: Operation
    identity: bytes
    earliest: dict[str, int]


class SimClient:
    """One client; it may have many calls under way. Made by `clients_of`."""

    def __init__(self, name: str, cluster: "SimCluster", random: Random) -> None:
        self.name = name
        self._cluster = cluster
        self._random = random
        self._replicas = min(cluster.plan.shape.replication_factor, cluster.plan.shape.nodes)
        self.observations = Observations(Seen() if random.random() < SESSIONS else None)
        self.hosts = {datacenter: self._host(datacenter) for datacenter in cluster.plan.datacenters}
        self.scanner = Scanner(self, cluster)
        self._session = name
        self._sessions = 1
        self.history: list[Operation] = []
        self._running: dict[CoreCall, _Running] = {}
        self._contexts: dict[bytes, CausalContext] = {}

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
        operation = self._note(write, identity, self.operation(call, call.key, seen))
        host.begin(self, write)
        self._cluster.monitors.retrying.begins(write.operation_id, operation)
        return operation

    def hand_session_to(self, other: "SimClient") -> None:
        """Let another client go on with this one's session, by its token, and begin a new one."""
        seen = self.observations.seen
        if seen is None or other is self:
            return
        self._cluster.coverage.count("sessions_moved")
        other._go_on_with(self._session, Seen.from_token(seen.to_token()))
        self._sessions += 1
        self._go_on_with(f"{self.name} session {self._sessions}", Seen())

    def _go_on_with(self, session: str, seen: Seen) -> None:
        """Be in that session from now on, with what is under way: its answers are compared with that, too."""
        self._session, self.observations.seen = session, seen
        self.observations.observe(seen.newest)
        for call, running in self._running.items():
            if isinstance(call, SessionRead | Write):
                running.operation.session = session

    def operation(self, call: Call, key: str, seen: CausalContext | None = None) -> Operation:
        """Enter an operation that begins now into the history."""
        reads, writes = read_and_write_quorum(call.level, self._replicas)
        operation = Operation(
            client=self.name,
            datacenter=call.datacenter,
            kind=call.kind,
            type=call.type,
            key=key,
            began=self._cluster.scheduler.now,
            argument=plain(call.argument),
            seen=plain_context(seen) if seen is not None else None,
            level=call.level,
            reads=reads,
            writes=writes,
            replicas=self._replicas,
            observed=self.observations.newest,
            ttl_ms=call.ttl_ms,
            earliest=self._cluster.times.at(call.datacenter)[0],
        )
        if self.observations.seen is not None and call.kind != "final":
            operation.session = self._session
        self.history.append(operation)
        return operation

    def end(self, operation: Operation, outcome: str, datacenter: str, earliest: int) -> None:
        """Enter how an operation ended, and in which data center."""
        operation.outcome = outcome
        operation.ended = self._cluster.scheduler.now
        if operation.level != "LINEARIZABLE" and datacenter != operation.datacenter:
            self._cluster.coverage.count("calls_moved")
            operation.datacenter = datacenter
        now_earliest, operation.latest = self._cluster.times.at(operation.datacenter)
        operation.earliest = min(earliest, now_earliest)
        is_majority = min(operation.reads, operation.writes) * 2 > self._replicas
        if not operation.session and operation.kind != "scan" and is_majority:
            # Whoever stays with majorities in one data center reads his own writes, whichever node takes them.
            operation.session = f"{self.name} in {operation.datacenter}"

    def show(self, operation: Operation, entry: Entry | None) -> None:
        """Enter what a read has shown."""
        operation.values, operation.context = [], {}
        if entry is None:
            return
        operation.values = plain(values_of(entry.state))
        operation.context = plain_context(entry.context)
        operation.timestamp = entry.state.newest()
        self.observations.observe(operation.timestamp)

    @property
    def session(self) -> str:
        """The session that it is in, "" for none."""
        return self._session if self.observations.seen is not None else ""

    # What the host tells (`CallUser`):

    def ended(self, call: CoreCall, result: Any, error: CrdtkvError | None) -> None:
        """Enter the end of a call into the history."""
        running = self._running.pop(call)
        operation = running.operation
        view = call.view if isinstance(call, Read | SessionRead | Write) else None
        datacenter = view.name if view is not None else operation.datacenter
        outcome = "ok" if error is None else "info" if error.maybe_applied else "fail"
        if isinstance(call, SessionRead) and call.is_repeated:
            self._cluster.coverage.count("session_reads_again")
        self.end(operation, outcome, datacenter, running.earliest[datacenter])
        if error is not None:
            return
        if isinstance(result, MutateReply):
            operation.dot = (result.actor, result.counter)
            operation.timestamp = result.timestamp
            return
        entry = Entry.from_bytes(result) if result is not None else None
        self.show(operation, entry)
        if entry is not None:
            self._contexts[running.identity] = entry.context

    def page(self, call: CoreCall, page: Any) -> None:
        """Take no page: scans are the scanner's."""

    def _read(self, call: Call, key: str, timeout_s: float) -> Read | SessionRead:
        identity, level = identity_of("default", call.type, key), level_named(call.level)
        read: Read | SessionRead
        if self.observations.seen is None or call.kind == "final":
            read = Read(identity, level, timeout_s)
        else:
            read = SessionRead(identity, level, timeout_s, self.observations)
        self._note(read, identity, self.operation(call, key))
        return read

    def _note(self, call: CoreCall, identity: bytes, operation: Operation) -> Operation:
        earliest = {datacenter: self._cluster.times.at(datacenter)[0] for datacenter in self.hosts}
        self._running[call] = _Running(operation, identity, earliest)
        return operation

    def _host(self, datacenter: str) -> ClientHost:
        """Return the core that prefers a data center."""
        cluster, random = self._cluster, Random(f"{self.name} {datacenter} {self._cluster.plan.seed}")
        others = [other for other in cluster.plan.datacenters if other != datacenter]
        host = ClientHost(f"{self.name}@{datacenter}", cluster, random, [datacenter, *others])
        if random.random() < GIVEN_ADDRESSES:
            host.given = tuple(random.sample(sorted(cluster.nodes), len(cluster.nodes)))
        return host


def clients_of(cluster: "SimCluster") -> list[SimClient]:
    """Return as many clients as the plan says, and the judge: it reads everything at the end."""
    seed = cluster.plan.seed
    return [
        SimClient(f"client-{number}", cluster, Random(f"client {seed} {number}"))
        for number in range(cluster.plan.shape.clients + 1)
    ]


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
