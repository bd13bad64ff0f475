"""`Run`: one simulated run: faults and calls, then healing until the cluster is quiet, then the checks.

The cluster becomes quiet without intervention: within a bounded time every outbox empties, every call ends, all nodes
have the same topology, and all replicas hold the same bytes (I7). Then every key is read in every data center, and the
whole history is checked.
"""

from crdtkv.checking.history import Operation
from crdtkv.checking.verdict import judge
from crdtkv.checking.violation import Violation
from crdtkv.ids import identity_of
from crdtkv.ring.token import storage_key_of
from crdtkv.ring.topology import Topology
from crdtkv.sim.actors.chaos import Chaos
from crdtkv.sim.actors.client_host import LINKED_WITHIN_S
from crdtkv.sim.cluster import SimCluster
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.plan.workload import Call
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.stored import InvariantViolated
from crdtkv.storage import rows

#: The virtual time within which a healed cluster must be quiet, and the interval of the checks for that.
QUIET_WITHIN_S = 120.0
CHECK_EVERY_S = 1.0
#: The same for watchers, which must receive all changes after that.
SETTLED_WITHIN_S = 30.0
CHECK_WATCHERS_EVERY_S = 0.5
FIRST_START_WITHIN_S = 20.0
READ_WITHIN_S = 6.0
READ_STEP_S = 0.1


