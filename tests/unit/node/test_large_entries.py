"""The cost of a large entry: no node sends, reads, parses or writes the whole for a small change."""

from typing import Any

import pytest
from one_node import CLIENT, OneNode, to
from several_nodes import Cluster, config, is_write

from crdtkv import cbor
from crdtkv.crdt.entry import Entry
from crdtkv.errors import ValueTooLarge
from crdtkv.ids import identity_of
from crdtkv.node.kernel.events import BusUp, Published
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.wire.messages import (
    ErrorReply,
    LeafReply,
    MutateRequest,
    ReadReplica,
    ReplicaEntry,
    WriteReplica,
)

BOARD = identity_of("default", "board", "hot")
SET = identity_of("default", "set", "tags")
MEMBERS = [cbor.encode_value(f"member-{number:03}") for number in range(200)]


@pytest.fixture
def cluster() -> Cluster:
    """Return nodes that hold a board of 200 members and a set of as many, and have nothing more to send."""
    cluster = Cluster()
    for member in MEMBERS:
        cluster.mutate("set", member, 1, key=BOARD)
    cluster.mutate("add", *MEMBERS, key=SET)
    cluster.sent.clear()
    return cluster


def sent_bytes(cluster: Cluster) -> int:
    return sum(len(cbor.encode(list(message))) for _, _, message in cluster.sent)


def all_equal(cluster: Cluster, key: bytes) -> bytes:
    (stored,) = {cluster.stored(home, key) for home in cluster.homes}
    assert stored is not None
    return stored


def test_a_set_of_a_score_reads_a_quorum_and_is_sent_nothing_it_has_seen(cluster: Cluster) -> None:
    cluster.mutate("set", MEMBERS[7], 70, key=BOARD, level="LOCAL_QUORUM")
    answers = [message for _, _, message in cluster.sent if isinstance(message, ReplicaEntry)]
    assert [(answer.entry, answer.is_same) for answer in answers] == [(None, True)]
    assert sent_bytes(cluster) < 1_500 < len(all_equal(cluster, BOARD)) // 5


def test_a_replica_that_lags_tells_a_writer_so_and_is_not_sent_the_whole_for_it(cluster: Cluster) -> None:
    first, *others = cluster.homes
    cluster.loses = lambda sender, receiver, message: is_write(message)
    cluster.mutate("set", MEMBERS[7], 70, key=BOARD, at=first, level="ONE")
    cluster.loses = lambda *_: False
    cluster.sent.clear()
    cluster.mutate("set", MEMBERS[8], 80, key=BOARD, at=first, level="LOCAL_QUORUM")
    answers = [message for _, _, message in cluster.sent if isinstance(message, ReplicaEntry)]
    assert [(answer.entry, answer.is_older) for answer in answers] == [(None, True)]
    written = [message for _, message in cluster.writes_sent()]
    assert all(message.basis is not None for message in written)
    assert {len(message.entry) < 400 for message in written} == {True, False}
    assert max(len(message.entry) for message in written) < len(all_equal(cluster, BOARD)) // 2
    assert cluster.counted("read_repairs") == 0
    assert {cluster.stored(home, BOARD) for home in others} == {cluster.stored(first, BOARD)}


def test_a_writer_that_lags_is_told_what_it_lacks_and_supersedes_it(cluster: Cluster) -> None:
    first, second, third = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == first and is_write(message)
    cluster.mutate("set", MEMBERS[7], 70, key=BOARD, at=second, level="LOCAL_QUORUM")
    cluster.loses = lambda *_: False
    cluster.sent.clear()
    cluster.mutate("set", MEMBERS[7], 71, key=BOARD, at=first, level="LOCAL_ALL")
    parts = [message for _, _, message in cluster.sent if isinstance(message, ReplicaEntry)]
    assert {part.is_part for part in parts} == {True}
    assert all(part.entry is not None and len(part.entry) < 300 for part in parts)
    assert sent_bytes(cluster) < 4_000
    score = Entry.from_bytes(all_equal(cluster, BOARD)).state.scores[MEMBERS[7]]  # type: ignore[attr-defined]
    assert (score.value, len(score.sets)) == (71, 1)
    assert third in cluster.holders(BOARD)


