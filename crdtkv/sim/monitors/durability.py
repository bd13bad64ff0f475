"""`DurabilityMonitor`: no message of a node shows data that a power loss could take.

- A message that a node sends before its fsync contains no own dot and no stored entry that is not durable, and
  acknowledges nothing.
- An answer to a client (the dot of its write, or the entry that it has read) is durable on as many home replicas as its
  consistency level says.
- Rule 3: a node whose disk has lost data answers no read that counts, and does not propose to become a member again,
  before it holds what the other replicas held when it started.
- Rule 13: a node serves no request that came under another ring epoch.
"""

from typing import Any

from crdtkv.checking.history import Dot
from crdtkv.checking.levels import SLOPPY, awaited_elsewhere, nodes_asked_and_awaited
from crdtkv.hashing import digest_of
from crdtkv.node.kernel.effects import Effects, Proposal
from crdtkv.node.kernel.events import Event, Peer, Received
from crdtkv.quorum.read_call import join
from crdtkv.ring.token import identity_in, storage_key_of
from crdtkv.sim.monitors.collecting import Collecting
from crdtkv.sim.monitors.home_replicas import HomeReplicas
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.stored import descends, has, parse, violated
from crdtkv.sim.world.view import NodeView, WorldView
from crdtkv.storage import rows
from crdtkv.wire.messages import (
    DigestRead,
    DigestReply,
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

_SERVED = (
    ReadReplica, DigestRead, WriteReplica, KeepHint, HandOff, ReadPartition, RootsRequest, LeafRequest,
    TombstonesRequest, DropTombstones,
)  # fmt: skip
_SERVICE = (
    ReplicaEntry, DigestReply, ReplicaSuperseded, PartitionRows, RootsReply, LeafReply, TombstonesReply,
    TombstonesDropped,
)  # fmt: skip
_Asked = tuple[str, int, Peer, int]


class DurabilityMonitor(Monitor):
    """Compares the answers of nodes with the requests, and with what is durable."""

    def __init__(self, world: WorldView, homes: HomeReplicas, collecting: Collecting) -> None:
        super().__init__(world)
        self._homes = homes
        self._collecting = collecting
        #: By node, its process, the requester and the number of the request: its key and its level.
        self._asked: dict[_Asked, tuple[bytes, str]] = {}
        #: In the same way: the keys of a digest read, with their digests.
        self._compared: dict[_Asked, list[tuple[bytes, bytes]]] = {}
        #: Of each node whose disk has lost data, by row: the entries that the other replicas held when it started.
        self._debts: dict[str, dict[bytes, list[bytes]]] = {}

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """Note the requests of a step, and check the messages that it sends at once."""
        assert node.core is not None
        # Requests that came before a new topology in the same step were served under the epoch before it.
        is_settled = effects.topology is None
        for event in events:
            if type(event) is Received:
                self._note(node, event)
                if is_settled and event.epoch != node.core.parts.kernel.cluster.epoch and isinstance(event.peer, str):
                    _served_nothing(node, event, effects)
        # A node forwards the acknowledgment of another node at once, also if it names a dot that this node minted.
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
        if effects.held_proposal is not None and self._world.plan.lost_disks == 1:
            self._may_count_again(node, effects.held_proposal)

    def lost_data(self, node: NodeView, reason: str) -> None:
        """Note what the other replicas hold now: the node must hold it, too, before it counts."""
        debt = self._debts[node.place.node] = {}
        for other in self._world.neighbors(node):
            for row, value in other.disk.durable_rows(*rows.DATA_RANGE):
                if node.place.node in self._homes.of(node.place.datacenter, row):
                    debt.setdefault(row, []).append(value)

    def sent(self, node: NodeView, peer: Peer, messages: list[Message]) -> None:
        """Check that an answer is durable on as many nodes as its level says."""
        if self._loses_data:
            if self._world.plan.lost_disks == 1 and node.place.node in self._debts:
                for message in messages:
                    if isinstance(message, ReplicaEntry | DigestReply):
                        self._has_learned(node, peer, message)
            return
        for message in messages:
            if isinstance(message, MutateReply):
                dot = (message.actor, message.counter)
                self._is_elsewhere(node, peer, message, dot)
                self._is_on_enough_disks(node, peer, message.id, 1, [dot], lambda stored, dot=dot: has(stored, dot))
            elif isinstance(message, EntriesReply):
                for number, entry in enumerate(message.entries, message.id):
                    if isinstance(entry, bytes):
                        read = parse(entry)
                        asked = self._asked.get((node.place.node, node.process, peer, number))
                        if asked is not None and self._collecting.is_gone(asked[0], read):
                            continue  # it was stored before its collection
                        dots = [*read.vector.items(), *read.cloud]
                        self._is_on_enough_disks(
                            node, peer, number, 0, dots, lambda stored, read=read: descends(stored, read)
                        )

    def _is_elsewhere(self, node: NodeView, peer: Peer, message: MutateReply, dot: Dot) -> None:
        """Check that a write is durable in as many other data centers as its level says."""
        asked = self._asked.get((node.place.node, node.process, peer, message.id))
        here, datacenters = node.place.datacenter, self._world.config.datacenters
        awaited = awaited_elsewhere(asked[1], len(datacenters) - 1) if asked is not None else 0
        if not awaited:
            return
        assert asked is not None
        identity, level = asked
        self._world.count("acknowledged_elsewhere")
        holders = []
        for dc in datacenters:
            replicas = self._homes.of(dc, rows.data_row(storage_key_of(identity)))
            held = sum(
                _on_disk(self._world.nodes[name], identity, lambda stored: has(stored, dot)) for name in replicas
            )
            if dc != here and held >= nodes_asked_and_awaited(level, len(replicas))[1]:
                holders.append(dc)
        if len(holders) < awaited or not set(message.datacenters or ()) <= {here, *holders}:
            violated("level", f"{node.place.node} answers {identity!r} at {level}, but only {holders} have it")

    def _has_learned(self, node: NodeView, peer: Peer, message: ReplicaEntry | DigestReply) -> None:
        """Check an answer that another node counts in a quorum."""
        if isinstance(message, DigestReply):
            identities = [identity for identity, _ in self._same(node, peer, message)]
        else:
            asked = self._asked.get((node.place.node, node.process, peer, message.id))
            identities = [asked[0]] if asked is not None else []
        for identity in identities:
            self._check_debt(node, identity, node.disk.durable(rows.data_row(storage_key_of(identity))))

    def _same(self, node: NodeView, peer: Peer, message: DigestReply) -> list[tuple[bytes, bytes]]:
        """Return the keys, with digests, of which a node says that it holds what the requester holds."""
        compared = self._compared.get((node.place.node, node.process, peer, message.id), [])
        return [row for position, row in enumerate(compared) if position not in message.different]

    def _may_count_again(self, node: NodeView, proposal: Proposal) -> None:
        """Check a learner that proposes to become a member."""
        known, wanted = (topology.node(node.place.node) for topology in proposal)
        if known is not None and wanted is not None and known.is_learner and not wanted.is_learner:
            for row in self._debts.get(node.place.node, {}):
                self._check_debt(node, identity_in(rows.storage_key_in(row)), node.disk.visible(row))

    def _check_debt(self, node: NodeView, identity: bytes, held: bytes | None) -> None:
        for owed in self._debts[node.place.node].get(rows.data_row(storage_key_of(identity)), []):
            if self._collecting.is_gone(identity, parse(owed)):
                continue
            if held is None or not descends(parse(held), parse(owed)):
                violated("rule 3", f"{node.place.node} counts again, and lacks what others held of {identity!r}")

    def _note(self, node: NodeView, frame: Received) -> None:
        where = (node.place.node, node.process, frame.peer)
        for message in expanded(frame.messages):
            match message:
                case MutateRequest():
                    self._asked[*where, message.id] = (message.identity, message.level)
                case ReadReplica() | WriteReplica() | InspectRequest():
                    self._asked[*where, message.id] = (message.identity, "")
                case DigestRead():
                    pairs = zip(message.rows[::2], message.rows[1::2], strict=True)
                    self._compared[*where, message.id] = list(pairs)  # type: ignore[arg-type]
                case GetRequest():
                    for number, identity in enumerate(message.identities, message.id):
                        assert isinstance(identity, bytes)
                        self._asked[*where, number] = (identity, message.level)

    def _leaves_at_once(self, node: NodeView, peer: Peer, message: Message) -> None:
        name = node.place.node
        match message:
            case WriteReplica():
                self._own_dots_are_durable(node, message.identity, message.entry, message)
            case EntriesReply():
                for number, entry in enumerate(message.entries, message.id):
                    asked = self._asked.get((name, node.process, peer, number))
                    if asked is not None and isinstance(entry, bytes):
                        self._own_dots_are_durable(node, asked[0], entry, message)
            case ReplicaEntry(number, bytes() as entry):
                asked = self._asked.get((name, node.process, peer, number))
                if asked is not None and not _is_held_durably(node, asked[0], entry):
                    violated("durability", f"{name} shows {peer} what is not durable: {asked[0]!r}")
            case DigestReply():
                for identity, digest in self._same(node, peer, message):
                    if not _is_durably_of_digest(node, identity, digest):
                        violated("durability", f"{name} tells {peer} that it holds what is not durable: {identity!r}")
            case ReplicaWritten() | ReplicaSuperseded() | MutateReply(actor=node.core.parts.replica.actor):  # type: ignore[union-attr]
                violated("durability", f"{name} acknowledges before its fsync: {message}")

    def _own_dots_are_durable(self, node: NodeView, identity: bytes, entry: bytes, message: Message) -> None:
        assert node.core is not None
        actor = node.core.parts.replica.actor
        dot = (actor, parse(entry).vector.get(actor, 0))
        if dot[1] and not _on_disk(node, identity, lambda stored: has(stored, dot)):
            what = type(message).__name__
            violated("durability", f"{node.place.node} sends {dot} of {identity!r} before its fsync: {what}")

    def _is_on_enough_disks(
        self, node: NodeView, peer: Peer, number: int, side: int, dots: list[Dot], is_there: Any
    ) -> None:
        """Check the dots of an answer. Each fallback replica may hold a part of them."""
        asked = self._asked.get((node.place.node, node.process, peer, number))
        if asked is None or not asked[1]:
            return  # the answer of another node, which was checked when that node sent it
        identity, level = asked
        replicas = self._homes.of(node.place.datacenter, rows.data_row(storage_key_of(identity)))
        required = nodes_asked_and_awaited(level, len(replicas))[side]
        if level in SLOPPY:
            nodes = [node, *self._world.neighbors(node)]
            holders = min((sum(_holds(at, identity, dot) for at in nodes) for dot in dots), default=required)
        elif node.place.node in replicas:
            holders = sum(_on_disk(self._world.nodes[name], identity, is_there) for name in replicas)
        else:
            return
        if holders < required:
            violated("level", f"{node.place.node} answers {identity!r} at {level}, but {holders} nodes have it")


def _on_disk(node: NodeView, identity: bytes, is_there: Any) -> bool:
    value = node.disk.durable(rows.data_row(storage_key_of(identity)))
    return value is not None and bool(is_there(parse(value)))


def _is_held_durably(node: NodeView, identity: bytes, entry: bytes) -> bool:
    """Tell whether a node's entry, or its hints together, hold on disk all that an entry has seen."""
    shown = parse(entry)
    return all(_holds(node, identity, dot) for dot in (*shown.vector.items(), *shown.cloud))


def _is_durably_of_digest(node: NodeView, identity: bytes, digest: bytes) -> bool:
    """Tell whether a node's entry, or its hints together, are on disk and have this digest; b"" means no entry."""
    storage_key = storage_key_of(identity)
    hints = [value[1:] for _, value in node.disk.durable_rows(*rows.hints_of(storage_key)) if len(value) > 1]
    held = (node.disk.durable(rows.data_row(storage_key)), join(hints))
    return any((digest_of(storage_key, entry) if entry is not None else b"") == digest for entry in held)


def _holds(node: NodeView, identity: bytes, dot: Dot) -> bool:
    """Tell whether a node has an entry, or a hint, on disk that has seen a dot."""
    return _on_disk(node, identity, lambda stored: has(stored, dot)) or _in_a_hint(
        node, identity, lambda stored: has(stored, dot)
    )


def _in_a_hint(node: NodeView, identity: bytes, is_there: Any) -> bool:
    start, stop = rows.hints_of(storage_key_of(identity))
    return any(is_there(parse(value[1:])) for _, value in node.disk.durable_rows(start, stop) if len(value) > 1)


def _served_nothing(node: NodeView, frame: Received, effects: Effects) -> None:
    asked = {message.id for message in expanded(frame.messages) if isinstance(message, _SERVED)}
    for messages in (effects.at_once.get(frame.peer, []), effects.held.get(frame.peer, [])):
        for message in messages:
            ids = message.ids if isinstance(message, ReplicaWritten) else []
            served = asked.intersection(ids)
            if isinstance(message, _SERVICE) and message.id in asked:
                served.add(message.id)
            if served:
                violated("rule 13", f"{node.place.node} served what came from {frame.peer} under {frame.epoch}")
