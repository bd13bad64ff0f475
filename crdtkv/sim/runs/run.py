"""One simulated life: faults and calls, then healing and quiet, then the judgement.

Quiet means that nobody has to repair anything by hand: within a bounded time every outbox empties, every call ends,
every node knows the same ring, and all replicas hold the same bytes (I7). Then everything is read in every data
center, and the whole history is judged.
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

#: Virtual seconds within which a healed cluster must be quiet, and how often that is looked at.
QUIET_WITHIN_S = 120.0
LOOK_EVERY_S = 1.0
FIRST_START_WITHIN_S = 20.0
READ_WITHIN_S = 6.0
READ_STEP_S = 0.1


class Run:
    """One life; `live` lives it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster = SimCluster(plan)
        self._judge = self.cluster.clients[-1]
        self._keys = plan.keys

    @property
    def history(self) -> list[Operation]:
        """All operations of all clients, in the order in which they began."""
        operations = [operation for client in self.cluster.clients for operation in client.history]
        return sorted(operations, key=lambda operation: operation.began)

    def live(self) -> None:
        """Live through both phases and judge.

        Raises:
            InvariantViolated: with all that was found.
            AssertionError: the product's own assertions.
        """
        cluster, plan = self.cluster, self.plan
        self._wait_for_members()
        cluster.connect_clients()
        cluster.scheduler.run_until(cluster.scheduler.now + LINKED_WITHIN_S)
        began_s = cluster.scheduler.now
        chaos = Chaos(cluster)
        for call in plan.calls:
            cluster.scheduler.after(call.at_s, lambda call=call: self._begin(call))  # type: ignore[misc]
        for watcher in cluster.watchers:
            watcher.start(plan.seconds / 2)
        cluster.scheduler.run_until(began_s + plan.seconds)
        cluster.note("everything heals")
        chaos.heal()
        self._wait_for_quiet()
        cluster.monitors.watched.settle()
        self._read_everything()
        # These reads repair what they find: a tombstone that one replica has just dropped is written back to it.
        self._wait_for_quiet()
        for node in cluster.nodes.values():
            assert node.core is not None
            cluster.coverage.take(node.core)
        if cluster.coverage.counts["merkle_trees_corrected"]:
            raise InvariantViolated([Violation("I7", "a Merkle tree was not that of its disk")])
        cluster.monitors.retrying.completed()
        history = [self.cluster.monitors.collecting.completed(operation) for operation in self.history]
        made = self.cluster.monitors.making.by_key()
        cluster.coverage.take_history(history, made)
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
        """Let all nodes enter themselves into the topology: a cluster that has just been started is not used yet."""
        scheduler = self.cluster.scheduler
        nodes = self.cluster.nodes.values()
        while any(node.core is None or node.core.parts.enrollment.state != "member" for node in nodes):
            if scheduler.now > FIRST_START_WITHIN_S:
                raise InvariantViolated([Violation("I7", "a new cluster does not come up")])
            scheduler.run_until(scheduler.now + READ_STEP_S)

    def _wait_for_quiet(self) -> None:
        scheduler = self.cluster.scheduler
        until_s = scheduler.now + QUIET_WITHIN_S
        while True:
            why = self._why_not_quiet()
            if not why:
                return
            if scheduler.now >= until_s:
                raise InvariantViolated([Violation("I7", f"{QUIET_WITHIN_S:g} s after healing: {why}")])
            scheduler.run_until(scheduler.now + LOOK_EVERY_S)

    def _why_not_quiet(self) -> str:
        """Say what is still going on, "" if nothing is."""
        documents: dict[str, set[Topology]] = {}
        for node in self.cluster.nodes.values():
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
        return self._why_not_equal() or self._why_roots_differ()

    def _read_everything(self) -> None:
        """Read every key at `LOCAL_ALL` in every data center; and scan all of them, by small pages."""
        cluster = self.cluster
        finals = [
            self._judge.call(Call(0.0, 0, dc, "final", type_tag, key, None, "LOCAL_ALL", False))
            for dc in self.plan.datacenters
            for type_tag, key in self._keys
        ]
        for dc in self.plan.datacenters:
            for type_tag in dict.fromkeys(type_tag for type_tag, _ in self._keys):
                self._judge.scanner.scan(Call(0.0, 0, dc, "final", type_tag, "", 2, "LOCAL_QUORUM", False))
        until_s = cluster.scheduler.now + READ_WITHIN_S
        while cluster.scheduler.now < until_s and self._judge.is_waiting:
            cluster.scheduler.run_until(cluster.scheduler.now + READ_STEP_S)
        if self._judge.scanner.failures or self._judge.scanner.is_waiting:
            raise InvariantViolated([Violation("I7", "all is healed, but a scan does not end")])
        unread = [Violation("I7", f"all is healed, but: {final}") for final in finals if final.outcome != "ok"]
        if unread:
            raise InvariantViolated(unread)

    def _why_roots_differ(self) -> str:
        """Say which partition's Merkle roots differ within a data center, "" if none."""
        roots: dict[tuple[str, int], dict[str, int]] = {}
        for name, node in self.cluster.nodes.items():
            assert node.core is not None
            for partition, root in node.core.parts.anti_entropy.roots().items():
                roots.setdefault((node.place.datacenter, partition), {})[name] = root
        for (dc, partition), by_node in roots.items():
            if len(set(by_node.values())) > 1:
                return f"Merkle roots of partition {partition} in {dc}: {by_node}"
        return ""

    def _why_not_equal(self) -> str:
        """Say which home replicas differ: of all data centers, unless disks have forgotten."""
        cluster = self.cluster
        for type_tag, key in self._keys:
            at = storage_key_of(identity_of("default", type_tag, key))
            copies: dict[str, dict[str, bytes | None]] = {}
            for name, node in cluster.nodes.items():
                assert node.core is not None
                if name in node.core.parts.kernel.cluster.ring.preference_list(at):
                    group = node.place.datacenter if self.plan.is_forgetful else "all"
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
    calls = len(core.parts.kernel.calls) - core.parts.collection.is_asking
    busy = (
        (len(outbox) or outbox.has_dropped or has_rows, f"has {len(outbox)} outbox rows"),
        (len(hints) or hints.needs_repair, f"keeps {len(hints)} hints, {hints.needing_repair} need repair"),
        (state != "member", f"is {state}"),
        (core.parts.replica.commits.has_dirty_keys, "waits for its disk"),
        (not core.parts.anti_entropy.is_built, "has not built its Merkle trees"),
        (collects and len(core.parts.replica.tombstones), f"keeps {len(core.parts.replica.tombstones)} tombstones"),
        # Rounds go on for as long as there are tombstones, some of which wait for a clock that is years behind.
        (calls, f"has {calls} calls in flight"),
    )
    return next((why for is_so, why in busy if is_so), "")
