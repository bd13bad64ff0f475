"""`Dispatch`: routes each incoming message to the part that handles it, if its sender may send it now.

Clients may send requests only. A node may send requests, answers and gossip, and may forward requests of clients. A
replica carries out another node's request only under its own ring epoch, and only if its own answers may count.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crdtkv.errors import CrdtkvError, InsufficientStorage, Overloaded, StorageError
from crdtkv.log_text import LineRate
from crdtkv.node.coordinate.admission import ADMITTED, Admission
from crdtkv.node.kernel.events import Peer, Received
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.membership.load_meter import LoadMeter
from crdtkv.node.membership.membership import Membership
from crdtkv.node.membership.ring_follower import RingFollower
from crdtkv.wire.messages import (
    APPLY_WIDTH,
    WRITE_WIDTH,
    ApplyEntries,
    DigestRead,
    DigestReply,
    DropTombstones,
    EntriesReply,
    EntriesTaken,
    ErrorReply,
    FindOperation,
    GiveEntries,
    HandOff,
    KeepHint,
    LeafReply,
    MembersPush,
    MembersReply,
    Message,
    MutateReply,
    OperationFound,
    PartitionRows,
    ReadPartition,
    ReadReplica,
    Refusal,
    RepairRequest,
    ReplicaEntry,
    ReplicaSuperseded,
    ReplicaWritten,
    RightsRequest,
    RootsReply,
    ScanReply,
    StatusRequest,
    TombstonesDropped,
    TombstonesReply,
    TombstonesRequest,
    TopologyNews,
    TopologyRequest,
    WatchRequest,
    WriteReplica,
    WriteReplicas,
)
from crdtkv.wire.outgoing import CONGESTED

_ANSWERS = frozenset(
    (
        ReplicaSuperseded, ReplicaEntry, DigestReply, PartitionRows, RootsReply, LeafReply,
        EntriesTaken, EntriesReply, MutateReply, ScanReply, ErrorReply, TombstonesReply, TombstonesDropped,
        OperationFound,
    )
)  # fmt: skip
_FORWARDED = frozenset(ADMITTED)
#: Requests whose answers another node counts in a quorum, or relies on.
_COUNTED = frozenset(
    (
        ReadReplica, DigestRead, FindOperation, WriteReplica, WriteReplicas, ApplyEntries, KeepHint, HandOff,
        ReadPartition, GiveEntries, TombstonesRequest, DropTombstones, RightsRequest,
    )
)  # fmt: skip
#: Bytes charged for a client's request in addition to its answer, because its work exceeds its answer.
_CHARGES: dict[type, int] = {
    WatchRequest: 64 * 1024,
    StatusRequest: 512 * 1024,
    TopologyRequest: 16 * 1024,
    RepairRequest: 1024 * 1024,
}
#: Requests that a learner refuses. Only a node without the document that made it a learner sends them.
_READS = frozenset((ReadReplica, DigestRead, FindOperation, ReadPartition))


class Dispatch:
    """Routes messages into a node.

    `from_client` and `from_node` map a message type to its handler. `acknowledge` is called after each frame of a node.
    """

    def __init__(
        self,
        kernel: Kernel,
        ring: RingFollower,
        admission: Admission,
        load: LoadMeter,
        membership: Membership,
        acknowledge: Callable[[str], None],
        from_client: Mapping[type, Callable[[Peer, Any], None]],
        from_node: Mapping[type, Callable[[str, Any], None]],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._ring = ring
        self._admission = admission
        self._load = load
        self._membership = membership
        self._acknowledge = acknowledge
        self._from_client = from_client
        self._from_node = from_node
        self._dropped_lines = LineRate()

    def received(self, frame: Received) -> None:
        """Handle all messages of a frame.

        Raises:
            StorageError: the disk failed.
        """
        peer, epoch, messages = frame
        if isinstance(peer, int):
            for message in messages:
                handler = self._from_client.get(type(message))
                if handler is None:
                    self._step.stats.count("junk_messages")  # clients may not use the node protocol
                elif isinstance(message, ADMITTED):
                    self._admission.arrived(peer, message)
                elif self._step.effects.has_room_for(peer):
                    self._step.effects.charge(peer, _CHARGES.get(type(message), 0))
                    handler(peer, message)
                else:
                    self._refuse(peer, message)
            return
        if epoch > self._cluster.epoch:
            self._step.effects.refresh_topology = True
        elif epoch < self._cluster.epoch:
            self._ring.heard_older(peer)
        for message in messages:
            try:
                self._from_peer(peer, epoch, message)
            except StorageError:
                raise
            except CrdtkvError as error:
                self.dropped(error)
        self._acknowledge(peer)

    def _from_peer(self, node: str, epoch: int, message: Message) -> None:
        kind = type(message)
        if kind is ReplicaWritten:
            for number in message.ids:  # type: ignore[union-attr]
                call = self._calls.get(number) if type(number) is int else None
                if call is not None:
                    call.answered(node, message)
        elif kind in _ANSWERS:
            call = self._calls.get(message.id)  # type: ignore[union-attr]
            if call is not None:
                call.answered(node, message)
        elif kind is MembersPush:
            self._membership.pushed(node, message)  # type: ignore[arg-type]
        elif kind is TopologyNews:
            self._ring.received(message)  # type: ignore[arg-type]
        elif kind is MembersReply:
            self._membership.replied(node, message)  # type: ignore[arg-type]
        elif kind is Refusal:
            self._step.stats.count("refusals_received")
            call = self._calls.get(message.id)  # type: ignore[union-attr]
            if call is not None:
                call.refused(node, message.code)  # type: ignore[union-attr]
        elif kind in _FORWARDED:
            self._admission.arrived(node, message)
        else:
            self._serve(node, epoch, message)

    def _serve(self, node: str, epoch: int, request: Any) -> None:
        """Carry out another node's request on this replica, if the request has this replica's epoch."""
        kind = type(request)
        handler = self._from_node.get(kind)
        if handler is None:
            self._step.stats.count("junk_messages")
        elif kind in self._unserved:
            self._refuse_node(node, request, "quarantined", [])
        elif kind in _READS and not self._step.effects.has_room_for(node):
            self._refuse_node(node, request, CONGESTED, [])
        elif epoch != self._cluster.epoch:
            self._step.stats.count("epoch_refusals")
            self._refuse_node(node, request, "wrong_epoch", [self._cluster.epoch])
        else:
            self._load.served += len(request.rows) // APPLY_WIDTH if kind is ApplyEntries else len(_numbers_in(request))
            try:
                handler(node, request)
            except StorageError:
                raise
            except CrdtkvError as error:
                if not isinstance(error, (InsufficientStorage, Overloaded)):
                    self.dropped(error)
                self._refuse_node(node, request, error.code, list(error.fields))

    def _refuse_node(self, node: str, request: Any, code: str, fields: list[object]) -> None:
        """Refuse another node's request, or all of its writes."""
        for number in _numbers_in(request):
            if type(number) is int:
                self._step.effects.send(node, Refusal(number, code, fields))

    def _refuse(self, client: int, request: Any) -> None:
        """Refuse a request because the answers to this client in this step would be too large."""
        error = Overloaded("too much was asked for at once: read the answers, then ask again")
        self._step.stats.count("client_requests_over_budget")
        self._step.effects.send(client, ErrorReply(request.id, error.code, list(error.fields)))

    @property
    def _unserved(self) -> frozenset[type]:
        """The request types this node must refuse now, because other nodes would count, or rely on, its answers."""
        if self._cluster.is_quarantined:
            return _COUNTED
        return _READS if self._cluster.node in self._cluster.ring.learners else frozenset()

    def dropped(self, error: CrdtkvError) -> None:
        """Count and log a message of a peer that this node cannot use."""
        self._step.stats.count("junk_messages")
        line = self._dropped_lines.admit(f"a message was dropped: {error}", self._step.now.monotonic_s)
        if line is not None:
            self._step.effects.notes.append(line)


def _numbers_in(request: Any) -> Sequence[Any]:
    """Return the ids of a node's request: one, or that of each write in it."""
    return request.rows[::WRITE_WIDTH] if isinstance(request, WriteReplicas) else (request.id,)
