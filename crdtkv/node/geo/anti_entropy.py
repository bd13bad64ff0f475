"""`GeoAntiEntropy`: finds what this data center and another one hold differently, and repairs it on both sides.

Partitions and Merkle trees are the same everywhere, so a node compares its trees with those of any replica of another
data center; the messages of an exchange (`repair.exchange`) travel over NATS. Entries that arrive are stored at a
majority of the home replicas, as those of a stream are. Every interval a node compares all its partitions with the next
node of each other data center. Entries that are on their way in the stream differ for a moment: repairing them changes
nothing, but costs bytes, so such an exchange is small, and is continued at once only if it found old differences.

A *session* compares everything, as fast as `compare_max_mib_per_s` allows. It is begun by a mark
(`comparison_marks`): the stream will not carry entries that the other data center lacks, or this one lacks entries.
After a restart it begins again, because the mark is durable; what is equal already costs a few bytes. The partitions
whose first replica is this node come first, so that the nodes of a data center do not repair the same differences at
the same time.

A node that does not count yet takes no part: its own data center has to fill it first.
"""

from collections.abc import Callable, Sequence

from crdtkv.causality.hybrid_clock import wall_ms_of
from crdtkv.config.model import GeoConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, ProtocolError
from crdtkv.node.datacenters.applying import Applier, ArrivedEntry
from crdtkv.node.datacenters.bus_link import BusLink
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.repair.anti_entropy import PAUSE_S, AntiEntropy
from crdtkv.node.repair.exchange import Bounds, ExchangeCall, Findings, Taken, answer
from crdtkv.node.repair.tree_comparison import Item, TreeComparison
from crdtkv.node.replica.comparison_marks import EXCHANGE, GIVE, ComparisonMarks
from crdtkv.node.replica.replica import Replica
from crdtkv.ring.token import identity_in, partition_of
from crdtkv.wire.messages import EntriesTaken, LeafReply, Message, RootsReply

#: Trees, entries and bytes of an exchange outside sessions, and within.
_SMALL = (8, 1_000, 512 * 1024)
_LARGE = (32, 16_000, 4 * 1024 * 1024)
#: How old an entry must be that cannot be on its way in the stream any more.
OVERDUE_MS = 30_000
#: The pause of a session after a node that did not answer.
RETRY_S = 2.0


