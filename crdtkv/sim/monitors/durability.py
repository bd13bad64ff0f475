"""What leaves a node: nothing that a power loss could still take back, and nothing that is not true.

These look at every message a simulated node sends.

- What leaves at once names no dot of the node's own that is not on its disk for good, shows no stored entry that is
  not, and acknowledges nothing.
- What a client is told is on the disks of as many home replicas as its level says: the dot of its write, or what it
  read.
- A node whose disk has forgotten answers no read that counts, and proposes to count again, before it holds what the
  others held (rule 3).
- Nothing is served that came under another ring epoch (rule 13).
"""

from typing import TYPE_CHECKING, Any

from crdtkv.checking.history import Dot
from crdtkv.checking.levels import SLOPPY, nodes_asked_and_awaited
from crdtkv.node.kernel.effects import Effects, Proposal
from crdtkv.node.kernel.events import Event, Peer, Received
from crdtkv.ring.token import identity_in, storage_key_of
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.stored import descends, has, parse, violated
from crdtkv.storage import rows
from crdtkv.wire.messages import (
    DropTombstones,
    EntriesReply,
    GetRequest,
    HandOff,
    InspectRequest,
    KeepHint,
    LeafReply,
    LeafRequest,
    Message,
    MutateReply,
    MutateRequest,
    PartitionRows,
    ReadPartition,
    ReadReplica,
    ReplicaEntry,
    ReplicaSuperseded,
    ReplicaWritten,
    RootsReply,
    RootsRequest,
    TombstonesDropped,
    TombstonesReply,
    TombstonesRequest,
    WriteReplica,
)

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.world.host import SimNode

_SERVED = (
    ReadReplica, WriteReplica, KeepHint, HandOff, ReadPartition, RootsRequest, LeafRequest,
    TombstonesRequest, DropTombstones,
)  # fmt: skip
_SERVICE = (
    ReplicaEntry, ReplicaSuperseded, PartitionRows, RootsReply, LeafReply, TombstonesReply, TombstonesDropped
)  # fmt: skip
_Asked = tuple[str, int, Peer, int]