def test_two_coordinators_of_one_board_send_each_other_no_wholes(cluster: Cluster) -> None:
    size = len(all_equal(cluster, BOARD))
    for number in range(20):
        cluster.mutate("set", MEMBERS[number], number, key=BOARD, at=cluster.homes[number % 2], level="LOCAL_QUORUM")
    assert sent_bytes(cluster) < 20 * size // 8
    assert len(all_equal(cluster, BOARD)) >= size


def test_a_quorum_read_takes_what_a_replica_has_more_and_mends_who_has_less(cluster: Cluster) -> None:
    first, second, third = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == first and is_write(message)
    cluster.mutate("add", b"\x01", key=SET, at=second, level="LOCAL_QUORUM")
    cluster.loses = lambda _, receiver, message: receiver == third and is_write(message)
    cluster.mutate("add", b"\x02", key=SET, at=second, level="ONE")
    cluster.loses = lambda *_: False
    read = cluster.read(SET, at=first, level="LOCAL_ALL")
    assert read is not None
    assert {b"\x01", b"\x02", *MEMBERS} == set(read.state.members)  # type: ignore[attr-defined]
    assert all_equal(cluster, SET) == read.to_bytes()


def test_a_read_whose_own_entry_is_newest_returns_it_and_mends_the_others(cluster: Cluster) -> None:
    first, *_ = cluster.homes
    cluster.loses = lambda sender, receiver, message: is_write(message)
    cluster.mutate("add", b"\x01", key=SET, at=first, level="ONE")
    cluster.loses = lambda *_: False
    cluster.sent.clear()
    read = cluster.read(SET, at=first, level="LOCAL_ALL")
    assert read is not None
    assert b"\x01" in read.state.members  # type: ignore[attr-defined]
    answers = [message for _, _, message in cluster.sent if isinstance(message, ReplicaEntry)]
    assert [(answer.entry, answer.is_older) for answer in answers] == [(None, True)] * 2
    assert all_equal(cluster, SET) == read.to_bytes()


def test_a_read_mends_a_replica_that_told_what_is_new_and_lacks_something_itself(cluster: Cluster) -> None:
    """Once such a replica counted as one that holds the result: what a read had shown was on one node alone."""
    first, second, _ = cluster.homes
    cluster.loses = lambda sender, receiver, message: is_write(message)
    cluster.mutate("add", b"\x01", key=SET, at=first, level="ONE")
    cluster.mutate("add", b"\x02", key=SET, at=second, level="ONE")
    cluster.loses = lambda *_: False
    cluster.sent.clear()
    read = cluster.read(SET, at=first, level="LOCAL_ALL")
    assert read is not None
    told = {(message.is_part, message.is_older) for _, _, message in cluster.sent if isinstance(message, ReplicaEntry)}
    assert told == {(True, True), (False, True)}
    assert {b"\x01", b"\x02", *MEMBERS} == set(read.state.members)  # type: ignore[attr-defined]
    assert all_equal(cluster, SET) == read.to_bytes()


def test_anti_entropy_sends_only_what_the_other_lacks_of_a_large_entry(cluster: Cluster) -> None:
    cluster.run(15)
    first, _, deaf = cluster.homes
    cluster.loses = lambda _, receiver, message: receiver == deaf and is_write(message)
    cluster.mutate("add", b"\x01", key=SET, at=first, level="LOCAL_QUORUM")
    cluster.mutate("remove", MEMBERS[3], key=SET, at=first, level="LOCAL_QUORUM")
    cluster.loses = lambda *_: False
    cluster.sent.clear()
    size = len(cluster.stored(first, SET) or b"")
    cluster.run(15)
    assert all_equal(cluster, SET)
    replies = [message for _, _, message in cluster.sent if isinstance(message, LeafReply)]
    given = [message for _, message in cluster.writes_sent()]
    moved = [len(cbor.encode(reply.entries)) for reply in replies] + [len(message.entry) for message in given]
    assert 0 < sum(moved) < size // 4
    assert cluster.counted("merkle_repaired") >= 1


