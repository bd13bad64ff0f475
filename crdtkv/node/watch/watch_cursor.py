"""`Cursor`: how far a watch has come at one node; to the client it is a few bytes without meaning.

A watch begins with the initial state: the partitions it asks for, one after the other, as they are stored. Before the
first is read the cursor takes the number of the log's last change (`since`). When all are through, what changed behind
that number follows, then what changes. So a key that is written while its partition has been read already comes again,
and none is skipped.
"""

from typing import NamedTuple

from crdtkv import cbor
from crdtkv.errors import InvalidRequest, ProtocolError
from crdtkv.ids import MAX_KEY_BYTES

#: No storage key makes a cursor longer: token, bucket, type and key, and what CBOR puts around them.
MAX_CURSOR_BYTES = MAX_KEY_BYTES + 256


class Cursor(NamedTuple):
    """Everything up to change `since` of this `log` was told; of the initial state what lies before `after`.

    `partition` is the one to read next, from behind storage key `after`; None when the initial state is through.
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
        """Parse what a client brings back, or made up.

        Raises:
            InvalidRequest: it is no cursor.
        """
        try:
            fields = cbor.decode(encoded) if len(encoded) <= MAX_CURSOR_BYTES else None
        except ProtocolError:
            fields = None
        match fields:
            case [int() as log, int() as since] if _are_numbers(log, since):
                return Cursor(log, since)
            case [int() as log, int() as since, int() as partition, bytes() as after] if _are_numbers(
                log, since, partition
            ):
                return Cursor(log, since, partition, after)
        raise InvalidRequest("this is no cursor: bring what the last answer brought, or nothing")


def _are_numbers(*numbers: int) -> bool:
    return all(type(number) is int and 0 <= number < 1 << 64 for number in numbers)
