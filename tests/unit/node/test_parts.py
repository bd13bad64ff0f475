"""Parts of large entries: sent in place of the whole where they suffice, refused where they do not, read for first."""

from typing import Any

import pytest
from one_node import CLIENT, ME, OneNode, to
from several_nodes import Cluster, is_write

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.config.model import LimitsConfig
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InvalidRequest, StaleReplica
from crdtkv.ids import identity_of
from crdtkv.node.kernel.calls import BEHIND
from crdtkv.node.kernel.events import Received
from crdtkv.node.replica.recent_deltas import CHANGES_MAX
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.messages import (
    ErrorReply,
    Message,
    MutateReply,
    MutateRequest,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaWritten,
    WriteReplica,
)

TAGS = identity_of("default", "set", "tags")
MANY = [bytes([0x19, 1, number]) for number in range(200)]
X, Y, Z = b"\x01", b"\x02", b"\x03"


def members(encoded: object) -> int:
    assert isinstance(encoded, bytes)
    return len(Entry.from_bytes(encoded).state.members)  # type: ignore[attr-defined]


def writes(cluster: Cluster) -> list[tuple[str, WriteReplica]]:
    """Return the writes that were sent since this was last asked, and to whom."""
    sent = cluster.writes_sent()
    cluster.sent.clear()
    return sent


@pytest.fixture
def cluster() -> Cluster:
    """Return nodes that hold a large set, and whose first home replica has nothing more to send."""
    cluster = Cluster()
    cluster.mutate("add", *MANY, key=TAGS, at=cluster.homes[0])
    writes(cluster)
    return cluster


def same_bytes(cluster: Cluster) -> bytes:
    """Return what all home replicas hold."""
    (stored,) = {cluster.stored(home, TAGS) for home in cluster.homes}
    assert stored is not None
    return stored


def test_of_a_large_set_only_what_an_add_changed_is_sent(cluster: Cluster) -> None:
    first, *others = cluster.homes
    before = Entry.from_bytes(same_bytes(cluster)).context
    assert len(same_bytes(cluster)) > 4 * LimitsConfig().whole_entry_bytes
    cluster.mutate("add", X, key=TAGS, at=first)
    sent = writes(cluster)
    assert sorted(receiver for receiver, _ in sent) == sorted(others)
    for _, message in sent:
        assert len(message.entry) < 100
        assert repr(Entry.from_bytes(message.entry).state) == "set(01)"
        assert CausalContext.from_wire(message.basis) == before
    assert members(same_bytes(cluster)) == len(MANY) + 1


def test_a_remove_from_a_large_set_is_sent_as_a_part_too(cluster: Cluster) -> None:
    cluster.mutate("remove", MANY[0], MANY[7], key=TAGS, at=cluster.homes[0])
    assert all(len(message.entry) < 150 and message.basis is not None for _, message in writes(cluster))
    assert members(same_bytes(cluster)) == len(MANY) - 2


def test_a_small_entry_is_sent_whole_because_that_mends_what_was_missed() -> None:
    cluster = Cluster()
    first, _, deaf = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == deaf and is_write(message)
    cluster.mutate("add", X, key=TAGS, at=first, level="LOCAL_QUORUM")
    cluster.loses = lambda *_: False
    writes(cluster)
    cluster.mutate("add", Y, key=TAGS, at=first)
    assert [message.basis for _, message in writes(cluster)] == [None, None]
    assert members(same_bytes(cluster)) == 2
    assert cluster.counted("deltas_refused") == 0


@pytest.mark.parametrize(("type_tag", "call"), [("register", ["put", b"\x59\x08\x00" + b"x" * 2048])])
def test_what_a_type_sends_whole_has_no_basis(type_tag: str, call: list[Any]) -> None:
    cluster = Cluster()
    key = identity_of("default", type_tag, "k")
    cluster.mutate(*call, key=key)
    cluster.mutate(*call, key=key)
    assert all(message.basis is None for _, message in writes(cluster))


