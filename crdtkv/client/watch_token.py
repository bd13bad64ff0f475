"""The token of a watch: the position of a watch as text, for a later watch in any process.

A watch has a cursor at every replica that it polls. The token has the replicas, the partitions of each, and the
cursors, which only their nodes can interpret. It has a digest of the watched prefixes, because a watch of other
prefixes would skip keys.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from crdtkv import cbor
from crdtkv.client.core.subscription import Part
from crdtkv.errors import InvalidRequest, ProtocolError
from crdtkv.ring.partition_set import from_bits, to_bits

VERSION = 1
_DIGEST_BYTES = 8
#: Nodes return no longer cursors.
MAX_CURSOR_BYTES = 4096


def to_token(prefixes: Sequence[bytes], partitions: int, parts: Iterable[Part]) -> str:
    """Return the token of a watch of these prefixes; `partitions` is the number of partitions of the ring."""
    rows = [[part.node, to_bits(part.mask, partitions), part.cursor] for part in parts]
    return cbor.encode_text([VERSION, _digest(prefixes), partitions, rows])


def parts_in(token: str, prefixes: Sequence[bytes], partitions: int) -> list[Part]:
    """Return the parts of a token.

    Raises:
        InvalidRequest: it is not a watch token, or belongs to other prefixes or to a ring of another size.
    """
    try:
        fields = cbor.decode_text(token)
    except ProtocolError:
        fields = None
    match fields:
        case [int() as version, bytes() as digest, int() as counted, list() as rows] if _are(version, counted):
            if digest != _digest(prefixes) or counted != partitions:
                raise InvalidRequest("the token belongs to another watch: bucket, type and prefix must be the same")
            return _parts(rows, partitions)
    raise InvalidRequest("this is not a watch token")


def _parts(rows: list[object], partitions: int) -> list[Part]:
    parts: list[Part] = []
    seen = 0
    for row in rows:
        match row:
            case [str() as node, bytes() as bits, bytes() as cursor] if len(cursor) <= MAX_CURSOR_BYTES:
                mask = from_bits(bits, partitions)
                if mask & seen:
                    raise InvalidRequest("the watch token names a partition twice")
                seen |= mask
                parts.append(Part(node, mask, cursor))
            case _:
                raise InvalidRequest("this is not a watch token")
    return parts


def _are(version: int, counted: int) -> bool:
    return version == VERSION and type(version) is int and type(counted) is int


def _digest(prefixes: Sequence[bytes]) -> bytes:
    return blake2b(b"\0\0".join(sorted(prefixes)), digest_size=_DIGEST_BYTES).digest()
