"""Frames on a link: payloads come out whole however the bytes were cut, and no frame is larger than allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import ProtocolError
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.frames import (
    HEARTBEAT,
    MAX_FRAME_BYTES,
    TARGET_FRAME_BYTES,
    FrameSplitter,
    framed,
    frames_for,
)
from crdtkv.wire.messages import Message, ReplicaEntry, StatusRequest

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def messages_in(data: bytes) -> list[list[Message]]:
    return [decode_frame(payload).messages for payload in FrameSplitter().feed(data)]


def test_a_frame_is_its_length_in_four_bytes_and_the_payload() -> None:
    assert framed(b"abc") == b"\0\0\0\3abc"


def test_an_empty_frame_is_a_heartbeat() -> None:
    assert framed(b"") == HEARTBEAT


def test_two_frames_cut_at_every_boundary_come_out_whole() -> None:
    stream = framed(b"first") + HEARTBEAT + framed(b"second")
    for cut in range(len(stream) + 1):
        splitter = FrameSplitter()
        assert splitter.feed(stream[:cut]) + splitter.feed(stream[cut:]) == [b"first", b"second"]


def test_frames_that_trickle_in_byte_by_byte_come_out_with_their_last_byte() -> None:
    splitter = FrameSplitter()
    stream = framed(b"first") + HEARTBEAT + framed(b"second")
    completed = {place: splitter.feed(bytes([byte])) for place, byte in enumerate(stream)}
    assert {place: payloads for place, payloads in completed.items() if payloads} == {
        8: [b"first"],
        len(stream) - 1: [b"second"],
    }


@given(PAYLOADS, st.lists(st.integers(0, 200), max_size=6))
def test_payloads_come_out_in_order_wherever_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(framed(payload) for payload in payloads)
    splitter = FrameSplitter()
    received: list[bytes] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(stream)], strict=True):
        received += splitter.feed(stream[start:end])
    assert received == payloads


def test_heartbeats_are_left_out_wherever_they_stand() -> None:
    stream = HEARTBEAT + framed(b"a") + HEARTBEAT + HEARTBEAT + framed(b"b") + HEARTBEAT
    assert FrameSplitter().feed(stream) == [b"a", b"b"]


def test_half_a_heartbeat_says_nothing_yet() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(HEARTBEAT[:3]) == []
    assert splitter.feed(HEARTBEAT[3:] + framed(b"a")) == [b"a"]


def test_payloads_are_bytes_of_their_own() -> None:
    splitter = FrameSplitter()
    (payload,) = splitter.feed(framed(b"abc"))
    splitter.feed(framed(b"xyz"))
    assert payload == b"abc"
    assert type(payload) is bytes


def test_the_largest_frame_goes_through_and_one_byte_more_does_not() -> None:
    payload = bytes(MAX_FRAME_BYTES)
    assert FrameSplitter().feed(framed(payload)) == [payload]
    with pytest.raises(ProtocolError, match=f"{MAX_FRAME_BYTES + 1} bytes exceeds {MAX_FRAME_BYTES}"):
        framed(bytes(MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 2**32 - 1, int.from_bytes(b"GET ", "big")])
def test_an_oversized_frame_is_refused_when_it_is_announced(length: int) -> None:
    splitter = FrameSplitter()
    assert splitter.feed(framed(b"good")) == [b"good"]
    with pytest.raises(ProtocolError, match=f"a frame of {length} bytes is announced"):
        splitter.feed(length.to_bytes(4, "big"))


def test_few_small_messages_are_one_frame() -> None:
    messages: list[Message] = [StatusRequest(number) for number in range(100)]
    assert messages_in(frames_for(3, messages)) == [messages]


def test_no_messages_are_an_empty_frame_that_still_tells_the_epoch() -> None:
    (payload,) = FrameSplitter().feed(frames_for(3, []))
    assert decode_frame(payload) == (3, [], 0)


def test_many_messages_are_several_frames_of_the_target_size_in_order() -> None:
    messages: list[Message] = [ReplicaEntry(number, bytes(50_000)) for number in range(100)]
    data = frames_for(3, messages)
    payloads = FrameSplitter().feed(data)
    assert len(payloads) > 1
    assert max(map(len, payloads)) <= TARGET_FRAME_BYTES
    assert [message for frame in messages_in(data) for message in frame] == messages
    assert {decode_frame(payload).epoch for payload in payloads} == {3}


def test_a_message_above_the_target_size_is_a_frame_of_its_own() -> None:
    small, large = StatusRequest(1), ReplicaEntry(2, bytes(2 * TARGET_FRAME_BYTES))
    assert messages_in(frames_for(3, [small, large, small])) == [[small], [large], [small]]


def test_a_message_that_exceeds_a_frame_is_refused() -> None:
    with pytest.raises(ProtocolError):
        frames_for(3, [StatusRequest(1), ReplicaEntry(2, bytes(MAX_FRAME_BYTES))])