def test_a_replica_that_missed_a_write_refuses_a_part_and_is_sent_what_changed_lately(cluster: Cluster) -> None:
    first, _, deaf = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == deaf and is_write(message)
    cluster.mutate("add", X, key=TAGS, at=first, level="LOCAL_QUORUM")
    cluster.loses = lambda *_: False
    writes(cluster)
    cluster.mutate("add", Y, key=TAGS, at=first)
    refusals = [(at, message) for at, _, message in cluster.sent if isinstance(message, Refusal)]
    assert [(at, message.code) for at, message in refusals] == [(deaf, BEHIND)]
    to_deaf = [message for receiver, message in writes(cluster) if receiver == deaf]
    assert [members(message.entry) for message in to_deaf] == [1, 2]
    assert [message.basis is None for message in to_deaf] == [False, False]
    assert members(same_bytes(cluster)) == len(MANY) + 2
    assert cluster.counted("deltas_refused") == 1


def test_a_replica_that_missed_more_than_what_changed_lately_is_sent_the_whole(cluster: Cluster) -> None:
    first, _, deaf = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == deaf and is_write(message)
    for number in range(CHANGES_MAX + 1):
        cluster.mutate("add", bytes([0x18, 100 + number]), key=TAGS, at=first, level="LOCAL_QUORUM")
    cluster.loses = lambda *_: False
    writes(cluster)
    cluster.mutate("add", Y, key=TAGS, at=first)
    to_deaf = [message for receiver, message in writes(cluster) if receiver == deaf]
    assert [members(message.entry) for message in to_deaf] == [1, CHANGES_MAX, len(MANY) + CHANGES_MAX + 2]
    assert [message.basis is None for message in to_deaf] == [False, False, True]
    assert members(same_bytes(cluster)) == len(MANY) + CHANGES_MAX + 2
    assert cluster.counted("deltas_refused") == 2


def test_a_replica_that_has_seen_more_takes_a_part(cluster: Cluster) -> None:
    first, second, deaf = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == first and is_write(message)
    cluster.mutate("add", X, key=TAGS, at=second, level="LOCAL_QUORUM")
    cluster.loses = lambda *_: False
    writes(cluster)
    # The first home replica has not heard of X, the others have.
    cluster.mutate("add", Y, key=TAGS, at=first)
    assert all(message.basis is not None for _, message in writes(cluster))
    assert cluster.counted("deltas_refused") == 0
    cluster.run(30)
    assert members(same_bytes(cluster)) == len(MANY) + 2
    assert deaf in cluster.holders(TAGS)


def test_a_home_replica_that_is_down_gets_the_whole_as_a_hint(cluster: Cluster) -> None:
    first, _, absent = cluster.homes
    cluster.stop(absent)
    cluster.mutate("add", X, key=TAGS, at=first, level="SLOPPY_QUORUM")
    cluster.mutate("remove", MANY[0], key=TAGS, at=first, level="SLOPPY_QUORUM")
    cluster.start(absent)
    cluster.run(30)
    assert members(same_bytes(cluster)) == len(MANY)


def test_after_many_parts_with_losses_all_hold_the_same_bytes(cluster: Cluster) -> None:
    lost: list[int] = []

    def loses(_: str, receiver: str, message: Message) -> bool:
        if not is_write(message):
            return False
        lost.append(1)
        return len(lost) % 3 == 0

    cluster.loses = loses
    for number in range(30):
        at = cluster.homes[number % 3]
        if number % 4 == 3:
            cluster.mutate("remove", MANY[number], MANY[number + 1], key=TAGS, at=at, level="ONE")
        else:
            cluster.mutate("add", bytes([0x18, 100 + number]), MANY[number], key=TAGS, at=at, level="ONE")
    cluster.loses = lambda *_: False
    cluster.run(60)
    assert cluster.counted("deltas_refused") > 0
    assert members(same_bytes(cluster)) > len(MANY)


# What one replica does.


def part(on: Entry, dot: Dot, *elements: bytes) -> tuple[bytes, list[object]]:
    """Return the part that an add would be sent as, and its basis."""
    delta = on.delta("add", list(elements), Event(dot, 1))
    basis: Any = on.context.to_wire()
    return delta.to_bytes(), basis


def whole(dot: Dot, *elements: bytes) -> Entry:
    return Entry.empty("set").delta("add", list(elements), Event(dot, 1))


