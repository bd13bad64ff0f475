"""Packs messages into frames, so that no message affects another.

A message is sent whole, or divided, or shortened, or its requester gets an error; the other messages of the step, and
the other links, are not affected. In that order: a run of entries is divided into runs; a page of rows that exceeds a
frame is shortened, because its requester continues at its end; a message that is still too large, or cannot be encoded,
becomes an error to its requester. An answer is replaced by `ErrorReply` (to a client, or to a node that had forwarded
for one) or `Refusal` (to another replica). A request that cannot be sent is answered here in the same way, as if the
other side had refused it (`Outgoing.returned`).

The owner of a link bounds its backlog: large messages that exceed `room_bytes` are replaced by `Overloaded`, or
`congested` between replicas, which means that the requester should ask again in a moment. Acknowledgments and other
small messages are always sent: the result of a write must be reported, and they are as few as the requests in flight.
"""

from typing import Any, NamedTuple

from crdtkv.errors import CrdtkvError, Overloaded, ProtocolError, ValueTooLarge
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.frames import MAX_FRAME_BYTES, TARGET_FRAME_BYTES, framed
from crdtkv.wire.messages import (
    WRITE_WIDTH,
    ApplyEntries,
    DigestRead,
    DigestReply,
    EntriesReply,
    EntriesTaken,
    ErrorReply,
    GetRequest,
    GiveEntries,
    HandOff,
    InspectRequest,
    KeepHint,
    LeafReply,
    MembersPush,
    MembersReply,
    Message,
    MutateReply,
    MutateRequest,
    OperationFound,
    PartitionRows,
    Refusal,
    RepairRequest,
    ReplicaEntry,
    ReplicaSuperseded,
    ReplicaWritten,
    RootsReply,
    ScanReply,
    ScanRequest,
    StatusReply,
    StatusRequest,
    TombstonesDropped,
    TombstonesReply,
    TopologyReply,
    TopologyRequest,
    WaitRequest,
    WatchReply,
    WatchRequest,
    WriteReplica,
    WriteReplicas,
)
from crdtkv.wire.weights import SMALL, weight_of

NO_BOUND = 1 << 62
#: The code of a refusal because a link between nodes has no room.
CONGESTED = "congested"

_ANSWERS_TO_CLIENTS = frozenset(
    (EntriesReply, MutateReply, ScanReply, WatchReply, StatusReply, TopologyReply, ErrorReply)
)
_ANSWERS_TO_NODES = frozenset(
    (
        ReplicaEntry, DigestReply, ReplicaSuperseded, OperationFound, PartitionRows, RootsReply, LeafReply,
        EntriesTaken, TombstonesReply, TombstonesDropped, Refusal,
    )
)  # fmt: skip
_FROM_CLIENTS = frozenset(
    (
        GetRequest, MutateRequest, ScanRequest, WatchRequest, StatusRequest, TopologyRequest, RepairRequest,
        InspectRequest, WaitRequest,
    )
)  # fmt: skip
#: Messages that may be refused for lack of room: requests that were not begun, and answers to reads.
_CAN_WAIT = frozenset(
    (
        EntriesReply, ScanReply, WatchReply, StatusReply, TopologyReply, ReplicaEntry, PartitionRows, LeafReply,
        OperationFound, GetRequest, MutateRequest, WriteReplica, WriteReplicas, KeepHint, HandOff,
        DigestRead, ApplyEntries, GiveEntries,
    )
)  # fmt: skip


class Outgoing(NamedTuple):
    """The frames to write, and the result for the other messages.

    `returned` answers requests of this side that could not be sent; `unsendable` describes messages that no link could
    carry; `held_back` counts those for which this link had no room.
    """

    frames: list[bytes]
    returned: list[Message]
    unsendable: list[str]
    held_back: int


def packed(epoch: int, messages: list[Message], room_bytes: int = NO_BOUND) -> Outgoing:
    """Pack messages into frames of about `TARGET_FRAME_BYTES`; only a single large message may exceed that."""
    if not messages:
        return Outgoing([framed(encode_frame(epoch, []))], [], [], 0)
    packing = _Packing(epoch, room_bytes)
    for message in messages:
        packing.add(message)
    return packing.finished()


