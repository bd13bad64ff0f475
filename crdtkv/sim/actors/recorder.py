"""`Recorder`: the history of one simulated client: what it requested, and what came of each operation.

An operation is entered when it begins, and completed when it ends. An operation that another data center has answered
is recorded as one of that data center, unless it is linearizable: linearizability is promised within the data center
that was asked, wherever the operation is carried out.
"""

from typing import Protocol

from crdtkv.causality.context import CausalContext
from crdtkv.causality.seen import Seen
from crdtkv.checking.history import Operation
from crdtkv.checking.levels import read_and_write_quorum
from crdtkv.client.core.observations import Observations
from crdtkv.crdt.entry import Entry
from crdtkv.sim.plan.workload import Call
from crdtkv.sim.world.shown import plain, plain_context, values_of
from crdtkv.sim.world.sim_world import SimWorld


class AnswerTimes(Protocol):
    """The times at which nodes answer (`monitors.times`)."""

    def at(self, datacenter: str) -> tuple[int, int]:
        """Return the earliest and the latest hybrid time at which a node of a data center may answer now."""
        ...


class Recorder:
    """The history of one client, which may be in a session (`observations.seen`)."""

    def __init__(self, name: str, world: SimWorld, times: AnswerTimes, observations: Observations) -> None:
        self.name = name
        self.observations = observations
        self.history: list[Operation] = []
        self._world = world
        self._times = times
        self._replicas = min(world.plan.shape.replication_factor, world.plan.shape.nodes)
        self._session = name

    @property
    def session(self) -> str:
        """The name of the present session, "" if there is none."""
        return self._session if self.observations.seen is not None else ""

    def continue_session(self, session: str, seen: Seen) -> None:
        """Record the next operations as part of another session."""
        self._session, self.observations.seen = session, seen
        self.observations.observe(seen.newest)

    def earliest(self) -> dict[str, int]:
        """Return the earliest hybrid time at which each data center may answer now."""
        return {datacenter: self._times.at(datacenter)[0] for datacenter in self._world.plan.datacenters}

    def latest(self) -> int:
        """Return the latest hybrid time at which any data center may answer now."""
        return max(self._times.at(datacenter)[1] for datacenter in self._world.plan.datacenters)

    def begin(self, call: Call, key: str, seen: CausalContext | None = None) -> Operation:
        """Enter an operation that begins now."""
        reads, writes = read_and_write_quorum(call.level, self._replicas)
        operation = Operation(
            client=self.name,
            datacenter=call.datacenter,
            kind=call.kind,
            type=call.type,
            key=key,
            began=self._world.now,
            argument=plain(call.argument),
            seen=plain_context(seen) if seen is not None else None,
            level=call.level,
            reads=reads,
            writes=writes,
            replicas=self._replicas,
            observed=self.observations.newest,
            ttl_ms=call.ttl_ms,
            earliest=self._times.at(call.datacenter)[0],
        )
        if call.kind != "final":
            operation.session = self.session
        self.history.append(operation)
        return operation

    def end(self, operation: Operation, outcome: str, datacenter: str, earliest: int) -> None:
        """Complete an operation that ends now; `earliest` is the earliest time of that data center when it began."""
        operation.outcome = outcome
        operation.ended = self._world.now
        if operation.level != "LINEARIZABLE" and datacenter != operation.datacenter:
            self._world.count("calls_moved")
            operation.datacenter = datacenter
        now_earliest, operation.latest = self._times.at(operation.datacenter)
        operation.earliest = min(earliest, now_earliest)
        is_majority = min(operation.reads, operation.writes) * 2 > self._replicas
        if not operation.session and operation.kind != "scan" and is_majority:
            # Majorities in one data center overlap, so a client that uses them reads its own writes without a session.
            operation.session = f"{self.name} in {operation.datacenter}"

    def show(self, operation: Operation, entry: Entry | None) -> None:
        """Enter the entry that a read has returned."""
        operation.values, operation.context = [], {}
        if entry is None:
            return
        operation.values = plain(values_of(entry.state))
        operation.context = plain_context(entry.context)
        operation.timestamp = entry.state.newest()
        self.observations.observe(operation.timestamp)
