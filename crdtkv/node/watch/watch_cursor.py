"""`Cursor`: the position of a watch at one node; a client treats it as opaque bytes.

A watch begins with the initial state: the requested partitions, one after the other, as they are stored. Before the
first is read, the cursor takes the number of the last change in the log (`since`). After the last partition, the node
sends the changes after that number, then new changes. So a key that is written after its partition was read is sent
again, and none is skipped.
"""

from typing import NamedTuple

from crdtkv import cbor
from crdtkv.errors import InvalidRequest, ProtocolError
from crdtkv.ids import MAX_KEY_BYTES

#: The largest cursor: a storage key (token, bucket, type and key), two numbers, and the CBOR headers.
MAX_CURSOR_BYTES = MAX_KEY_BYTES + 256


class Cursor(NamedTuple):
    """The client has received the changes up to `since` of this `log`, and the initial state up to `after`.

    `partition` is the one to read next, after storage key `after`; None when the initial state is complete.
    """

    log: int
    since: int
    partition: int | None = None
    after: bytes = b""

    def to_bytes(self) -> bytes:
        """Return the cursor for the client."""
        fields = (self.log, self.since) if self.partition is None else self
        return cbor.encode(list(fields))

    @staticmethod
    def from_bytes(encoded: bytes) -> "Cursor":
        """Parse a cursor from a client.

        Raises:
            InvalidRequest: the bytes are no cursor.
        """
        try:
            fields = cbor.decode(encoded) if len(encoded) <= MAX_CURSOR_BYTES else None
        except ProtocolError:
            fields = None
        match fields:
            case [log, since] if _are_numbers(log, since):
                return Cursor(log, since)
            case [log, since, partition, bytes() as after] if _are_numbers(log, since, partition):
                return Cursor(log, since, partition, after)
        raise InvalidRequest("this is not a cursor: send the cursor of the last answer, or none")


def _are_numbers(*numbers: object) -> bool:
    return all(type(number) is int and 0 <= number < 1 << 64 for number in numbers)
