"""Outgoing messages: each is sent, divided or shortened, or its requester gets an error; none affects another."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import CrdtkvError, Overloaded, ValueTooLarge, error_from_wire
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.codec import MAX_ITEMS, MAX_MESSAGES, decode_frame
from crdtkv.wire.frames import LENGTH_BYTES, MAX_FRAME_BYTES, TARGET_FRAME_BYTES, FrameSplitter
from crdtkv.wire.messages import (
    WRITE_WIDTH,
    Beat,
    EntriesReply,
    ErrorReply,
    GetRequest,
    LeafReply,
    MembersPush,
    Message,
    MutateReply,
    MutateRequest,
    PartitionRows,
    ReadReplica,
    Refusal,
    ReplicaEntry,
    ReplicaSuperseded,
    ReplicaWritten,
    ScanReply,
    StatusRequest,
    WatchReply,
    WriteReplica,
    WriteReplicas,
)
from crdtkv.wire.outgoing import CONGESTED, Outgoing, packed
from crdtkv.wire.weights import weight_of

MIB = 1024 * 1024
TOO_LARGE = bytes(MAX_FRAME_BYTES + 1)


def frames_of(outgoing: Outgoing) -> list[list[Message]]:
    payloads = FrameSplitter().feed(b"".join(outgoing.frames))
    return [decode_frame(payload).messages for payload in payloads]


def sent(outgoing: Outgoing) -> list[Any]:
    return [message for frame in frames_of(outgoing) for message in frame]


def answered(messages: list[Any]) -> dict[int, object]:
    """Return what each id is answered, as a client reads it."""
    answers: dict[int, object] = {}
    for message in messages:
        if isinstance(message, EntriesReply):
            answers.update(enumerate(message.entries, message.id))
        else:
            answers[message.id] = message.code
    return answers


# Frames.


def test_few_small_messages_are_one_frame() -> None:
    messages: list[Message] = [StatusRequest(number) for number in range(100)]
    assert frames_of(packed(3, messages)) == [messages]


def test_no_messages_are_an_empty_frame_that_still_tells_the_epoch() -> None:
    (frame,) = packed(3, []).frames
    assert decode_frame(frame[LENGTH_BYTES:]) == (3, [], 0)


def test_many_messages_are_several_frames_of_the_target_size_in_order() -> None:
    messages: list[Message] = [ReplicaEntry(number, bytes(50_000)) for number in range(100)]
    outgoing = packed(3, messages)
    assert len(outgoing.frames) > 1
    assert max(map(len, outgoing.frames)) <= TARGET_FRAME_BYTES + LENGTH_BYTES
    assert sent(outgoing) == messages
    assert {decode_frame(frame[LENGTH_BYTES:]).epoch for frame in outgoing.frames} == {3}


def test_a_message_above_the_target_size_is_a_frame_of_its_own() -> None:
    small, large = StatusRequest(1), ReplicaEntry(2, bytes(2 * TARGET_FRAME_BYTES))
    assert frames_of(packed(3, [small, large, small])) == [[small], [large], [small]]


def test_more_small_messages_than_a_frame_may_hold_are_several_frames() -> None:
    messages: list[Message] = [Beat(1)] * (MAX_MESSAGES + 1)
    outgoing = packed(3, messages)
    assert sent(outgoing) == messages
    assert max(map(len, frames_of(outgoing))) <= MAX_MESSAGES


@given(
    st.lists(
        st.builds(ReplicaEntry, st.integers(0, 2**64 - 1), st.none() | st.binary(max_size=99))
        | st.builds(EntriesReply, st.integers(0, 99), st.lists(st.none() | st.binary(max_size=99)))
        | st.builds(ReplicaWritten, st.lists(st.integers(0, 2**64 - 1)))
        | st.builds(Beat, st.integers(0, 2**64 - 1)),
        max_size=20,
    )
)
def test_what_fits_arrives_as_it_was_and_its_weight_is_no_less_than_its_bytes(messages: list[Message]) -> None:
    outgoing = packed(1, messages)
    assert sent(outgoing) == messages
    assert outgoing.returned == []
    assert sum(map(weight_of, messages)) + 32 >= sum(map(len, outgoing.frames))


# Messages that are too large.


def test_a_run_of_entries_is_divided_and_every_id_is_answered() -> None:
    entries: list[object] = [bytes([number]) * (MIB // 2) for number in range(40)]
    outgoing = packed(1, [EntriesReply(100, entries)])
    assert answered(sent(outgoing)) == dict(enumerate(entries, 100))
    assert outgoing.unsendable == []
    assert max(map(len, outgoing.frames)) < MIB


def test_the_one_entry_that_exceeds_a_frame_is_an_error_of_its_own_request_only() -> None:
    outgoing = packed(1, [EntriesReply(7, [b"a", TOO_LARGE, None]), MutateReply(1, 2, "eu-1.00", 3)])
    messages = sent(outgoing)
    assert MutateReply(1, 2, "eu-1.00", 3) in messages
    messages.remove(MutateReply(1, 2, "eu-1.00", 3))
    assert answered(messages) == {7: b"a", 8: "value_too_large", 9: None}
    assert len(outgoing.unsendable) == 1
    assert "EntriesReply" in outgoing.unsendable[0]


def test_a_client_is_told_how_large_the_value_is() -> None:
    (reply,) = sent(packed(1, [EntriesReply(7, [TOO_LARGE])]))
    error = error_from_wire(reply.code, reply.fields)
    assert isinstance(error, ValueTooLarge)
    assert error.size_bytes > error.limit_bytes == MAX_FRAME_BYTES


def test_a_page_of_a_scan_is_shortened_and_goes_on_where_it_ends() -> None:
    rows: list[object] = [[b"default\0register\0%d" % number, bytes(6 * MIB)] for number in range(4)]
    (reply,) = sent(packed(1, [ScanReply(5, rows, None)]))
    assert reply == ScanReply(5, rows[:2], storage_key_of(b"default\0register\0001"))


def test_a_page_of_a_partition_is_shortened_and_says_up_to_where_it_is_complete() -> None:
    rows: list[object] = [[storage_key_of(b"default\0register\0%d" % number), bytes(6 * MIB)] for number in range(4)]
    (reply,) = sent(packed(1, [PartitionRows(5, rows, None)]))
    assert reply == PartitionRows(5, rows[:2], rows[1][0])  # type: ignore[index]


def test_an_answer_of_anti_entropy_is_shortened_and_says_so() -> None:
    entries: list[object] = [[b"%d" % number, bytes(9 * MIB)] for number in range(2)]
    (reply,) = sent(packed(1, [LeafReply(5, 1, entries, [b"w"], True)]))
    assert reply == LeafReply(5, 1, entries[:1], [b"w"], False)


@pytest.mark.parametrize(
    "message",
    [ScanReply(5, [[b"i", TOO_LARGE]], None), WatchReply(5, [[b"i", TOO_LARGE]], b"", None, 1)],
    ids=["scan", "watch"],
)
def test_a_page_of_one_row_that_exceeds_a_frame_is_an_error_to_the_client(message: Message) -> None:
    (reply,) = sent(packed(1, [message]))
    assert isinstance(reply, ErrorReply)
    assert (reply.id, reply.code) == (5, "value_too_large")


@pytest.mark.parametrize(
    "message",
    [ReplicaEntry(5, TOO_LARGE), ReplicaSuperseded(5, TOO_LARGE), PartitionRows(5, [[b"k", TOO_LARGE]], None)],
    ids=["entry", "superseded", "partition"],
)
def test_an_answer_to_a_replica_that_exceeds_a_frame_is_a_refusal(message: Message) -> None:
    assert sent(packed(1, [message])) == [Refusal(5, "value_too_large", sent(packed(1, [message]))[0].fields)]


def test_a_request_to_a_replica_that_exceeds_a_frame_is_refused_here() -> None:
    outgoing = packed(1, [ReadReplica(4, b"i"), WriteReplica(5, b"i", TOO_LARGE, 0), ReadReplica(6, b"i")])
    assert sent(outgoing) == [ReadReplica(4, b"i"), ReadReplica(6, b"i")]
    (refusal,) = outgoing.returned
    assert isinstance(refusal, Refusal)
    assert (refusal.id, refusal.code) == (5, "value_too_large")


def test_a_request_of_a_client_that_exceeds_a_frame_fails_alone() -> None:
    large = MutateRequest(5, b"i", "add", [TOO_LARGE], None, 0, "ONE", 1)
    outgoing = packed(1, [StatusRequest(4), large])
    assert sent(outgoing) == [StatusRequest(4)]
    (reply,) = outgoing.returned
    assert isinstance(reply, ErrorReply)
    assert (reply.id, reply.code) == (5, "value_too_large")


def test_reads_of_many_keys_are_divided_with_their_ids() -> None:
    identities: list[object] = [b"%d" % number * 100 for number in range(20_000)]
    outgoing = packed(1, [GetRequest(1_000, identities, "ONE", 5)])
    asked = {
        request.id + number: identity
        for request in sent(outgoing)
        for number, identity in enumerate(request.identities)
    }
    assert asked == dict(enumerate(identities, 1_000))
    assert len(outgoing.frames) > 1


@pytest.mark.parametrize("kind", [ReplicaWritten, MembersPush])
def test_lists_that_need_not_stay_together_are_divided(kind: Any) -> None:
    items: list[object] = list(range(2**60, 2**60 + 100_000))
    outgoing = packed(1, [kind(items)])
    assert [item for message in sent(outgoing) for item in message[0]] == items
    assert max(map(len, outgoing.frames)) <= TARGET_FRAME_BYTES + LENGTH_BYTES


def writes(count: int, size: int = 100) -> WriteReplicas:
    rows: list[object] = []
    for number in range(count):
        rows += (2**60 + number, b"%d" % number, bytes(size), 0, b"", bytes(16), 7)
    return WriteReplicas(rows)


def test_the_writes_of_a_step_are_divided_between_writes() -> None:
    whole = writes(10_000)
    outgoing = packed(1, [whole])
    assert [item for message in sent(outgoing) for item in message.rows] == whole.rows
    assert all(len(message.rows) % WRITE_WIDTH == 0 for message in sent(outgoing))
    assert len(outgoing.frames) > 1
    assert max(map(len, outgoing.frames)) <= TARGET_FRAME_BYTES + LENGTH_BYTES


def test_each_write_of_a_step_is_refused_when_the_link_has_no_room() -> None:
    outgoing = packed(1, [writes(3)], room_bytes=0)
    assert sent(outgoing) == []
    assert [(refusal.id, refusal.code) for refusal in outgoing.returned] == [  # type: ignore[union-attr]
        (2**60 + number, CONGESTED) for number in range(3)
    ]


def test_gossip_that_exceeds_a_frame_is_left_out_and_told_of() -> None:
    outgoing = packed(1, [MembersPush([TOO_LARGE]), Beat(1)])
    assert sent(outgoing) == [Beat(1)]
    assert (outgoing.returned, len(outgoing.unsendable)) == ([], 1)


# Messages that cannot be encoded.


@pytest.mark.parametrize("junk", [object(), "\ud800"], ids=["an object", "half a character"])
def test_what_cannot_be_encoded_is_an_error_of_its_own_request(junk: object) -> None:
    request = MutateRequest(5, b"i", "put", [junk], None, 0, "ONE", 1)
    outgoing = packed(1, [StatusRequest(4), request, StatusRequest(6)])
    assert sent(outgoing) == [StatusRequest(4), StatusRequest(6)]
    (reply,) = outgoing.returned
    assert (reply.id, reply.code) == (5, "protocol_error")  # type: ignore[union-attr]


def test_an_error_whose_text_cannot_be_encoded_is_still_an_error() -> None:
    (reply,) = sent(packed(1, [ErrorReply(5, "invalid_request", ["\ud800"])]))
    assert (reply.id, reply.code) == (5, "protocol_error")
    assert isinstance(error_from_wire(reply.code, reply.fields), CrdtkvError)


def test_an_answer_that_is_passed_on_and_is_junk_is_passed_on() -> None:
    junk: list[Message] = [ScanReply(5, [7, [b"x"]], None), EntriesReply(6, [7, "text"])]  # type: ignore[list-item]
    assert sent(packed(1, junk)) == junk


# Room.


def test_large_answers_beyond_the_room_tell_the_client_to_come_back() -> None:
    entries: list[object] = [bytes(MIB // 2)] * 40
    outgoing = packed(1, [EntriesReply(0, entries), MutateReply(99, 1, "eu-1.00", 1)], room_bytes=4 * MIB)
    *replies, written = sent(outgoing)
    answers = answered(replies)
    assert len(answers) == 40
    refused = [number for number, answer in answers.items() if answer == "overloaded"]
    assert 30 <= len(refused) <= 34
    assert written == MutateReply(99, 1, "eu-1.00", 1)
    assert outgoing.held_back > 0
    assert outgoing.unsendable == []
    assert sum(map(len, outgoing.frames)) < 5 * MIB


def test_small_messages_are_sent_however_little_room_there_is() -> None:
    messages: list[Message] = [MutateReply(number, 1, "eu-1.00", 1) for number in range(9)]
    outgoing = packed(1, [*messages, ReplicaWritten([1, 2]), EntriesReply(1, [None])], room_bytes=-1)
    assert sent(outgoing) == [*messages, ReplicaWritten([1, 2]), EntriesReply(1, [None])]


def test_a_replica_is_told_that_the_link_is_congested_and_asks_again() -> None:
    assert sent(packed(1, [ReplicaEntry(5, bytes(MIB))], room_bytes=0)) == [
        Refusal(5, CONGESTED, ["the link has too much to send: read the answers, then ask again", 0])
    ]
    (refusal,) = packed(1, [WriteReplica(6, b"i", bytes(MIB), 0)], room_bytes=0).returned
    assert (refusal.id, refusal.code) == (6, CONGESTED)  # type: ignore[union-attr]


def test_that_a_write_was_done_is_told_however_large_the_answer_and_little_the_room() -> None:
    message = ReplicaSuperseded(5, bytes(MIB))
    assert sent(packed(1, [message], room_bytes=0)) == [message]


def test_a_write_for_which_there_is_no_room_was_certainly_not_sent() -> None:
    outgoing = packed(1, [MutateRequest(5, b"i", "put", [bytes(MIB)], None, 0, "ONE", 1)], room_bytes=0)
    assert sent(outgoing) == []
    (reply,) = outgoing.returned
    assert isinstance(error_from_wire(reply.code, reply.fields), Overloaded)  # type: ignore[union-attr]


def test_no_frame_of_several_messages_holds_more_items_than_a_receiver_takes() -> None:
    """A frame that short cannot; what is larger is a single message."""
    assert TARGET_FRAME_BYTES <= MAX_ITEMS
