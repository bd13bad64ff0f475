"""Digest reads: what ends by digests, what is read in full, and what the other side answers."""

import pytest
from one_node import CLIENT, OneNode, identity, to

from crdtkv.crdt.entry import Entry
from crdtkv.node.kernel.events import PeerDown, Received
from crdtkv.node.quorum_calls.digest_reading import READS_MAX
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
)


def digest_here(node: OneNode, key: str) -> bytes:
    entry = node.core.parts.replica.entry(storage_key_of(identity(key)))
    return entry.digest_bytes(storage_key_of(identity(key))) if entry is not None else b""


def holding(*keys: str, **sections: dict[str, int]) -> OneNode:
    """Return a node that holds these keys durably."""
    node = OneNode(**sections)
    for key in keys:
        node.put(key, f"value of {key}")
    node.sync()
    return node


def entries(messages: list[Message]) -> dict[int, object]:
    """Return the entries that a client received, by request."""
    return {
        number: entry
        for message in messages
        if isinstance(message, EntriesReply)
        for number, entry in enumerate(message.entries, message.id)
    }


def test_all_reads_of_a_step_are_one_message_and_one_answer() -> None:
    node = holding("a", "b")
    sent = node.get("a", "b", "c")
    ((peer, request),) = to(sent, DigestRead).items()
    assert sent == {peer: [request]}
    assert request.rows == [
        *(identity("a"), digest_here(node, "a")),
        *(identity("b"), digest_here(node, "b")),
        *(identity("c"), b""),
    ]
    (answer,) = node.from_node(str(peer), DigestReply(request.id, []))[CLIENT]
    assert isinstance(answer, EntriesReply)
    assert [Entry.from_bytes(entry).state.versions[0].value for entry in answer.entries[:2]] == [  # type: ignore[attr-defined, arg-type]
        b"value of a",
        b"value of b",
    ]
    assert answer.entries[2] is None


def test_only_what_differs_is_read_in_full() -> None:
    node = holding("a", "b", "c")
    ((peer, request),) = to(node.get("a", "b", "c"), DigestRead).items()
    sent = node.from_node(str(peer), DigestReply(request.id, [1]))
    assert set(entries(sent[CLIENT])) == {3 + 1, 3 + 3}
    assert {message.identity for message in to(sent, ReadReplica).values()} == {identity("b")}
    assert node.counters["reads_in_full"] == 1


def test_every_replica_that_counts_must_hold_the_same() -> None:
    node = holding("a", "b")
    asked = to(node.get("a", "b", level="LOCAL_ALL"), DigestRead)
    assert set(asked) == {"eu-2", "eu-3"}
    number = asked["eu-2"].id
    assert CLIENT not in node.from_node("eu-2", DigestReply(number, [0]))
    assert CLIENT not in node.from_node("eu-2", DigestReply(number, []))  # counted once
    sent = node.from_node("eu-3", DigestReply(number, []))
    assert len(entries(sent[CLIENT])) == 1
    assert {message.identity for message in to(sent, ReadReplica).values()} == {identity("a")}


def test_a_large_entry_is_not_compared() -> None:
    node = holding("a", limits={"whole_entry_bytes": 10})
    sent = node.get("a")
    assert to(sent, DigestRead) == {}
    assert len(to(sent, ReadReplica)) == 1


def test_what_may_still_be_lost_here_is_shown_when_it_is_durable() -> None:
    node = OneNode()
    node.put("a", "1")
    ((peer, request),) = to(node.get("a"), DigestRead).items()
    effects = node.core.handle([Received(str(peer), 1, [DigestReply(request.id, [])])], node._now())
    assert effects.at_once.get(CLIENT) is None
    assert len(effects.held[CLIENT]) == 1


def test_a_spare_is_asked_in_the_place_of_a_lost_replica() -> None:
    node = holding("a")
    ((peer, request),) = to(node.get("a"), DigestRead).items()
    sent = node.step(PeerDown(str(peer)))
    ((other, again),) = to(sent, DigestRead).items()
    assert (other != peer, again) == (True, request)
    assert len(entries(node.from_node(str(other), DigestReply(request.id, []))[CLIENT])) == 1


