"""The approximate size of a message on a link, without encoding it.

Parts that may be large are added up (entries, values, keys, documents); the rest counts as `SMALL`. So messages can be
divided into frames, and answers limited to a budget, before they are encoded. Only the encoding itself shows whether a
frame can be sent (`crdtkv.wire.outgoing`).
"""

from collections.abc import Callable
from typing import Any

from crdtkv.wire.messages import (
    ApplyEntries,
    DigestRead,
    DigestReply,
    EntriesReply,
    GetRequest,
    GiveEntries,
    HandOff,
    KeepHint,
    LeafReply,
    LeafRequest,
    MembersPush,
    MembersReply,
    Message,
    MutateRequest,
    OperationFound,
    PartitionRows,
    ReplicaEntry,
    ReplicaSuperseded,
    ReplicaWritten,
    RootsReply,
    RootsRequest,
    ScanReply,
    StatusReply,
    TombstonesDropped,
    TombstonesReply,
    TombstonesRequest,
    TopologyReply,
    WatchReply,
    WriteReplica,
    WriteReplicas,
)

#: The size of a message without large parts.
SMALL = 96


def weight_of(message: Message) -> int:
    """Return the approximate size of a message in bytes."""
    weigh = _WEIGHERS.get(type(message))
    if weigh is None:
        return SMALL
    try:
        return weigh(message)
    except (TypeError, ValueError):  # a malformed message that is forwarded without decoding
        return _of_fields(message)


def weight_of_item(item: object) -> int:
    """Return the approximate size of a field in bytes."""
    kind = type(item)
    if kind is bytes or kind is str:
        return len(item) + 5  # type: ignore[arg-type]
    if kind is list or kind is tuple:
        return 5 + sum(map(weight_of_item, item))  # type: ignore[call-overload]
    return 9


def _of_entries(message: EntriesReply) -> int:
    entries = message.entries
    return SMALL + 5 * len(entries) + sum(map(len, filter(None, entries)))  # type: ignore[arg-type]


def _of_pairs(pairs: list[Any]) -> int:
    return SMALL + sum(len(name) + len(entry or b"") + 11 for name, entry in pairs)


def _of_written(message: WriteReplica) -> int:
    basis = 0 if message.basis is None else weight_of_item(message.basis)
    return SMALL + len(message.identity) + len(message.entry) + len(message.record) + basis


def _of_operation(message: MutateRequest) -> int:
    context = 0 if message.context is None else weight_of_item(message.context)
    return SMALL + len(message.identity) + weight_of_item(message.arguments) + context


def _of_fields(message: Message) -> int:
    return SMALL + sum(map(weight_of_item, message))


_WEIGHERS: dict[type, Callable[[Any], int]] = {
    EntriesReply: _of_entries,
    ScanReply: lambda message: _of_pairs(message.rows),
    WatchReply: lambda message: _of_pairs(message.rows),
    PartitionRows: lambda message: _of_pairs(message.rows),
    LeafReply: lambda message: _of_pairs(message.entries) + weight_of_item(message.wanted),
    GiveEntries: lambda message: _of_pairs(message.entries),
    LeafRequest: lambda message: _of_pairs(message.digests),
    WriteReplica: _of_written,
    WriteReplicas: lambda message: SMALL + sum(map(weight_of_item, message.rows)),
    ApplyEntries: lambda message: SMALL + sum(map(weight_of_item, message.rows)),
    DigestRead: lambda message: SMALL + sum(map(weight_of_item, message.rows)),
    MutateRequest: _of_operation,
    GetRequest: lambda message: SMALL + weight_of_item(message.identities),
    KeepHint: lambda message: SMALL + len(message.identity) + len(message.entry) + len(message.record),
    HandOff: lambda message: SMALL + len(message.identity) + len(message.entry),
    ReplicaEntry: lambda message: SMALL + len(message.entry or b""),
    ReplicaSuperseded: lambda message: SMALL + len(message.entry),
    OperationFound: lambda message: SMALL + len(message.record) + len(message.entry or b""),
    StatusReply: lambda message: SMALL + len(message.document),
    TopologyReply: lambda message: SMALL + len(message.document) + weight_of_item(message.buckets),
    ReplicaWritten: lambda message: SMALL + 9 * len(message.ids),
} | dict.fromkeys(
    (
        RootsRequest, RootsReply, MembersPush, MembersReply, TombstonesRequest, TombstonesReply, TombstonesDropped,
        DigestReply,
    ),
    _of_fields,
)  # fmt: skip
