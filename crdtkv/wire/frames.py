"""Frames on a link: a 4-byte big-endian length, then the payload. A frame of length 0 is a heartbeat.

`FrameSplitter` cuts a stream of bytes into payloads; a length above its limit ends the link before a byte of the frame
is buffered. The limit is small until the other side has identified itself. `crdtkv.wire.outgoing` decides which
messages share a frame.
"""

from collections.abc import Iterator

from crdtkv.errors import ProtocolError
from crdtkv.wire.foreign import too_long

MAX_FRAME_BYTES = 16 * 1024 * 1024
#: The target size of a frame of several messages; so small a frame cannot exceed `codec.MAX_ITEMS`.
TARGET_FRAME_BYTES = 128 * 1024
#: The largest frame until the handshake is done.
HANDSHAKE_FRAME_BYTES = 4096
LENGTH_BYTES = 4
HEARTBEAT = b"\0\0\0\0"


def framed(payload: bytes) -> bytes:
    """Return the payload with its length in front.

    Raises:
        ProtocolError: the payload is too large for a frame.
    """
    if len(payload) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {len(payload)} bytes exceeds {MAX_FRAME_BYTES}")
    return len(payload).to_bytes(4, "big") + payload


class FrameSplitter:
    """Cuts received bytes into payloads. `limit_bytes` may be changed between two of them."""

    def __init__(self, limit_bytes: int = MAX_FRAME_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._buffer = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """The number of received bytes of an incomplete frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add received bytes, and yield the payloads they complete; heartbeats are left out.

        Raises:
            ProtocolError: a frame longer than allowed is announced.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 4:
                length = int.from_bytes(buffer[start : start + 4], "big")
                if length > self.limit_bytes:
                    raise too_long(bytes(buffer[start : start + 4]), self.limit_bytes)
                end = start + 4 + length
                if len(buffer) < end:
                    break
                payload = bytes(buffer[start + 4 : end])
                start = end
                if payload:
                    yield payload
        finally:
            del buffer[:start]