def test_what_is_newly_stored_of_a_large_entry_is_a_patch_and_read_again_after_a_restart(cluster: Cluster) -> None:
    first, *_ = cluster.homes
    for member in MEMBERS[:5]:
        cluster.mutate("remove", member, key=SET)
    at = storage_key_of(SET)
    raw = [value for row, value in cluster.stores[first].scan(*rows.PATCH_RANGE, 100) if rows.patched_in(row) == at]
    assert len(raw) == 5
    assert all(len(value) < 150 for value in raw)
    stored = all_equal(cluster, SET)
    cluster.stop(first)
    cluster.start(first)
    assert cluster.stored(first, SET) == stored
    read = cluster.read(SET, at=first, level="ONE")
    assert read is not None
    assert read.to_bytes() == stored
    cluster.mutate("add", b"\x01", key=SET, at=first)
    assert len(all_equal(cluster, SET)) > len(stored)


# One node.


def mutation(number: int, key: bytes, operation: str, *arguments: Any, level: str = "LOCAL_QUORUM") -> MutateRequest:
    return MutateRequest(number, key, operation, list(arguments), None, 0, level, 5000)


def test_what_is_surely_too_large_is_refused_before_anybody_is_read_or_anything_made() -> None:
    node = OneNode(limits={"entry_kib": 1})
    elements = [cbor.encode_value("x" * 1_000 + str(number)) for number in range(20)]
    for key, operation in ((SET, "add"), (identity_of("default", "rwset", "tags"), "add")):
        sent = node.ask(mutation(5, key, operation, *elements))
        assert to(sent, ErrorReply)[CLIENT].code == ValueTooLarge.code
        assert not to(sent, ReadReplica)
    sent = node.ask(mutation(6, BOARD, "set", b"\x59\x60\x00" + b"x" * 0x6000, 1))
    assert to(sent, ErrorReply)[CLIENT].code == ValueTooLarge.code
    assert not to(sent, ReadReplica)
    # A remove names what need not be there.
    assert to(node.ask(mutation(7, SET, "remove", *elements)), ReadReplica)
    assert to(node.ask(mutation(8, SET, "add", *elements[:3], level="ONE")), WriteReplica)


def test_a_write_that_would_be_too_large_changes_nothing_and_one_that_frees_room_is_taken() -> None:
    cluster = Cluster(config(limits={"entry_kib": 1}))
    number, reply = 0, None
    while not isinstance(reply, ErrorReply):
        before = cluster.stored(cluster.homes[0], SET)
        reply = cluster.try_to_mutate("add", cbor.encode_value("x" * 200 + str(number)), key=SET)
        number += 1
        assert number < 200
    assert reply.code == ValueTooLarge.code
    assert all_equal(cluster, SET) == before
    cluster.mutate("remove", cbor.encode_value("x" * 200 + "0"), cbor.encode_value("x" * 200 + "1"), key=SET)
    cluster.mutate("add", cbor.encode_value("y" * 200), key=SET)


def test_a_large_entry_that_is_written_without_end_goes_to_other_data_centers_now_and_then() -> None:
    cluster = Cluster(config(datacenters=("eu", "us")))
    first = cluster.homes[0]
    cluster.handle(first, BusUp())
    elements = [cbor.encode_value(f"{number:05}" + "x" * 100) for number in range(1_000)]
    cluster.mutate("add", *elements, key=SET)
    assert len(cluster.published) == 1
    size = len(cluster.published[0].payload)
    for number in range(20):
        cluster.mutate("add", cbor.encode_value(number), key=SET)
        cluster.handle(first, Published(len(cluster.published), True))
    assert len(cluster.published) == 1
    cluster.run(1)
    assert len(cluster.published) == 2
    assert size < len(cluster.published[1].payload)
    assert all_equal(cluster, SET) in cluster.published[1].payload
