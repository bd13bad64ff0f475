"""The layout of a node's store: one letter of prefix per kind of row.

d <token 8> <identity>   an entry, by storage key: partitions are contiguous ranges
o <oseq 8>               an outbox row: the storage key whose entry other data centers still miss
m <name>                 the node's own facts (identity, starts, outbox numbering, last topology, who others are)
x <number 8>             a dead letter: a message nobody here could read
"""

from crdtkv.ring.token import TOKEN_BITS, TOKEN_BYTES, partition_start

_DATA = b"d"
_OUTBOX = b"o"
_META = b"m"
_DEAD_LETTER = b"x"

IDENTITY = _META + b"identity"
STARTS = _META + b"starts"
TOPOLOGY = _META + b"topology"
OUTBOX_NUMBERS = _META + b"outbox-numbers"
OUTBOX_DROPPED = _META + b"outbox-dropped"

OUTBOX_RANGE = (_OUTBOX, b"p")
DATA_RANGE = (_DATA, b"e")
DEAD_LETTER_RANGE = (_DEAD_LETTER, b"y")


def incarnation_row(node: str) -> bytes:
    """Return the row of the last incarnation this node has seen of another one."""
    return _META + b"incarnation-of " + node.encode()


def data_row(located_key: bytes) -> bytes:
    """Return the row of a storage key's entry."""
    return _DATA + located_key


def located_in(row: bytes) -> bytes:
    """Return the storage key in a data row."""
    return row[1:]


def partition_range(partition: int, partitions: int) -> tuple[bytes, bytes]:
    """Return the first row of a partition and the first row behind it."""
    return token_range(partition_start(partition, partitions), partition_start(partition + 1, partitions))


def token_range(first: int, end: int) -> tuple[bytes, bytes]:
    """Return the first data row at or behind a token, and the first row at or behind another."""
    stop_row = DATA_RANGE[1] if end >> TOKEN_BITS else _DATA + end.to_bytes(TOKEN_BYTES, "big")
    return _DATA + first.to_bytes(TOKEN_BYTES, "big"), stop_row


def outbox_row(oseq: int) -> bytes:
    """Return the row of an outbox number."""
    return _OUTBOX + oseq.to_bytes(8, "big")


def oseq_in(row: bytes) -> int:
    """Return the outbox number of a row."""
    return int.from_bytes(row[1:], "big")


def dead_letter_row(number: int) -> bytes:
    """Return the row of a dead letter."""
    return _DEAD_LETTER + number.to_bytes(8, "big")
