"""The work of one step for one peer is bounded: requests beyond the bound are refused, those of other peers are not."""

from collections.abc import Iterator
from typing import Any

import pytest
from one_node import CLIENT, OneNode, identity

from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.node.coordinate.coordinator import RUN_BYTES
from crdtkv.node.kernel.effects import CLIENT_BYTES_A_STEP
from crdtkv.node.kernel.events import Received
from crdtkv.wire.messages import (
    EntriesReply,
    ErrorReply,
    GetRequest,
    Message,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ScanReply,
    ScanRequest,
    StatusReply,
    StatusRequest,
    WriteReplica,
)
from crdtkv.wire.outgoing import CONGESTED

LARGE = 512 * 1024 - 100


@pytest.fixture
def node() -> Iterator[OneNode]:
    """A node that holds one large value and one small one, durably."""
    node = OneNode()
    for number, (key, size) in enumerate((("large", LARGE), ("small", 10)), 1):
        empty = Entry.empty("register")
        entry = empty.merge(empty.delta("put", [bytes(size)], Event(Dot("eu-2.00", number), number), None, None))
        node.from_node("eu-2", WriteReplica(number, identity(key), entry.to_bytes(), 0))
    node.sync()
    return node


def reads(key: str, count: int, first: int = 0) -> GetRequest:
    return GetRequest(first, [identity(key)] * count, "ONE", 5_000)


def answers(messages: list[Message]) -> dict[int, Any]:
    """Return what each id is answered: an entry, or the code of an error."""
    found: dict[int, Any] = {}
    for message in messages:
        if isinstance(message, EntriesReply):
            found.update(enumerate(message.entries, message.id))
        elif isinstance(message, ErrorReply):
            found[message.id] = message.code
    return found


def test_forty_reads_of_a_large_value_are_answered_in_messages_that_fit(node: OneNode) -> None:
    messages = node.ask(reads("large", 40))[CLIENT]
    assert sorted(answers(messages)) == list(range(40))
    assert all(len(entry) > LARGE for entry in answers(messages).values())
    assert max(len(message.entries) for message in messages) == 1  # type: ignore[union-attr]


def test_small_reads_are_answered_together(node: OneNode) -> None:
    (reply,) = node.ask(reads("small", 1_000))[CLIENT]
    assert isinstance(reply, EntriesReply)
    assert len(reply.entries) == 1_000


def test_a_run_of_reads_ends_when_it_is_large(node: OneNode) -> None:
    mixed = GetRequest(0, [identity("small"), identity("large"), identity("small")], "ONE", 5_000)
    messages = node.ask(mixed)[CLIENT]
    assert [(message.id, len(message.entries)) for message in messages] == [(0, 2), (2, 1)]  # type: ignore[union-attr]
    assert LARGE > RUN_BYTES


def test_two_thousand_reads_of_a_large_value_are_answered_as_far_as_a_step_may(node: OneNode) -> None:
    found = answers(node.ask(reads("large", 2_000))[CLIENT])
    assert sorted(found) == list(range(2_000))
    served = [number for number, answer in found.items() if answer != "overloaded"]
    assert served == list(range(len(served)))
    assert CLIENT_BYTES_A_STEP - LARGE <= len(served) * LARGE <= CLIENT_BYTES_A_STEP + LARGE


def test_the_budget_is_that_of_one_client_and_of_one_step(node: OneNode) -> None:
    sent = node.step(
        Received(CLIENT, 1, [reads("large", 2_000), reads("small", 3, first=5_000)]),
        Received(2, 1, [reads("small", 1)]),
    )
    assert max(answers(sent[CLIENT])) < 5_000
    assert answers(sent[2])[0] != "overloaded"
    found = answers(node.step()[CLIENT])
    assert sorted(found) == [5_000, 5_001, 5_002]
    assert "overloaded" not in found.values()


def test_what_operators_ask_counts_as_the_work_it_is(node: OneNode) -> None:
    messages = node.step(Received(CLIENT, 1, [StatusRequest(1)] * 1_000))[CLIENT]
    served = sum(isinstance(message, StatusReply) for message in messages)
    assert 0 < served <= 64
    assert sum(isinstance(message, ErrorReply) for message in messages) == 1_000 - served


def test_scans_are_begun_a_few_a_step(node: OneNode) -> None:
    scan = ScanRequest(1, 0, b"default\0register\0", b"", 1000, "ONE", 5_000)
    messages = node.step(Received(CLIENT, 1, [scan] * 1_000))[CLIENT]
    assert 0 < sum(isinstance(message, ScanReply) for message in messages) <= 64
    assert not any(isinstance(message, ErrorReply) for message in messages)


def test_a_replica_that_asks_for_too_much_at_once_is_told_to_ask_again(node: OneNode) -> None:
    requests: list[Message] = [ReadReplica(number, identity("large")) for number in range(400)]
    messages = node.from_node("eu-2", *requests)["eu-2"]
    served = [message.id for message in messages if isinstance(message, ReplicaEntry)]
    refused = [message.id for message in messages if isinstance(message, Refusal) and message.code == CONGESTED]
    assert served + refused == list(range(400))
    assert 100 < len(served) < 200


def test_a_write_is_taken_however_much_was_read(node: OneNode) -> None:
    entry = node.core.parts.local.read(node.core.parts.keys.from_client(identity("small")))[0]
    assert entry is not None
    requests: list[Message] = [ReadReplica(number, identity("large")) for number in range(400)]
    messages = node.from_node("eu-2", *requests, WriteReplica(999, identity("small"), entry, 0))["eu-2"]
    assert messages[-1].ids == [999]  # type: ignore[union-attr]


def test_a_congested_read_is_asked_again_in_a_moment(node: OneNode) -> None:
    sent = node.get("large", level="LOCAL_ALL")  # a small entry would be compared by its digest
    asked = [message for message in sent["eu-3"] if isinstance(message, ReadReplica)]
    node.from_node("eu-3", Refusal(asked[0].id, CONGESTED, []))
    again = [message for message in node.wait(0.06).get("eu-3", []) if isinstance(message, ReadReplica)]
    assert again == asked