def test_a_refused_digest_read_asks_the_other_and_then_reads_in_full() -> None:
    node = holding("a")
    ((peer, request),) = to(node.get("a"), DigestRead).items()
    ((other, _),) = to(node.from_node(str(peer), Refusal(request.id, "wrong_epoch", [2])), DigestRead).items()
    sent = node.from_node(str(other), Refusal(request.id, "wrong_epoch", [2]))
    ((asked, whole),) = to(sent, ReadReplica).items()
    entry = node.core.parts.replica.read(storage_key_of(identity("a")))[0]
    assert set(entries(node.from_node(str(asked), ReplicaEntry(whole.id, entry))[CLIENT])) == {2}


def test_a_read_without_answers_fails_at_its_deadline() -> None:
    node = OneNode()
    asked = to(node.get("a", level="LOCAL_ALL"), DigestRead)
    node.from_node("eu-2", DigestReply(asked["eu-2"].id, []))
    sent = {**node.wait(5.0), **node.wait(0.01)}
    assert sent == {CLIENT: [ErrorReply(1, "read_timeout", [2, 3])]}
    assert len(node.core.parts.kernel.calls) == 0


def test_every_read_of_a_message_counts_as_in_flight() -> None:
    node = OneNode(limits={"calls_in_flight_max": 3})
    sent = node.get("a", "b", "c", "d", "e")
    assert [message.code for message in sent[CLIENT] if isinstance(message, ErrorReply)] == ["overloaded"] * 2
    assert len(node.core.parts.kernel.calls) == 3
    ((peer, request),) = to(sent, DigestRead).items()
    node.from_node(str(peer), DigestReply(request.id, [0, 1]))
    assert len(node.core.parts.kernel.calls) == 2


def test_a_message_has_a_limit() -> None:
    node = OneNode(limits={"calls_in_flight_max": 10_000})
    sent = node.ask(GetRequest(1, [identity(str(key)) for key in range(600)], "LOCAL_QUORUM", 5000))
    rest = node.ask(GetRequest(601, [identity(str(key)) for key in range(600)], "LOCAL_QUORUM", 5000))
    both = [message for one in (sent, rest) for messages in one.values() for message in messages]
    assert all(len(message.rows) // 2 <= READS_MAX for message in both if isinstance(message, DigestRead))
    assert sum(len(message.rows) // 2 for message in both if isinstance(message, DigestRead)) == 1200


def test_reads_that_other_nodes_forward_are_answered_one_by_one() -> None:
    node = holding("a", "b")
    requests: list[Message] = [GetRequest(7 + n, [identity(key)], "LOCAL_QUORUM", 5000) for n, key in enumerate("ab")]
    ((peer, request),) = to(node.from_node("eu-3", *requests), DigestRead).items()
    answers = node.from_node(str(peer), DigestReply(request.id, []))["eu-3"]
    assert [(type(one), one.id, len(one.entries)) for one in answers] == [(EntriesReply, 7, 1), (EntriesReply, 8, 1)]  # type: ignore[union-attr]


def test_a_malformed_answer_is_dropped_and_counted() -> None:
    node = holding("a")
    ((peer, request),) = to(node.get("a"), DigestRead).items()
    assert CLIENT not in node.from_node(str(peer), DigestReply(request.id, [b"0", [1]]))
    assert node.counters["junk_messages"] == 1
    assert CLIENT in node.from_node(str(peer), DigestReply(request.id, []))


# The other side.


def test_a_replica_names_what_it_holds_differently() -> None:
    node = holding("a", "b", "c")
    node.put("c", "newer")  # not durable yet
    rows: list[object] = [
        *(identity("a"), digest_here(node, "a")),
        *(identity("b"), b""),
        *(identity("c"), digest_here(node, "c")),
        *(identity("never written"), b""),
        *(identity("here not"), digest_here(node, "a")),
    ]
    assert node.from_node("eu-2", DigestRead(5, rows)) == {"eu-2": [DigestReply(5, [1, 2, 4])]}


def test_a_replica_compares_no_large_entry() -> None:
    node = holding("a", limits={"whole_entry_bytes": 10})
    sent = node.from_node("eu-2", DigestRead(5, [identity("a"), digest_here(node, "a")]))
    assert sent == {"eu-2": [DigestReply(5, [0])]}


@pytest.mark.parametrize("rows", [[identity("a")], [identity("a"), 5], [7, b""], [b"no key", b""]])
def test_a_malformed_digest_read_is_refused(rows: list[object]) -> None:
    sent = OneNode().from_node("eu-2", DigestRead(5, rows))
    assert [(type(message), message.id) for message in sent["eu-2"]] == [(Refusal, 5)]  # type: ignore[union-attr]