class Run:
    """One run; `execute` carries it out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster = SimCluster(plan)
        self._world = self.cluster.world
        self._scheduler = self._world.scheduler
        self._reader = self.cluster.clients[-1]
        self._keys = plan.keys

    @property
    def history(self) -> list[Operation]:
        """All operations of all clients, in the order in which they began."""
        operations = [operation for client in self.cluster.clients for operation in client.history]
        return sorted(operations, key=lambda operation: operation.began)

    def execute(self) -> None:
        """Go through both phases, and check the history.

        Raises:
            InvariantViolated: some invariants do not hold.
            AssertionError: an assertion of the product fails.
        """
        self._wait_for_members()
        self._world.connect_clients()
        self._scheduler.run_until(self._scheduler.now + LINKED_WITHIN_S)
        self._break()
        self._wait_for_quiet()
        self._wait_for_watchers()
        self.cluster.monitors.watch.check(self.cluster.watchers)
        self._read_everything()
        # These reads repair replicas: they write a tombstone back to a replica that has just collected it.
        self._wait_for_quiet()
        self._check()

    def _break(self) -> None:
        """Carry out the calls and the incidents of the plan, then heal everything."""
        plan, began_s = self.plan, self._scheduler.now
        chaos = Chaos(self._world)
        for call in plan.calls:
            self._scheduler.after(call.at_s, lambda call=call: self._begin(call))  # type: ignore[misc]
        for watcher in self.cluster.watchers:
            watcher.start(plan.seconds / 2)
        self._scheduler.run_until(began_s + plan.seconds)
        self._world.note("everything heals")
        chaos.heal()

    def _check(self) -> None:
        """Check the history of the whole run."""
        plan, monitors = self.plan, self.cluster.monitors
        for node in self._world.nodes.values():
            assert node.core is not None
            monitors.coverage.take(node.core)
        if monitors.coverage.counts["merkle_trees_corrected"]:
            raise InvariantViolated([Violation("I7", "a Merkle tree was not that of its disk")])
        monitors.retrying.completed()
        history = [monitors.collecting.completed(operation) for operation in self.history]
        made = monitors.operation_log.by_key()
        monitors.coverage.take_history(history, made)
        violations = judge(history, plan.lost_disks, made)
        if plan.has_good_clocks:
            violations += [
                Violation("I10", f"{op} at {op.timestamp} is not above what its client had seen, {op.observed}")
                for op in history
                if op.dot is not None and op.timestamp <= op.observed
            ]
        if violations:
            raise InvariantViolated(violations)

    def _begin(self, call: Call) -> None:
        clients = self.cluster.clients
        client = clients[call.client]
        if call.kind == "scan":
            client.scanner.scan(call)
        elif call.kind == "move":
            assert isinstance(call.argument, int)
            client.hand_session_to(clients[call.argument % self.plan.shape.clients])
        else:
            client.call(call)

    def _wait_for_members(self) -> None:
        """Wait until all nodes have entered themselves into the topology: a new cluster is not used before."""
        scheduler = self._scheduler
        nodes = self._world.nodes.values()
        while any(node.core is None or node.core.parts.enrollment.state != "member" for node in nodes):
            if scheduler.now > FIRST_START_WITHIN_S:
                raise InvariantViolated([Violation("I7", "a new cluster does not come up")])
            scheduler.run_until(scheduler.now + READ_STEP_S)

    def _wait_for_quiet(self) -> None:
        scheduler = self._scheduler
        until_s = scheduler.now + QUIET_WITHIN_S
        while True:
            why = self._why_not_quiet()
            if not why:
                return
            if scheduler.now >= until_s:
                raise InvariantViolated([Violation("I7", f"{QUIET_WITHIN_S:g} s after healing: {why}")])
            scheduler.run_until(scheduler.now + CHECK_EVERY_S)

    def _wait_for_watchers(self) -> None:
        """Wait until all watchers have received all changes."""
        scheduler, watchers = self._scheduler, self.cluster.watchers
        for watcher in watchers:
            watcher.settle()
        until_s = scheduler.now + SETTLED_WITHIN_S
        while not all(watcher.is_settled for watcher in watchers):
            if scheduler.now >= until_s:
                story = f"all is quiet, but after {SETTLED_WITHIN_S:g} s a watcher has not received all changes"
                raise InvariantViolated([Violation("watch", story)])
            scheduler.run_until(scheduler.now + CHECK_WATCHERS_EVERY_S)

    def _why_not_quiet(self) -> str:
        """Return the first activity that has not ended, "" if the cluster is quiet."""
        documents: dict[str, set[Topology]] = {}
        for node in self._world.nodes.values():
            why = _why_busy(node, self.plan.collects and self.plan.has_good_clocks)
            if why:
                return f"{node.place.node} {why}"
            assert node.core is not None
            documents.setdefault(node.place.datacenter, set()).add(node.core.topology)
        if any(client.is_waiting for client in self.cluster.clients):
            return "clients wait for answers"
        for dc, known in documents.items():
            if len(known) > 1:
                return f"{dc} has several topologies: {known}"
            if self._world.nats.buckets[dc].read()[0] not in known:
                return f"{dc} has another document in its topology bucket than its nodes"
        return self._why_not_equal() or self._why_roots_differ()

    def _read_everything(self) -> None:
        """Read every key at `LOCAL_ALL` in every data center, and scan all of them, by pages of two rows."""
        scheduler = self._scheduler
        finals = [
            self._reader.call(Call(0.0, 0, dc, "final", type_tag, key, None, "LOCAL_ALL", False))
            for dc in self.plan.datacenters
            for type_tag, key in self._keys
        ]
        for dc in self.plan.datacenters:
            for type_tag in dict.fromkeys(type_tag for type_tag, _ in self._keys):
                self._reader.scanner.scan(Call(0.0, 0, dc, "final", type_tag, "", 2, "LOCAL_QUORUM", False))
        until_s = scheduler.now + READ_WITHIN_S
        while scheduler.now < until_s and self._reader.is_waiting:
            scheduler.run_until(scheduler.now + READ_STEP_S)
        if self._reader.scanner.failures or self._reader.scanner.is_waiting:
            raise InvariantViolated([Violation("I7", "all is healed, but a scan does not end")])
        unread = [Violation("I7", f"all is healed, but: {final}") for final in finals if final.outcome != "ok"]
        if unread:
            raise InvariantViolated(unread)

    def _why_roots_differ(self) -> str:
        """Return a partition whose Merkle roots differ, "" if there is none."""
        roots: dict[tuple[str, int], dict[str, int]] = {}
        for name, node in self._world.nodes.items():
            assert node.core is not None
            for partition, root in node.core.parts.anti_entropy.roots().items():
                group = "all data centers" if self.plan.ends_equal else node.place.datacenter
                roots.setdefault((group, partition), {})[name] = root
        for (group, partition), by_node in roots.items():
            if len(set(by_node.values())) > 1:
                return f"Merkle roots of partition {partition} in {group}: {by_node}"
        return ""

    def _why_not_equal(self) -> str:
        """Return a key whose home replicas differ: anywhere, or within a data center if that may be so."""
        for type_tag, key in self._keys:
            at = storage_key_of(identity_of("default", type_tag, key))
            copies: dict[str, dict[str, bytes | None]] = {}
            for name, node in self._world.nodes.items():
                assert node.core is not None
                if name in node.core.parts.kernel.cluster.ring.preference_list(at):
                    group = "all" if self.plan.ends_equal else node.place.datacenter
                    copies.setdefault(group, {})[name] = node.disk.visible(rows.data_row(at))
            for replicas in copies.values():
                if len(set(replicas.values())) > 1:
                    shown = {name: value.hex() if value else None for name, value in replicas.items()}
                    return f"{type_tag}/{key} differs: {shown}"
        return ""


def _why_busy(node: SimNode, collects: bool) -> str:
    core = node.core
    if core is None:
        return "does not run"
    hints, outbox, state = core.parts.hints, core.parts.outbox, core.parts.enrollment.state
    has_rows = node.disk.committed(*rows.OUTBOX_RANGE)
    calls = len(core.parts.kernel.calls) - core.parts.collection.is_asking - core.parts.geo_anti_entropy.in_flight
    busy = (
        (len(outbox) or has_rows, f"has {len(outbox)} outbox rows"),
        (len(core.parts.marks), "has to compare its entries with another data center"),
        (len(hints) or hints.needs_repair, f"keeps {len(hints)} hints, {hints.needing_repair} need repair"),
        (state != "member", f"is {state}"),
        (core.parts.enrollment.next_timer() is not None, "has to enter itself into the topology document"),
        (core.parts.replica.commits.has_dirty_keys, "waits for its disk"),
        (not core.parts.anti_entropy.is_built, "has not built its Merkle trees"),
        (collects and len(core.parts.replica.tombstones), f"keeps {len(core.parts.replica.tombstones)} tombstones"),
        # Collection rounds continue while there are tombstones; some of those wait for a clock that is years behind.
        # Exchanges with other data centers never end for long; whether these are equal is compared below.
        (calls, f"has {calls} calls in flight"),
    )
    return next((why for is_so, why in busy if is_so), "")
