"""The layout of a node's store: one letter of prefix per kind of row.

d <token 8> <identity>   an entry, by storage key: partitions are contiguous ranges
e <length 2> <storage key> <number 4>   a patch of a large entry (`patching`)
o <outbox_seq 8>         an outbox row: the storage key whose entry other data centers have not confirmed
h <length 2> <storage key> <target>   a hint: the entry, or a reference to it, that a home replica has missed
t <storage key>          a tombstone note: when this node wrote it, the digest of the entry, when the entry expires
m <name>                 metadata of the node (identity, starts, those noted in the topology bucket, write actor,
                         outbox numbering, last topology, incarnations of other nodes, other data centers, those to
                         compare with, targets that need repair)
p <minute 4> <number 8>  the operation records of one step, each its dot and timestamp, or the nodes it was forwarded
                         to; only minutes in which the node ran count (earlier versions: one row per operation id)
x <number 8>             a dead letter: a message that could not be decoded
"""

from crdtkv.ring.token import TOKEN_BITS, TOKEN_BYTES, partition_start

_DATA = b"d"
_PATCH = b"e"
_OUTBOX = b"o"
_HINT = b"h"
_TOMBSTONE = b"t"
_META = b"m"
_OPERATION = b"p"
_DEAD_LETTER = b"x"

IDENTITY = _META + b"identity"
STARTS = _META + b"starts"
STARTS_NOTED = _META + b"starts-noted"
ACTOR = _META + b"actor"
ALIVE_AT = _META + b"alive-at"
COLLECTED_UNTIL = _META + b"collected-until"
TOPOLOGY = _META + b"topology"
OPERATIONS_MINUTE = _META + b"operations-minute"
OUTBOX_NUMBERS = _META + b"outbox-numbers"
GEO_PEERS = _META + b"geo-peers"

OUTBOX_RANGE = (_OUTBOX, b"p")
DATA_RANGE = (_DATA, b"e")
PATCH_RANGE = (_PATCH, b"f")
DEAD_LETTER_RANGE = (_DEAD_LETTER, b"y")
HINT_RANGE = (_HINT, b"i")
TOMBSTONE_RANGE = (_TOMBSTONE, b"u")

_NEEDS_REPAIR = _META + b"needs-repair "
NEEDS_REPAIR_RANGE = (_NEEDS_REPAIR, _META + b"needs-repair!")

_COMPARE = _META + b"compare "
COMPARE_RANGE = (_COMPARE, _META + b"compare!")


def compare_row(datacenter: str) -> bytes:
    """Return the mark that this node must compare what it stores with another data center."""
    return _COMPARE + datacenter.encode()


def compared_in(row: bytes) -> str:
    """Return the data center of a `compare_row`."""
    return row[len(_COMPARE) :].decode()


def incarnation_row(node: str) -> bytes:
    """Return the row of the last incarnation of another node that this node has seen."""
    return _META + b"incarnation-of " + node.encode()


def data_row(storage_key: bytes) -> bytes:
    """Return the row of a storage key's entry."""
    return _DATA + storage_key


def is_data(row: bytes) -> bool:
    """Return whether a row is that of an entry."""
    return row[:1] == _DATA


def patches_of(storage_key: bytes) -> tuple[bytes, bytes]:
    """Return the first row of a storage key's patches and the first row after them."""
    start = _PATCH + len(storage_key).to_bytes(2, "big") + storage_key
    return start, start + b"\xff\xff\xff\xff"


def patch_row(storage_key: bytes, number: int) -> bytes:
    """Return the row of a storage key's patch with this number, from 1."""
    return patches_of(storage_key)[0] + number.to_bytes(4, "big")


def patched_in(row: bytes) -> bytes:
    """Return the storage key in the row of a patch."""
    return row[3 : 3 + int.from_bytes(row[1:3], "big")]


def tombstone_row(storage_key: bytes) -> bytes:
    """Return the row that notes a storage key's tombstone."""
    return _TOMBSTONE + storage_key


def storage_key_in(row: bytes) -> bytes:
    """Return the storage key in a data row, or in the row of a tombstone."""
    return row[1:]


def partition_range(partition: int, partitions: int) -> tuple[bytes, bytes]:
    """Return the first row of a partition and the first row after it."""
    return token_range(partition_start(partition, partitions), partition_start(partition + 1, partitions))


def token_range(first: int, end: int) -> tuple[bytes, bytes]:
    """Return the first data row at or after a token, and the first row at or after another."""
    stop_row = DATA_RANGE[1] if end >> TOKEN_BITS else _DATA + end.to_bytes(TOKEN_BYTES, "big")
    return _DATA + first.to_bytes(TOKEN_BYTES, "big"), stop_row


def outbox_row(outbox_seq: int) -> bytes:
    """Return the row of an outbox number."""
    return _OUTBOX + outbox_seq.to_bytes(8, "big")


def outbox_seq_in(row: bytes) -> int:
    """Return the outbox number of a row."""
    return int.from_bytes(row[1:], "big")


def operations_row(minute: int, number: int) -> bytes:
    """Return the row of the operations that came in one step of a minute."""
    return operations_from(minute) + number.to_bytes(8, "big")


def operations_in(row: bytes) -> tuple[int, int]:
    """Return minute and number of such a row."""
    return int.from_bytes(row[1:5], "big"), int.from_bytes(row[5:], "big")


def is_single_operation(row: bytes) -> bool:
    """Tell whether a row holds one operation, as earlier versions stored them: its id is 16 bytes."""
    return len(row) == 1 + 4 + 16


def operations_from(minute: int) -> bytes:
    """Return the first row of the operations of a minute and later ones; of minute 0, of all."""
    return _OPERATION + minute.to_bytes(4, "big")


def dead_letter_row(number: int) -> bytes:
    """Return the row of a dead letter."""
    return _DEAD_LETTER + number.to_bytes(8, "big")


def hints_of(storage_key: bytes) -> tuple[bytes, bytes]:
    """Return the first hint row of a storage key and the first row after them."""
    start = _HINT + len(storage_key).to_bytes(2, "big") + storage_key
    return start, start + b"\xff"


def hint_row(storage_key: bytes, target: str) -> bytes:
    """Return the row of a hint."""
    return hints_of(storage_key)[0] + target.encode()


def hint_in(row: bytes) -> tuple[bytes, str]:
    """Return the storage key and the target of a hint row."""
    end = 3 + int.from_bytes(row[1:3], "big")
    return row[3:end], row[end:].decode()


def needs_repair_row(target: str) -> bytes:
    """Return the mark that hints for a node were dropped."""
    return _NEEDS_REPAIR + target.encode()


def marked_in(row: bytes) -> str:
    """Return the node of a `needs_repair_row`."""
    return row[len(_NEEDS_REPAIR) :].decode()