def test_a_part_is_merged_where_its_basis_is_seen_and_refused_where_it_is_not() -> None:
    node = OneNode()
    held = whole(Dot("eu-2.0", 1), X)
    entry, basis = part(held, Dot("eu-2.0", 2), Y)
    assert to(node.from_node("eu-2", WriteReplica(7, TAGS, entry, 0, basis)), Refusal) == {
        "eu-2": Refusal(7, BEHIND, [])
    }
    assert node.counters["deltas_refused"] == 1
    assert to(node.from_node("eu-2", ReadReplica(8, TAGS)), ReplicaEntry)["eu-2"].entry is None
    node.from_node("eu-2", WriteReplica(9, TAGS, held.to_bytes(), 0))
    assert to(node.from_node("eu-2", WriteReplica(10, TAGS, entry, 0, basis)), ReplicaWritten)
    assert members(to(node.from_node("eu-2", ReadReplica(11, TAGS)), ReplicaEntry)["eu-2"].entry) == 2


def test_a_part_of_the_first_write_needs_nothing() -> None:
    node = OneNode()
    entry, basis = part(Entry.empty("set"), Dot("eu-2.0", 1), X)
    assert basis == [[], []]
    assert to(node.from_node("eu-2", WriteReplica(7, TAGS, entry, 0, basis)), ReplicaWritten)


@pytest.mark.parametrize("basis", [[], [[]], [[], None], [["eu-2.0", 0], []], [["eu-2.0"], []], [[], [], []]], ids=repr)
def test_a_basis_that_is_no_context_is_refused_and_counted(basis: list[object]) -> None:
    node = OneNode()
    entry = whole(Dot("eu-2.0", 1), X).to_bytes()
    refusal = to(node.from_node("eu-2", WriteReplica(7, TAGS, entry, 0, basis)), Refusal)["eu-2"]
    assert (refusal.id, refusal.code) == (7, "protocol_error")
    assert node.counters["junk_messages"] == 1
    assert to(node.from_node("eu-2", ReadReplica(8, TAGS)), ReplicaEntry)["eu-2"].entry is None


def with_large_set(node: OneNode) -> Entry:
    """Let the node hold a large set that eu-2 wrote."""
    held = whole(Dot("eu-2.0", 1), *MANY)
    node.from_node("eu-2", WriteReplica(1, TAGS, held.to_bytes(), 0))
    node.sync()
    return held


def mutate(number: int, operation: str, *elements: bytes, seen: CausalContext | None, level: str = "ONE") -> Message:
    context: Any = seen.to_wire() if seen is not None else None
    return MutateRequest(number, TAGS, operation, list(elements), context, 0, level, 5000)


def test_who_refuses_again_after_the_whole_is_lost_and_not_asked_for_ever() -> None:
    node = OneNode()
    with_large_set(node)
    sent = to(node.ask(mutate(5, "add", X, seen=None, level="LOCAL_ALL")), WriteReplica)
    number = sent["eu-2"].id
    assert sent["eu-3"].basis is not None
    again = to(node.from_node("eu-2", Refusal(number, BEHIND, [])), WriteReplica)
    assert again["eu-2"].basis is None
    assert members(again["eu-2"].entry) == len(MANY) + 1
    assert to(node.from_node("eu-2", Refusal(number, BEHIND, [])), ErrorReply)[CLIENT].code == "write_timeout"
    # One that has no part in the call may say what it likes.
    assert not to(node.from_node("eu-3", Refusal(number + 1, BEHIND, [])), WriteReplica)


def test_an_operation_whose_client_has_seen_more_reads_first() -> None:
    node = OneNode()
    held = with_large_set(node)
    newer = held.merge(held.delta("add", [X], Event(Dot("eu-2.0", 201), 1)))
    asked = node.ask(mutate(5, "remove", X, seen=newer.context))
    assert not to(asked, WriteReplica)
    (replica,) = to(asked, ReadReplica)
    assert isinstance(replica, str)
    number = to(asked, ReadReplica)[replica].id
    answered = node.from_node(replica, ReplicaEntry(number, newer.to_bytes()))
    assert set(to(answered, MutateReply)) | set(to(answered, WriteReplica)) >= {"eu-2", "eu-3"}
    stored = to(node.from_node("eu-2", ReadReplica(9, TAGS)), ReplicaEntry)["eu-2"].entry
    assert members(stored) == len(MANY)
    assert isinstance(stored, bytes)
    assert X not in Entry.from_bytes(stored).state.members  # type: ignore[attr-defined]