class GeoAntiEntropy:
    """The exchanges of one node with other data centers."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        comparison: TreeComparison,
        applier: Applier,
        anti_entropy: AntiEntropy,
        marks: ComparisonMarks,
        bus: BusLink,
        config: GeoConfig,
        entry_bytes_max: int,
    ) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._comparison = comparison
        self._applier = applier
        self._anti_entropy = anti_entropy
        self.marks = marks
        self.config = config
        self._bus = bus
        self._outside_sessions = _Channel(self, Bounds(*_SMALL, entry_bytes_max))
        #: Also for answers: the other node may be in a session.
        self._in_sessions = _Channel(self, Bounds(*_LARGE, entry_bytes_max))
        self._pairs = {datacenter: _Pair(self, datacenter, nodes) for datacenter, nodes in bus.nodes.items()}

    @property
    def snapshot(self) -> dict[str, dict[str, object]]:
        """The state of each other data center; for `status`."""
        return {datacenter: pair.snapshot for datacenter, pair in self._pairs.items()}

    @property
    def in_flight(self) -> int:
        """The number of exchanges in flight; they never end for long."""
        return sum(pair.is_exchanging for pair in self._pairs.values())

    @property
    def unfilled(self) -> list[str]:
        """The data centers that may hold what this one lacks, sorted."""
        return [datacenter for datacenter in self._pairs if self.marks.kind(datacenter) == EXCHANGE]

    def next_timer(self) -> float | None:
        """Return when the next exchange is due; None if none can begin before another event."""
        if not self._pairs or not self._bus.is_up or not self.counts:
            return None
        return min((at_s for pair in self._pairs.values() if (at_s := pair.due_at) is not None), default=None)

    def run_due(self) -> None:
        """Begin exchanges, if it is time; called at the end of every step."""
        if self._pairs and self._bus.is_up and self.counts:
            for pair in self._pairs.values():
                pair.run_due()

    def received(self, sender: str, message: Message) -> None:
        """Handle a message of a node of another data center.

        Raises:
            CrdtkvError: it is malformed, or the sender is unknown.
        """
        datacenter = self._bus.datacenter_of(sender)
        if isinstance(message, RootsReply | LeafReply | EntriesTaken):
            self._pairs[datacenter].answered(sender, message)
        elif self.counts and self._step.effects.has_room_for(sender):  # else the other node asks again
            answer(self._in_sessions, self._comparison, sender, message)

    @property
    def counts(self) -> bool:
        """Whether this node is a member."""
        return self._cluster.counts

    def partitions(self) -> list[int]:
        """Return the partitions of this node, those whose first replica it is first."""
        ring, node = self._cluster.ring, self._cluster.node
        return sorted(self._anti_entropy.own, key=lambda partition: ring.replicas_of(partition).index(node))

    def exchange(
        self, peer: str, partitions: list[int], is_in_session: bool, ended: Callable[[Findings], None]
    ) -> ExchangeCall | None:
        """Begin an exchange about those of the partitions that have a tree; return None if none has."""
        built = [partition for partition in partitions if self._comparison.forest.is_built(partition)]
        if not built:
            return None
        self._step.stats.count("geo_exchanges")
        channel = self._in_sessions if is_in_session else self._outside_sessions
        call = ExchangeCall(self._kernel, self._comparison, channel, peer, ended)
        call.start(built)
        return call

    def send(self, node: str, message: Message) -> None:
        """Send a message to a node of another data center, when all that was written so far is durable."""
        self._bus.send(node, message)

    def take(self, partition: int, items: list[object], then: Callable[[Taken], None]) -> None:
        """Store entries at a majority of their home replicas.

        Raises:
            CrdtkvError: one of them is no entry of its key, or this node is no replica of the partition.
        """
        arrived: list[ArrivedEntry] = []
        overdue = size_bytes = 0
        overdue_ms = self._step.now.wall_ms - OVERDUE_MS
        for item in map(Item.from_wire, items):
            key = self._comparison.keys.from_peer(identity_in(item.storage_key))
            if partition_of(key.token, self._cluster.ring.partitions) != partition:
                raise ProtocolError(f"a key of another partition than {partition}")
            if item.basis is None or self._replica.has_seen(key.storage_key, item.basis):
                entry = Entry.from_peer(item.entry, key.type_tag)
                arrived.append(ArrivedEntry(key, entry, item.basis is not None))
                overdue += 0 < wall_ms_of(entry.state.newest()) < overdue_ms
                size_bytes += len(item.entry)
        if not arrived:
            then(Taken(0, 0, is_whole=not items))
            return
        homes = self._cluster.homes(arrived[0].key.token)
        if self._cluster.node not in homes:
            raise ProtocolError(f"this node is no replica of partition {partition}")

        def applied() -> None:
            then(Taken(len(arrived), size_bytes, len(arrived) == len(items), overdue))

        def failed(_: CrdtkvError) -> None:
            then(Taken(0, 0, is_whole=False))

        self._applier.apply(homes, arrived, applied, failed)


class _Channel:
    """The bus with the bounds of exchanges in sessions, or outside of them."""

    def __init__(self, geo: GeoAntiEntropy, bounds: Bounds) -> None:
        self._geo = geo
        self.bounds = bounds

    def send(self, node: str, message: Message, is_durable: bool = True) -> None:
        """Send a message; the bus holds every message until all that was written so far is durable."""
        self._geo.send(node, message)

    def take(self, partition: int, items: list[object], then: Callable[[Taken], None]) -> None:
        """Store entries, as `GeoAntiEntropy.take` does."""
        self._geo.take(partition, items, then)


class _Session:
    """One comparison of everything with the nodes of a data center; `left` are the partitions to compare with each."""

    def __init__(self, kind: bytes, times_set: int, nodes: Sequence[str], partitions: Sequence[int]) -> None:
        self.kind = kind
        self.times_set = times_set
        self.left = {node: set(partitions) for node in nodes}
        #: By partition: the nodes there that may be replicas, and those that hold all that this node held.
        self._replicas = dict.fromkeys(partitions, len(nodes))
        self._holders = dict.fromkeys(partitions, 0)
        self._not_given = set(partitions)

    @property
    def is_done(self) -> bool:
        """Whether the mark may be cleared."""
        return not self._not_given and (self.kind == GIVE or not any(self.left.values()))

    def note(self, findings: Findings) -> None:
        """Note the result of an exchange. A partition is given when a majority of its replicas there holds it."""
        left = self.left[findings.peer]
        for partition in left & findings.unheld:
            self._replicas[partition] -= 1
        for partition in left & findings.compared:
            self._holders[partition] += 1
        left -= findings.compared | findings.unheld
        self._not_given = {
            partition for partition in self._not_given if self._holders[partition] <= self._replicas[partition] // 2
        }


class _Pair:
    """The exchanges of this node with one other data center."""

    def __init__(self, geo: GeoAntiEntropy, datacenter: str, nodes: Sequence[str]) -> None:
        self._geo = geo
        self._datacenter = datacenter
        self._nodes = sorted(nodes)
        self._cluster = geo._cluster
        self._step = geo._step
        self._next_at = self._step.now.monotonic_s + geo.config.compare_interval_s
        self._call: ExchangeCall | None = None
        self._session: _Session | None = None
        self._of_epoch = self._cluster.epoch
        # The nodes of a data center begin with different nodes of the other one.
        siblings = sorted(self._cluster.ring.replicas_of(0))
        self._turn = siblings.index(self._cluster.node) if self._cluster.node in siblings else 0
        #: By node and partition: when the last exchange began in which it was compared.
        self._compared_at: dict[str, dict[int, float]] = {node: {} for node in self._nodes}

    @property
    def snapshot(self) -> dict[str, object]:
        """What is left of a session, by node, and how long ago every partition was compared with every node there."""
        session, partitions = self._session, self._geo.partitions()
        oldest_s = self._step.now.monotonic_s
        is_complete = True
        for compared_at in self._compared_at.values():
            for partition in partitions:
                at_s = compared_at.get(partition)
                if at_s is None:
                    is_complete = False
                else:
                    oldest_s = min(oldest_s, at_s)
        return {
            "left": {node: len(left) for node, left in session.left.items() if left} if session is not None else {},
            "compared_s": round(self._step.now.monotonic_s - oldest_s, 3) if is_complete else None,
        }

    @property
    def is_exchanging(self) -> bool:
        """Whether an exchange is in flight."""
        return self._call is not None

    @property
    def due_at(self) -> float | None:
        """The time of the next exchange; None while one is in flight."""
        if self._call is not None:
            return None
        return self._step.now.monotonic_s if self._needs_session else self._next_at

    def run_due(self) -> None:
        """Begin an exchange, if it is time."""
        if self._call is not None:
            return
        if self._needs_session or (self._session is not None and self._of_epoch != self._cluster.epoch):
            self._begin_session()
        if self._session is not None and self._session.is_done:
            self._end_session(self._session)
        now_s = self._step.now.monotonic_s
        if now_s < self._next_at:
            return
        self._next_at = now_s + (self._geo.config.compare_interval_s if self._session is None else RETRY_S)
        peer = self._next_node()
        session = self._session
        partitions = self._geo.partitions()
        compared_at = self._compared_at[peer]
        if session is not None:
            partitions = [partition for partition in partitions if partition in session.left[peer]]
        else:
            # Those that did not fit into earlier exchanges come first.
            partitions.sort(key=lambda partition: compared_at.get(partition, 0.0))

        def ended(findings: Findings) -> None:
            self._call = None
            compared_at.update(dict.fromkeys(findings.compared | findings.unheld, now_s))
            self._ended(session, findings)

        self._call = self._geo.exchange(peer, partitions, session is not None, ended)

    def answered(self, sender: str, message: RootsReply | LeafReply | EntriesTaken) -> None:
        """Pass an answer to the exchange in flight."""
        if self._call is not None and message.id == self._call.number:
            self._call.answered(sender, message)

    @property
    def _needs_session(self) -> bool:
        """Whether there is a mark and no session."""
        return self._session is None and self._geo.marks.kind(self._datacenter) is not None

    def _begin_session(self) -> None:
        marks, datacenter = self._geo.marks, self._datacenter
        kind = marks.kind(datacenter)
        assert kind is not None
        self._of_epoch = self._cluster.epoch
        self._session = _Session(kind, marks.times_set(datacenter), self._nodes, self._geo.partitions())
        self._next_at = self._step.now.monotonic_s
        self._step.stats.count("geo_sessions")

    def _next_node(self) -> str:
        """Return the next node in turn; in a session one that is not done."""
        while True:
            node = self._nodes[self._turn % len(self._nodes)]
            self._turn += 1
            if self._session is None or self._session.left[node] or not any(self._session.left.values()):
                return node

    def _ended(self, session: _Session | None, findings: Findings) -> None:
        now_s, config = self._step.now.monotonic_s, self._geo.config
        pause_s = max(PAUSE_S, findings.moved_bytes / (config.compare_max_mib_per_s * 1024 * 1024))
        if findings.differences:
            self._step.stats.count("geo_repaired", findings.differences)
        if session is not None and session is self._session:
            session.note(findings)
            if session.is_done or findings.compared or findings.has_repaired:
                self._next_at = now_s + pause_s
        elif findings.is_cut_short and findings.overdue:
            self._next_at = now_s + pause_s

    def _end_session(self, session: _Session) -> None:
        self._session = None
        marks = self._geo.marks
        if marks.times_set(self._datacenter) == session.times_set:
            marks.clear(self._datacenter)
            self._next_at = self._step.now.monotonic_s + self._geo.config.compare_interval_s
