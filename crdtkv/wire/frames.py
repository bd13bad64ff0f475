"""Frames on a link: a 4-byte big-endian length, then the payload. Zero length is a bare sign of life.

`FrameSplitter` turns a stream of bytes into payloads; a length above `MAX_FRAME_BYTES` ends the link before a byte of
it is buffered. `frames_for` cuts a long list of messages so that every frame stays below `TARGET_FRAME_BYTES`,
unless one message alone is larger.
"""

from crdtkv.errors import ProtocolError
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.foreign import too_long
from crdtkv.wire.messages import Message

MAX_FRAME_BYTES = 16 * 1024 * 1024
TARGET_FRAME_BYTES = 1024 * 1024
HEARTBEAT = b"\0\0\0\0"


def framed(payload: bytes) -> bytes:
    """Return the payload with its length in front.

    Raises:
        ProtocolError: longer than a frame may be.
    """
    if len(payload) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {len(payload)} bytes exceeds {MAX_FRAME_BYTES}")
    return len(payload).to_bytes(4, "big") + payload


def frames_for(epoch: int, messages: list[Message]) -> bytes:
    """Encode messages as one frame, or as several when they are large."""
    payload = encode_frame(epoch, messages)
    if len(payload) <= TARGET_FRAME_BYTES or len(messages) == 1:
        return framed(payload)
    middle = len(messages) // 2
    return frames_for(epoch, messages[:middle]) + frames_for(epoch, messages[middle:])


class FrameSplitter:
    """Cut received bytes into payloads."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they came, return the payloads they complete; heartbeats are left out.

        Raises:
            ProtocolError: a frame longer than allowed is announced.
        """
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        start = 0
        while len(buffer) - start >= 4:
            length = int.from_bytes(buffer[start : start + 4], "big")
            if length > MAX_FRAME_BYTES:
                raise too_long(bytes(buffer[start : start + 4]), MAX_FRAME_BYTES)
            if len(buffer) - start - 4 < length:
                break
            if length:
                payloads.append(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        if start:
            del buffer[:start]
        return payloads
