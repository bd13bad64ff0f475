"""A node that has too many requests in flight refuses clients, but no other nodes."""

from one_node import CLIENT, OneNode, identity, to

from crdtkv.wire.messages import (
    DigestRead,
    DigestReply,
    EntriesReply,
    ErrorReply,
    GetRequest,
    MembersPush,
    MembersReply,
    MutateReply,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaWritten,
    ScanRequest,
    WriteReplica,
)

MAX = 5


def full_node() -> OneNode:
    """Return a node with as many requests in flight as it takes."""
    node = OneNode(limits={"calls_in_flight_max": MAX})
    for number in range(MAX):
        node.get(f"q{number}")
    assert len(node.core.parts.kernel.calls) == MAX
    return node


def codes(sent: dict[str | int, list[object]]) -> list[str]:
    return [message.code for message in sent.get(CLIENT, []) if isinstance(message, ErrorReply)]


def test_a_full_node_refuses_writes_before_it_makes_a_dot() -> None:
    node = full_node()
    written, rows = dict(node.store.scan(b"", b"\xff" * 64, 1000)), len(node.core.parts.outbox)
    assert codes(node.put("k", "v")) == ["overloaded"]
    assert dict(node.store.scan(b"", b"\xff" * 64, 1000)) == written
    assert len(node.core.parts.outbox) == rows
    node.wait(6.0)
    sent = node.put("k", "v")
    assert sent[CLIENT][0].counter == 1  # type: ignore[union-attr]
    assert isinstance(sent[CLIENT][0], MutateReply)


def test_a_full_node_refuses_reads_and_scans_that_need_others() -> None:
    node = full_node()
    assert codes(node.get("k")) == ["overloaded"]
    assert codes(node.ask(ScanRequest(99, 0, b"default\0register\0", b"", 10, "LOCAL_QUORUM", 5000))) == ["overloaded"]


def test_a_full_node_refuses_to_forward() -> None:
    node = OneNode(6, limits={"calls_in_flight_max": 1})
    key = node.key_here(is_mine=False)
    assert codes(node.get(key)) == []
    assert codes(node.get(key)) == ["overloaded"]
    assert codes(node.put(key, "v")) == ["overloaded"]


def test_a_full_node_answers_reads_it_can_answer_alone() -> None:
    assert to(full_node().get("k", level="ONE"), EntriesReply)[CLIENT].entries == [None]


def test_a_full_node_answers_gossip() -> None:
    node = full_node()
    row = ["eu-2", 1, 50, 0, 0, 0, 0, 0]
    assert "eu-2" in to(node.from_node("eu-2", MembersPush([row])), MembersReply)
    assert node.core.parts.membership.snapshot()["eu-2"]["heartbeat"] == 50


def test_a_full_node_begins_rounds_of_gossip() -> None:
    assert to(full_node().wait(3600), MembersPush)


def test_a_full_node_takes_and_acknowledges_what_others_write() -> None:
    writer, node = OneNode(incarnation=9), full_node()
    writer.put("k", "v")
    writer.sync()
    (entry,) = to(writer.get("k", level="ONE"), EntriesReply)[CLIENT].entries
    assert isinstance(entry, bytes)
    sent = node.from_node("eu-2", WriteReplica(7, identity("k"), entry, 0))
    assert to(sent, ReplicaWritten)["eu-2"].ids == [7]
    assert to(sent, Refusal) == {}


def test_a_full_node_answers_other_nodes_reads() -> None:
    sent = full_node().from_node("eu-2", ReadReplica(7, identity("k")))
    assert to(sent, ReplicaEntry)["eu-2"] == ReplicaEntry(7, None)


def test_a_full_node_takes_answers_and_is_no_longer_full() -> None:
    node = OneNode(limits={"calls_in_flight_max": 1})
    (replica, request), *_ = to(node.get("k"), DigestRead).items()
    assert codes(node.get("k")) == ["overloaded"]
    assert CLIENT in to(node.from_node(str(replica), DigestReply(request.id, [])), EntriesReply)
    assert codes(node.get("k")) == []


def test_several_keys_of_one_request_are_refused_one_by_one() -> None:
    node = OneNode(limits={"calls_in_flight_max": 2})
    sent = node.ask(GetRequest(1, [identity(f"k{number}") for number in range(5)], "LOCAL_QUORUM", 5000))
    refused = [message for message in sent[CLIENT] if isinstance(message, ErrorReply)]
    assert [message.id for message in refused] == [3, 4, 5]