class _Packing:
    def __init__(self, epoch: int, room_bytes: int) -> None:
        self._epoch = epoch
        self._room_bytes = room_bytes
        self._batch: list[Message] = []
        self._batch_bytes = 0
        self._frames: list[bytes] = []
        self._returned: list[Message] = []
        self._unsendable: list[str] = []
        self._held_back = 0

    def finished(self) -> Outgoing:
        while self._batch:
            self._flush()
        return Outgoing(self._frames, self._returned, self._unsendable, self._held_back)

    def add(self, message: Message) -> None:
        weight = weight_of(message)
        if weight > TARGET_FRAME_BYTES:
            parts = _divided(message)
            if parts:
                for part in parts:
                    self.add(part)
                return
        if weight > self._room_bytes and weight > 2 * SMALL and type(message) in _CAN_WAIT:
            self._held_back += 1
            self._give_up(message, Overloaded("the link has too much to send: read the answers, then ask again"))
            return
        self._room_bytes -= weight
        if self._batch and self._batch_bytes + weight > TARGET_FRAME_BYTES:
            self._flush()
        self._batch.append(message)
        self._batch_bytes += weight

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._encode(batch)

    def _encode(self, batch: list[Message]) -> None:
        size = 0
        try:
            payload = encode_frame(self._epoch, batch)
            size = len(payload)
            if size <= MAX_FRAME_BYTES:
                self._frames.append(framed(payload))
                return
        except Exception as error:  # cbor2 raises several kinds
            reason: CrdtkvError = ProtocolError(f"this cannot be encoded: {type(error).__name__}")
        else:
            reason = ValueTooLarge(size, MAX_FRAME_BYTES)
        if len(batch) > 1:
            for message in batch:
                self._encode([message])
        elif size and (shorter := _shortened(batch[0])) is not None:
            self.add(shorter)
        else:
            self._unsendable.append(f"{type(batch[0]).__name__}: {reason}")
            self._give_up(batch[0], reason)

    def _give_up(self, message: Any, error: CrdtkvError) -> None:
        kind = type(message)
        fields = list(error.fields)
        if kind in _ANSWERS_TO_CLIENTS:
            count = len(message.entries) if kind is EntriesReply else 1
            answers = [ErrorReply(message.id + number, error.code, fields) for number in range(count)]
            self._answer(message, answers)
        elif kind in _ANSWERS_TO_NODES:
            self._answer(message, [Refusal(message.id, _code_between_nodes(error), fields)])
        elif kind in _FROM_CLIENTS:
            count = len(message.identities) if kind is GetRequest else 1
            self._returned += [ErrorReply(message.id + number, error.code, fields) for number in range(count)]
        elif kind is WriteReplicas:
            code = _code_between_nodes(error)
            self._returned += [Refusal(number, code, fields) for number in message.rows[::WRITE_WIDTH]]
        elif hasattr(message, "id"):
            self._returned.append(Refusal(message.id, _code_between_nodes(error), fields))

    def _answer(self, message: Message, answers: list[Any]) -> None:
        if type(message) in (ErrorReply, Refusal):
            # The error itself is too large: leave out its text.
            answers = [answer._replace(fields=["the answer could not be sent"]) for answer in answers]
        for answer in answers:
            self.add(answer)


def _code_between_nodes(error: CrdtkvError) -> str:
    return CONGESTED if isinstance(error, Overloaded) else error.code


def _divided(message: Any) -> list[Message]:
    """Return several messages that are equivalent to this one, none if it cannot be divided."""
    match message:
        case EntriesReply(number, items):
            return [EntriesReply(number + first, part) for first, part in _halves(items)]
        case GetRequest(number, items, level, timeout_ms):
            return [GetRequest(number + first, part, level, timeout_ms) for first, part in _halves(items)]
        case WriteReplicas(rows):
            middle = len(rows) // WRITE_WIDTH // 2 * WRITE_WIDTH
            return [WriteReplicas(rows[:middle]), WriteReplicas(rows[middle:])] if middle else []
        case ReplicaWritten(items) | MembersPush(items) | MembersReply(items):
            return [type(message)(part) for _, part in _halves(items)]
    return []


def _halves(items: list[object]) -> list[tuple[int, list[object]]]:
    middle = len(items) // 2
    return [(0, items[:middle]), (middle, items[middle:])] if middle else []


def _shortened(message: Any) -> Message | None:
    """Return the first half of a page, None if it cannot be shorter."""
    match message:
        case ScanReply(number, rows, _) if len(rows) >= 2:
            half, last = _first_half(rows)
            return ScanReply(number, half, storage_key_of(last))
        case PartitionRows(number, rows, _) if len(rows) >= 2:
            half, last = _first_half(rows)
            return PartitionRows(number, half, last)
        case LeafReply(number, partition, entries, wanted, _) if entries:
            return LeafReply(number, partition, entries[: len(entries) // 2], wanted, False)
    return None


def _first_half(rows: list[Any]) -> tuple[list[object], bytes]:
    half = rows[: len(rows) // 2]
    return half, half[-1][0]
