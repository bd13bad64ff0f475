"""Frames on a link: payloads come out whole however the bytes were cut, and no frame is larger than allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.errors import ProtocolError
from crdtkv.wire.frames import HANDSHAKE_FRAME_BYTES, HEARTBEAT, MAX_FRAME_BYTES, FrameSplitter, framed

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def test_a_frame_is_its_length_in_four_bytes_and_the_payload() -> None:
    assert framed(b"abc") == b"\0\0\0\3abc"


def test_an_empty_frame_is_a_heartbeat() -> None:
    assert framed(b"") == HEARTBEAT


def test_two_frames_cut_at_every_boundary_come_out_whole() -> None:
    stream = framed(b"first") + HEARTBEAT + framed(b"second")
    for cut in range(len(stream) + 1):
        splitter = FrameSplitter()
        assert list(splitter.feed(stream[:cut])) + list(splitter.feed(stream[cut:])) == [b"first", b"second"]


def test_frames_that_trickle_in_byte_by_byte_come_out_with_their_last_byte() -> None:
    splitter = FrameSplitter()
    stream = framed(b"first") + HEARTBEAT + framed(b"second")
    completed = {place: list(splitter.feed(bytes([byte]))) for place, byte in enumerate(stream)}
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
        received += list(splitter.feed(stream[start:end]))
    assert received == payloads


def test_heartbeats_are_left_out_wherever_they_stand() -> None:
    stream = HEARTBEAT + framed(b"a") + HEARTBEAT + HEARTBEAT + framed(b"b") + HEARTBEAT
    assert list(FrameSplitter().feed(stream)) == [b"a", b"b"]


def test_half_a_heartbeat_says_nothing_yet() -> None:
    splitter = FrameSplitter()
    assert list(splitter.feed(HEARTBEAT[:3])) == []
    assert list(splitter.feed(HEARTBEAT[3:] + framed(b"a"))) == [b"a"]


def test_payloads_are_bytes_of_their_own() -> None:
    splitter = FrameSplitter()
    (payload,) = list(splitter.feed(framed(b"abc")))
    list(splitter.feed(framed(b"xyz")))
    assert payload == b"abc"
    assert type(payload) is bytes


def test_the_largest_frame_goes_through_and_one_byte_more_does_not() -> None:
    payload = bytes(MAX_FRAME_BYTES)
    assert list(FrameSplitter().feed(framed(payload))) == [payload]
    with pytest.raises(ProtocolError, match=f"{MAX_FRAME_BYTES + 1} bytes exceeds {MAX_FRAME_BYTES}"):
        framed(bytes(MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 2**32 - 1, int.from_bytes(b"GET ", "big")])
def test_an_oversized_frame_is_refused_when_it_is_announced(length: int) -> None:
    splitter = FrameSplitter()
    assert list(splitter.feed(framed(b"good"))) == [b"good"]
    with pytest.raises(ProtocolError, match=f"a frame of {length} bytes is announced"):
        list(splitter.feed(length.to_bytes(4, "big")))


def test_the_limit_may_change_between_two_payloads() -> None:
    splitter = FrameSplitter(HANDSHAKE_FRAME_BYTES)
    payloads = splitter.feed(framed(b"hello") + framed(bytes(5_000)))
    assert next(payloads) == b"hello"
    splitter.limit_bytes = MAX_FRAME_BYTES
    assert list(payloads) == [bytes(5_000)]


def test_what_follows_the_first_payload_is_held_to_the_limit_as_long_as_it_is_not_changed() -> None:
    splitter = FrameSplitter(HANDSHAKE_FRAME_BYTES)
    payloads = splitter.feed(framed(b"hello") + framed(bytes(5_000)))
    assert next(payloads) == b"hello"
    with pytest.raises(ProtocolError, match="5000 bytes is announced, 4096 are allowed"):
        next(payloads)


def test_what_is_left_of_an_incomplete_frame_is_counted() -> None:
    splitter = FrameSplitter()
    assert list(splitter.feed(framed(b"whole") + framed(b"cut off")[:6])) == [b"whole"]
    assert splitter.buffered_bytes == 6