def test_an_operation_whose_client_has_seen_what_is_held_reads_nothing() -> None:
    node = OneNode()
    held = with_large_set(node)
    asked = node.ask(mutate(5, "remove", MANY[0], seen=held.context))
    assert not to(asked, ReadReplica)
    assert set(to(asked, WriteReplica)) == {"eu-2", "eu-3"}


def test_an_operation_whose_client_has_seen_what_nobody_has_is_refused_and_nothing_written() -> None:
    node = OneNode()
    held = with_large_set(node)
    lost = CausalContext(cloud=[*held.context.dots(), Dot("eu-3.0", 1)])
    asked = node.ask(mutate(5, "remove", MANY[0], seen=lost))
    ((replica, read),) = to(asked, ReadReplica).items()
    assert isinstance(replica, str)
    answered = node.from_node(replica, ReplicaEntry(read.id, held.to_bytes()))
    reply = to(answered, ErrorReply)[CLIENT]
    assert reply.code == StaleReplica.code
    assert not to(answered, WriteReplica)
    assert to(node.from_node("eu-2", ReadReplica(9, TAGS)), ReplicaEntry)["eu-2"].entry == held.to_bytes()


def test_a_context_with_writes_of_this_node_that_never_happened_is_refused() -> None:
    node = OneNode()
    held = with_large_set(node)
    own = CausalContext(cloud=[*held.context.dots(), Dot(node.core.parts.replica.actor, 1)])
    asked = node.ask(mutate(5, "remove", MANY[0], seen=own))
    ((replica, read),) = to(asked, ReadReplica).items()
    assert isinstance(replica, str)
    reply = to(node.from_node(replica, ReplicaEntry(read.id, held.to_bytes())), ErrorReply)[CLIENT]
    assert reply.code == InvalidRequest.code
    assert "never happened: read the key again" in str(reply.fields)
    assert node.core.parts.replica.actor.startswith(ME)


def test_a_read_that_fails_before_an_operation_is_told_as_unavailable() -> None:
    node = OneNode()
    held = with_large_set(node)
    lost = CausalContext(cloud=[*held.context.dots(), Dot("eu-3.0", 1)])
    node.ask(mutate(5, "remove", MANY[0], seen=lost))
    assert to(node.wait(6), ErrorReply)[CLIENT].code == "unavailable"


def test_a_register_needs_no_read_for_a_context_it_has_not_seen() -> None:
    node = OneNode()
    key = identity_of("default", "register", "k")
    context: Any = CausalContext(cloud=[Dot("eu-3.0", 1)]).to_wire()
    asked = node.step(Received(CLIENT, 1, [MutateRequest(5, key, "put", [X], context, 0, "ONE", 5000)]))
    assert not to(asked, ReadReplica)
    assert set(to(asked, WriteReplica)) == {"eu-2", "eu-3"}


@pytest.mark.parametrize("repeats", [False, True])
def test_an_entry_that_repeats_what_was_seen_is_no_recent_change(repeats: bool) -> None:
    """What was seen may have been removed since: as a part of a change it would come back elsewhere."""
    node = OneNode()
    held = with_large_set(node)
    recent = node.core.parts.replica.recent
    at = storage_key_of(TAGS)
    removal = held.delta("remove", [MANY[0]], Event(Dot("eu-2.0", len(MANY) + 1), 2))
    basis: Any = held.context.to_wire()
    node.from_node("eu-2", WriteReplica(2, TAGS, removal.to_bytes(), 0, basis))
    assert recent.all_of(at) is not None
    addition = held.delta("add", [Y], Event(Dot("eu-3.0", 1), 3))
    incoming = whole(Dot("eu-2.0", 1), MANY[0]).merge(addition) if repeats else addition
    node.from_node("eu-3", WriteReplica(3, TAGS, incoming.to_bytes(), 0))
    assert (recent.all_of(at) is None) == repeats
    stored = node.core.parts.replica.entry(at)
    assert stored is not None
    assert members(stored.to_bytes()) == len(MANY)
