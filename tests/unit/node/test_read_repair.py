"""Read repair brings replicas to what was read: it merges, and drops nothing of what any of them held."""

import pytest
from several_nodes import CLIENT, KEY, WALL_MS, Cluster, config

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity
from crdtkv.node.kernel.events import PeerDown, Received
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.messages import (
    DigestRead,
    DigestReply,
    EntriesReply,
    ErrorReply,
    GetRequest,
    Message,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaWritten,
    WriteReplica,
)

OLDER = Entry.empty("register").delta("put", [b"\x61A"], Event(Dot("us-1.00000000000000aa", 1), WALL_MS << 16), None)
NEWER = Entry.empty("register").delta(
    "put", [b"\x61B"], Event(Dot("ap-1.00000000000000bb", 1), (WALL_MS << 16) + 1), None
)
BOTH = OLDER.merge(NEWER)
HELD = {
    "two hold both, one nothing": (BOTH, BOTH, None),
    "each holds another one": (OLDER, NEWER, None),
    "one holds the older only": (BOTH, OLDER, BOTH),
}


def hold(cluster: Cluster, node: str, entry: Entry) -> None:
    core = cluster.cores[node]
    core.parts.replica.merge(KeyCheck(frozenset([parse_identity(KEY).bucket])).from_peer(KEY), entry)
    core.parts.replica.commits.commit()
    cluster.stores[node].sync()


def versions(entry: Entry | None) -> set[object]:
    return set(entry.state.versions) if entry is not None else set()  # type: ignore[attr-defined]


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
@pytest.mark.parametrize("level", ["LOCAL_ALL", "LOCAL_QUORUM", "ONE"])
def test_a_read_takes_no_sibling_from_any_replica(held: tuple[Entry | None, ...], level: str) -> None:
    cluster = Cluster(config(3))
    for node, entry in zip(cluster.names, held, strict=True):
        if entry is not None:
            hold(cluster, node, entry)
    cluster.handle("eu-1", Received(CLIENT, 0, [GetRequest(99, [KEY], level, 5000)]))
    now = [cluster.cores[name].parts.replica.entry(storage_key_of(KEY)) for name in cluster.names]
    for before, entry in zip(held, now, strict=True):
        assert versions(before) <= versions(entry)
    if level == "LOCAL_ALL":
        assert now == [BOTH] * 3
    repairs = [message for _, message in cluster.writes_sent()]
    assert [message.supersede_before for message in repairs] == [0] * len(repairs)


class OneReader:
    """eu-1 reads of eu-2 and eu-3, for which a test answers."""

    def __init__(self, level: str) -> None:
        self.cluster = Cluster(config(3))
        self.cluster.loses = self._take
        self.inbox: dict[str, list[Message]] = {"eu-2": [], "eu-3": []}
        self._digest_reads: list[tuple[str, DigestRead]] = []
        hold(self.cluster, "eu-1", OLDER)
        self.cluster.handle("eu-1", Received(CLIENT, 0, [GetRequest(99, [KEY], level, 5000)]))
        for node, request in self._digest_reads:
            self.answer(node, DigestReply(request.id, [0]))

    def _take(self, sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, (ReadReplica, WriteReplica)):
            self.inbox[receiver].append(message)
        elif isinstance(message, DigestRead):
            self._digest_reads.append((receiver, message))
        return True

    def hedge(self) -> None:
        self.cluster.run(1)

    def asked(self, node: str, kind: type[Message]) -> int:
        """Return the number of the last request of a kind that a node was sent."""
        return [message for message in self.inbox[node] if isinstance(message, kind)][-1].id  # type: ignore[attr-defined]

    def answer(self, node: str, message: Message) -> None:
        self.cluster.handle("eu-1", Received(node, self.cluster.cores["eu-1"].topology.epoch, [message]))

    def show(self, node: str, entry: Entry | None) -> None:
        encoded = entry.to_bytes() if entry is not None else None
        self.answer(node, ReplicaEntry(self.asked(node, ReadReplica), encoded))

    @property
    def result(self) -> Entry | None:
        """What the client was told, None if nothing yet."""
        if not self.cluster.answers:
            return None
        (reply,) = self.cluster.answers
        assert isinstance(reply, EntriesReply)
        return Entry.from_bytes(reply.entries[0])  # type: ignore[arg-type]


def _first_and_other(reader: OneReader) -> tuple[str, str]:
    first = next(node for node, messages in reader.inbox.items() if messages)
    return first, "eu-3" if first == "eu-2" else "eu-2"


def test_a_node_that_has_nothing_to_do_with_a_repair_does_not_make_a_read_conclude_again() -> None:
    reader = OneReader("LOCAL_QUORUM")
    first, other = _first_and_other(reader)
    reader.hedge()
    reader.show(first, None)
    reader.show(other, NEWER)
    repair = reader.asked(first, WriteReplica)
    reader.cluster.handle("eu-1", PeerDown(other))
    assert reader.asked(first, WriteReplica) == repair
    assert reader.result is None
    reader.answer(first, ReplicaWritten([repair]))
    assert reader.result == OLDER


def test_a_late_answer_concludes_a_read_whose_repair_was_refused() -> None:
    """It hung until its deadline: three had answered, one of them could not be repaired, and nobody was left to ask."""
    reader = OneReader("LOCAL_QUORUM")
    first, other = _first_and_other(reader)
    reader.hedge()
    reader.show(first, None)
    reader.show(other, NEWER)
    refused = reader.asked(first, WriteReplica)
    reader.answer(first, Refusal(refused, "insufficient_storage", []))
    second = reader.asked(other, WriteReplica)
    assert second != refused
    # What the first repair was acknowledged with, too late, is no acknowledgment of this one.
    reader.answer(other, ReplicaWritten([refused]))
    assert reader.result is None
    reader.answer(other, ReplicaWritten([second]))
    assert reader.result == BOTH


def test_a_read_does_not_wait_for_a_replica_that_was_lost_before_another_could_not_be_repaired() -> None:
    reader = OneReader("LOCAL_QUORUM")
    first, other = _first_and_other(reader)
    reader.cluster.handle("eu-1", PeerDown(first))
    reader.show(other, None)
    reader.answer(other, Refusal(reader.asked(other, WriteReplica), "insufficient_storage", []))
    (reply,) = reader.cluster.answers
    assert isinstance(reply, ErrorReply)