class DurabilityMonitor:
    """Looks at what nodes are asked, and at what they answer."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._is_forgetful = cluster.plan.is_forgetful
        #: By node, its life, the asker and the request's number: which key, at which level.
        self._asked: dict[_Asked, tuple[bytes, str]] = {}
        #: By a node whose disk has forgotten: by row, what the others held when it started.
        self._debts: dict[str, dict[bytes, list[bytes]]] = {}

    def stepped(self, node: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at what a step took in, and what it lets out at once."""
        assert node.core is not None
        # What came before a new topology in the same step was served under the epoch before it.
        is_settled = effects.topology is None
        for event in events:
            if type(event) is Received:
                self._note(node, event)
                if is_settled and event.epoch != node.core.parts.kernel.cluster.epoch and isinstance(event.peer, str):
                    _served_nothing(node, event, effects)
        # What another node has acknowledged is passed on as it is, also if it names a write that this one made.
        passed_on = {
            (message.actor, message.counter)
            for event in events
            if type(event) is Received and isinstance(event.peer, str)
            for message in event.messages
            if isinstance(message, MutateReply)
        }
        for peer, messages in effects.at_once.items():
            for message in expanded(messages):
                if not (isinstance(message, MutateReply) and (message.actor, message.counter) in passed_on):
                    self._leaves_at_once(node, peer, message)
        if effects.held_proposal is not None and self._cluster.plan.lost_disks == 1:
            self._may_count_again(node, effects.held_proposal)

    def forgot(self, node: "SimNode") -> None:
        """Learn that a node starts on a disk that forgot: before it counts, it must hold what others hold now."""
        debt = self._debts[node.place.node] = {}
        for other in self._cluster.neighbors(node):
            for row, value in other.disk.durable_rows(*rows.DATA_RANGE):
                if node.place.node in self._cluster.monitors.replicas(node.place.datacenter, row):
                    debt.setdefault(row, []).append(value)

    def sent(self, node: "SimNode", peer: Peer, messages: list[Message]) -> None:
        """Look at what is really sent: to whoever asked, it must be true on as many disks as the level says."""
        if self._is_forgetful:
            if self._cluster.plan.lost_disks == 1 and node.place.node in self._debts:
                for message in messages:
                    if isinstance(message, ReplicaEntry):
                        self._has_learned(node, peer, message)
            return
        for message in messages:
            if isinstance(message, MutateReply):
                dot = (message.actor, message.counter)
                self._is_on_enough_disks(node, peer, message.id, 1, [dot], lambda stored, dot=dot: has(stored, dot))
            elif isinstance(message, EntriesReply):
                for number, entry in enumerate(message.entries, message.id):
                    if isinstance(entry, bytes):
                        read = parse(entry)
                        asked = self._asked.get((node.place.node, node.life, peer, number))
                        if asked is not None and self._cluster.monitors.collecting.is_gone(asked[0], read):
                            continue  # it was there, and needed by nobody
                        dots = [*read.vector.items(), *read.cloud]
                        self._is_on_enough_disks(
                            node, peer, number, 0, dots, lambda stored, read=read: descends(stored, read)
                        )

    def _has_learned(self, node: "SimNode", peer: Peer, message: ReplicaEntry) -> None:
        """Look at an answer that another node counts."""
        asked = self._asked.get((node.place.node, node.life, peer, message.id))
        if asked is None:
            return
        self._pays(node, asked[0], node.disk.durable(rows.data_row(storage_key_of(asked[0]))))

    def _may_count_again(self, node: "SimNode", proposal: Proposal) -> None:
        """Look at a learner that proposes to be a member."""
        known, wanted = (topology.node(node.place.node) for topology in proposal)
        if known is not None and wanted is not None and known.is_learner and not wanted.is_learner:
            for row in self._debts.get(node.place.node, {}):
                self._pays(node, identity_in(rows.storage_key_in(row)), node.disk.visible(row))

    def _pays(self, node: "SimNode", identity: bytes, held: bytes | None) -> None:
        for owed in self._debts[node.place.node].get(rows.data_row(storage_key_of(identity)), []):
            if self._cluster.monitors.collecting.is_gone(identity, parse(owed)):
                continue
            if held is None or not descends(parse(held), parse(owed)):
                violated("rule 3", f"{node.place.node} counts again, and lacks what others held of {identity!r}")

    def _note(self, node: "SimNode", frame: Received) -> None:
        where = (node.place.node, node.life, frame.peer)
        for message in expanded(frame.messages):
            match message:
                case MutateRequest():
                    self._asked[*where, message.id] = (message.identity, message.level)
                case ReadReplica() | WriteReplica() | InspectRequest():
                    self._asked[*where, message.id] = (message.identity, "")
                case GetRequest():
                    for number, identity in enumerate(message.identities, message.id):
                        assert isinstance(identity, bytes)
                        self._asked[*where, number] = (identity, message.level)

    def _leaves_at_once(self, node: "SimNode", peer: Peer, message: Message) -> None:
        name = node.place.node
        match message:
            case WriteReplica():
                self._own_dots_are_durable(node, message.identity, message.entry, message)
            case EntriesReply():
                for number, entry in enumerate(message.entries, message.id):
                    asked = self._asked.get((name, node.life, peer, number))
                    if asked is not None and isinstance(entry, bytes):
                        self._own_dots_are_durable(node, asked[0], entry, message)
            case ReplicaEntry(number, bytes() as entry):
                asked = self._asked.get((name, node.life, peer, number))
                if asked is not None and not _is_held_durably(node, asked[0], entry):
                    violated("durability", f"{name} shows {peer} what is not durable: {asked[0]!r}")
            case ReplicaWritten() | ReplicaSuperseded() | MutateReply(actor=node.core.parts.replica.actor):  # type: ignore[union-attr]
                violated("durability", f"{name} acknowledges before its fsync: {message}")

    def _own_dots_are_durable(self, node: "SimNode", identity: bytes, entry: bytes, message: Message) -> None:
        assert node.core is not None
        actor = node.core.parts.replica.actor
        dot = (actor, parse(entry).vector.get(actor, 0))
        if dot[1] and not _on_disk(node, identity, lambda stored: has(stored, dot)):
            what = type(message).__name__
            violated("durability", f"{node.place.node} tells of {dot} of {identity!r} before its fsync: {what}")

    def _is_on_enough_disks(
        self, node: "SimNode", peer: Peer, number: int, side: int, dots: list[Dot], is_there: Any
    ) -> None:
        """Look at what an answer shows; fallback replicas may hold it in parts, and pass some on to who reads it."""
        asked = self._asked.get((node.place.node, node.life, peer, number))
        if asked is None or not asked[1]:
            return  # passed on for another node, which was looked at itself
        identity, level = asked
        replicas = self._cluster.monitors.replicas(node.place.datacenter, rows.data_row(storage_key_of(identity)))
        required = nodes_asked_and_awaited(level, len(replicas))[side]
        if level in SLOPPY:
            nodes = [node, *self._cluster.neighbors(node)]
            holders = min((sum(_holds(at, identity, dot) for at in nodes) for dot in dots), default=required)
        elif node.place.node in replicas:
            holders = sum(_on_disk(self._cluster.nodes[name], identity, is_there) for name in replicas)
        else:
            return
        if holders < required:
            violated("level", f"{node.place.node} answers {identity!r} at {level}, but {holders} nodes have it")


def _on_disk(node: "SimNode", identity: bytes, is_there: Any) -> bool:
    value = node.disk.durable(rows.data_row(storage_key_of(identity)))
    return value is not None and bool(is_there(parse(value)))


def _is_held_durably(node: "SimNode", identity: bytes, entry: bytes) -> bool:
    """Tell whether a node's entry, or its hints together, hold on disk all that an entry has seen."""
    shown = parse(entry)
    return all(_holds(node, identity, dot) for dot in (*shown.vector.items(), *shown.cloud))


def _holds(node: "SimNode", identity: bytes, dot: Dot) -> bool:
    """Tell whether a node has an entry, or a hint, on disk that has seen a dot."""
    return _on_disk(node, identity, lambda stored: has(stored, dot)) or _in_a_hint(
        node, identity, lambda stored: has(stored, dot)
    )


def _in_a_hint(node: "SimNode", identity: bytes, is_there: Any) -> bool:
    start, stop = rows.hints_of(storage_key_of(identity))
    return any(is_there(parse(value[1:])) for _, value in node.disk.durable_rows(start, stop) if len(value) > 1)


def _served_nothing(node: "SimNode", frame: Received, effects: Effects) -> None:
    asked = {message.id for message in expanded(frame.messages) if isinstance(message, _SERVED)}
    for messages in (effects.at_once.get(frame.peer, []), effects.held.get(frame.peer, [])):
        for message in messages:
            ids = message.ids if isinstance(message, ReplicaWritten) else []
            served = asked.intersection(ids)
            if isinstance(message, _SERVICE) and message.id in asked:
                served.add(message.id)
            if served:
                violated("rule 13", f"{node.place.node} served what came from {frame.peer} under {frame.epoch}")
