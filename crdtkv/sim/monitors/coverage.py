"""`Coverage`: counters of reached paths, over one run or many, and which of them must not stay at zero.

A simulator that never reaches a path proves nothing about it. `REQUIRED` names the interesting paths; a new part of the
product adds its own.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from crdtkv.checking.history import Dot, Operation, covers
from crdtkv.checking.specification.operation import Operation as Made
from crdtkv.checking.verdict import AllMade
from crdtkv.node.core import NodeCore
from crdtkv.sim.world.observer import WorldObserver
from crdtkv.sim.world.view import NodeView

#: By counter: the path that it counts.
REQUIRED: Mapping[str, str] = {
    "read_repairs": "a quorum read wrote back to a replica that lacked something",
    "merkle_repaired": "anti-entropy found a difference between two replicas and repaired it",
    "hints_kept": "a hint was stored for a replica that was down",
    "hints_delivered": "a hint was delivered, and dropped when its target had it durably",
    "hints_dropped": "a hint did not fit, and its target was marked as needing repair",
    "fallback_writes": "a fallback coordinator took a write of which no home replica was alive",
    "learners_began": "a node whose disk had lost data entered itself as a learner",
    "learners_promoted": "a learner had compared everything with every replica, and counted again",
    "tombstones_collected": "a replica collected a tombstone that all nodes had agreed to",
    "actors_renewed": "a node took a new actor, so that it could collect its own dots",
    "hedged_reads": "a read asked one more replica because answers were late",
    "explored_reads": "a read asked a replica that had been slow, to measure it again",
    "background_reads": "a read that one replica answered was followed by one of all in the background",
    "deltas_refused": "a replica had not seen the basis of a partial delta, and was sent the whole entry",
    "superseded_by_replicas": "a replica dropped an older version that the coordinator did not hold",
    "forwarded": "a request went to a node that holds no replica",
    "members_down": "gossip found a node down",
    "epoch_refusals": "a replica refused a request of another ring epoch",
    "topology_written_again": "a lost or set back topology document was written again by a node",
    "geo_republished_rows": "rows that a stream had lost were sent again",
    "outboxes_lost": "another replica had lost its disk, and its outbox with it: everything was compared",
    "geo_repaired": "an exchange with another data center found a difference and repaired it",
    "geo_applied_rows": "rows of another data center were applied and confirmed",
    "applied_entries_checked": "a stream message's entries were looked for on the disks when it was acknowledged",
    "comparisons_marked": "a data center might lack entries, and was marked for a comparison",
    "comparisons_done": "a comparison with another data center was complete, and its result was checked on the disks",
    "incarnations_new_at_start": "a start found a disk that had lost data, and took a new incarnation",
    "commits_lost_in_a_power_loss": "a power loss took commits that were not synced",
    "stopped_by_the_disk": "a disk's error stopped a process",
    "clock_ahead": "a timestamp from the far future did not advance a clock",
    "stream_messages_lost": "a stream lost messages",
    "dead_letters": "a message that cannot be decoded was kept aside",
    "redelivered": "a stream delivered a message again",
    "refused_unavailable": "a level that could not be met was refused before anything was tried",
    "refused_overloaded": "a full node refused",
    "refused_storage": "a node with a full disk refused a write",
    "write_timeouts": "a write of unknown outcome was reported as such",
    "operations_retried": "a client retried a write of unknown outcome",
    "operations_found": "a retried operation had been applied, and was completed",
    "session_reads_again": "a read lacked something its session had seen, and was repeated",
    "calls_moved": "a call was answered in another data center than the preferred one",
    "scan_pages_continued": "a scan continued after a full page",
    "sessions_moved": "another client continued a session, by its token",
    "siblings_read": "a read returned concurrent writes",
    "rights_refused": "a bounded counter was not decremented for lack of rights",
    "inner_fields_read": "a read showed a field of a map inside a map",
    "expired_reads": "a read came after something of its key had expired",
    "watch_scans_begun": "a watch received the whole state, or a cursor was of another log, or too old",
    "watch_changes_sent": "a watch received a key",
    "watches_moved": "a watch lost a replica, or was refused, and others took its place",
    "watch_cursors_kept": "a watch continued at a node with its cursor after a loss, or a sleep",
    "acknowledged_elsewhere": "a write was acknowledged that other data centers had to have, and was looked for there",
    "geo_reads": "a read at a level of several data centers was answered elsewhere",
    "far_reads": "a read in one data center returned a write of another",
}


class Coverage(WorldObserver):
    """The counters of one run, or the sums over many."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def counted(self, name: str, amount: int) -> None:
        """Add to a counter."""
        self.counts[name] += amount

    def stopping(self, node: NodeView) -> None:
        """Add the counters of a process that ends."""
        assert node.core is not None
        self.take(node.core)

    def take(self, core: NodeCore) -> None:
        """Add the counters of a node."""
        stats = core.parts.kernel.step.stats
        self.counts.update(stats.counters)
        self.counts["clock_ahead"] += core.parts.replica.clock.ahead
        for (kind, _, outcome), histogram in stats.requests.items():
            if kind == "forward":
                self.counts["forwarded"] += histogram.count
            name = _OUTCOMES.get(outcome)
            if name is not None:
                self.counts[name] += histogram.count

    def take_history(self, history: Iterable[Operation], made: AllMade) -> None:
        """Count the interesting results of reads."""
        operations = list(history)
        written_in = {(op.type, op.argument): op.datacenter for op in operations if op.kind in ("put", "add")}
        for read in operations:
            values = read.values or []
            here = [(read.type, value) for value in values if isinstance(value, str)]
            self.counts["siblings_read"] += len(values) > 1 and read.type == "register"
            self.counts["far_reads"] += any(written_in.get(one, read.datacenter) != read.datacenter for one in here)
            self.counts["inner_fields_read"] += read.type == "map" and any(value[0] == "map" for value in values)
            self.counts["expired_reads"] += _is_after_an_expiry(read, made.get((read.type, read.key), {}))

    def missing(self) -> list[str]:
        """Return the required counters that are zero."""
        return [name for name in REQUIRED if not self.counts[name]]

    def table(self) -> str:
        """Return the required counters and their meaning, for people."""
        width = max(len(name) for name in REQUIRED)
        return "\n".join(f"{self.counts[name]:>12,}  {name:<{width}}  {meaning}" for name, meaning in REQUIRED.items())


def _is_after_an_expiry(read: Operation, made: Mapping[Dot, Made]) -> bool:
    return any(
        one.expires_at is not None and one.expires_at <= read.earliest and covers(read.context, one.dot)
        for one in made.values()
    )


_OUTCOMES = {
    "unavailable": "refused_unavailable",
    "overloaded": "refused_overloaded",
    "insufficient_storage": "refused_storage",
    "write_timeout": "write_timeouts",
    "insufficient_rights": "rights_refused",
}
