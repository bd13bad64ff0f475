"""A wrong port shows at the first bytes: what answers there is named, with what to do."""

import pytest

from crdtkv.errors import ProtocolError
from crdtkv.wire.frames import MAX_FRAME_BYTES, FrameSplitter


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (b'INFO {"server_id":"NA"}\r\n', "this is a NATS server"),
        (b"HTTP/1.1 400 Bad Request\r\n", "http_port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is an SSH server"),
        (b"-ERR unknown command\r\n", "this is a Redis server"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "TLS"),
    ],
)
def test_what_else_may_answer_at_a_port_is_named(first: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match="connect to a node's `port`") as caught:
        list(FrameSplitter().feed(first))
    assert says in str(caught.value)


def test_any_other_length_that_is_too_long_is_told_as_one() -> None:
    with pytest.raises(ProtocolError, match=f"a frame of {MAX_FRAME_BYTES + 1} bytes is announced"):
        list(FrameSplitter().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big")))
