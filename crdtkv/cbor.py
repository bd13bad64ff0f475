"""CBOR, hardened: the only module that imports cbor2.

cbor2 trusts its input: it follows cyclic references, builds any known tag, ignores trailing bytes, and its encoder
overruns the C stack on deep nesting. So all input from outside is decoded here, with bounds. There are three entry
points:

- `decode`: protocol data from the network, without tags and without trailing bytes. An item takes up to a hundred times
  its bytes in memory, so callers that decode data of unknown senders bound the number of items (`items_max`).
- `decode_own`: data that this program wrote itself (its own disk rows and already checked entries); the same bounds,
  without the costly check for trailing bytes.
- `encode_value` and `decode_value`: users' values, which may hold dates, decimals, UUIDs and sets, but neither shared
  references nor tags that run code or take unbounded memory.

State is encoded as arrays of integers, strings and bytes only, for which cbor2's plain encoding is canonical. Users'
values are encoded canonically (sorted maps, shortest floats), so that equal values are equal bytes.
"""

import base64
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NoReturn
from uuid import UUID

import cbor2

from crdtkv.errors import InvalidRequest, ProtocolError, ValueTooLarge
from crdtkv.ids import MAX_VALUE_BYTES

MAX_DEPTH = 16
# A set is a tag around an array, and counts twice; so do the innermost dates and fractions.
_VALUE_DEPTH = 2 * MAX_DEPTH + 2

# The scalars of values; a value may be a list, tuple, set or dictionary of these.
_SCALARS = (
    str, bytes, bytearray, int, float, bool, type(None), datetime, date, Decimal, Fraction, UUID,
    IPv4Address, IPv4Network, IPv6Address, IPv6Network,
)  # fmt: skip

# Every tag cbor2 has a built-in decoder for; none of them may appear in protocol data.
_BUILT_IN_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 43, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
# In users' values: shared references can be cyclic, big floats and regular expressions can take for ever.
_DANGEROUS_TAGS = (5, 25, 28, 29, 35, 36, 256)

# cbor2 ignores bytes after an item. So the item is decoded as the first of a pair, whose second is a mark that no
# sender can know (it differs in every process). If the second item is not the mark, there were more bytes.
_END_ITEM = hash("crdtkv end of item").to_bytes(8, "big", signed=True)
_END = cbor2.dumps(_END_ITEM)


def _refuse(*_: object) -> NoReturn:
    raise ValueError("this tag is not allowed here")


_NO_TAGS: dict[int, Any] = dict.fromkeys(_BUILT_IN_TAGS, _refuse)
_SAFE_TAGS: dict[int, Any] = dict.fromkeys(_DANGEROUS_TAGS, _refuse)


def encode(item: object) -> bytes:
    """Encode protocol data or state: lists, integers, strings, bytes, None."""
    return cbor2.dumps(item)


def array_head(length: int) -> bytes:
    """Return the first bytes of the encoding of a list of `length` items; the encodings of its items follow."""
    if length < 24:
        return bytes((0x80 | length,))
    size = next(size for size in (1, 2, 4) if length < 1 << 8 * size)
    return bytes((0x98 + size.bit_length() - 1,)) + length.to_bytes(size, "big")


def decode(data: bytes, items_max: int | None = None) -> Any:
    """Decode exactly one item of protocol data.

    Raises:
        ProtocolError: malformed, tagged, nested deeper than 16, followed by more bytes, or of too many items.
    """
    # An item takes at least one byte, so short data needs no counting.
    if items_max is not None and len(data) > items_max and _has_more_items(data, items_max):
        raise ProtocolError(f"not valid here: more than {items_max} items")
    try:
        pair = cbor2.loads(
            b"\x82" + data + _END,
            max_depth=MAX_DEPTH + 1,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            tag_hook=_refuse,
            semantic_decoders=_NO_TAGS,
        )
    except Exception as error:  # cbor2 raises several kinds: CBORError, UnicodeError, ValueError
        raise ProtocolError(f"not valid CBOR: {error}") from None
    if pair[1] != _END_ITEM:
        raise ProtocolError("not valid CBOR: more than one item")
    return pair[0]


def _has_more_items(data: bytes, limit: int) -> bool:
    """Count the heads of items and skip strings; malformed data is left to the decoder."""
    position, end = 0, len(data)
    for _ in range(limit):
        if position >= end:
            return False
        head = data[position]
        position += 1
        size = head & 31
        if size > 23:
            if size > 27:
                return False
            width = 1 << (size - 24)
            size = int.from_bytes(data[position : position + width], "big")
            position += width
        if 0x40 <= head < 0x80:
            position += size
    return position < end


def decode_own(data: bytes) -> Any:
    """Decode data that this program encoded.

    Raises:
        ProtocolError: it is damaged.
    """
    try:
        return cbor2.loads(data, max_depth=MAX_DEPTH, allow_indefinite=False, semantic_decoders=_NO_TAGS)
    except Exception as error:
        raise ProtocolError(f"not valid CBOR: {error}") from None


def encode_text(item: object) -> str:
    """Encode protocol data as text that is safe in a URL, a file name or a command."""
    return base64.urlsafe_b64encode(encode(item)).decode().rstrip("=")


def decode_text(text: object) -> Any:
    """Decode the result of `encode_text`.

    Raises:
        ProtocolError: it is malformed.
    """
    if not isinstance(text, str):
        raise ProtocolError(f"not text: {type(text).__name__}")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError as error:
        raise ProtocolError(f"not valid base64: {error}") from None
    return decode(data)


def encode_value(value: object) -> bytes:
    """Encode a user's value canonically.

    Raises:
        InvalidRequest: it cannot be encoded, or is nested deeper than 16.
        ValueTooLarge: its encoding exceeds 512 KiB.
    """
    if not isinstance(value, _SCALARS):
        _check(value)
    try:
        data = cbor2.dumps(value, canonical=True)
    except Exception as error:
        raise InvalidRequest(f"a value of type {type(value).__name__} cannot be stored: {error}") from None
    if len(data) > MAX_VALUE_BYTES:
        raise ValueTooLarge(len(data), MAX_VALUE_BYTES)
    return data


def decode_value(data: bytes) -> Any:
    """Decode a user's value.

    Raises:
        ProtocolError: malformed, nested too deeply, or with a tag that is not allowed.
    """
    try:
        return cbor2.loads(data, max_depth=_VALUE_DEPTH, allow_indefinite=False, semantic_decoders=_SAFE_TAGS)
    except Exception as error:
        raise ProtocolError(f"not a valid value: {error}") from None


def _check(value: object) -> None:
    """Check a value before it is encoded.

    Raises:
        InvalidRequest: it could not be decoded again, or is nested too deeply for the encoder.
        ValueTooLarge: it is certainly too large.
    """
    waiting: list[tuple[object, int]] = [(value, 0)]
    count = 0
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, _SCALARS):
            continue
        if isinstance(item, dict):
            children: list[object] = [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            children = list(item)
        else:
            raise InvalidRequest(
                f"a value of type {type(item).__name__} cannot be stored: convert it to plain data first"
            )
        if depth == MAX_DEPTH:
            raise InvalidRequest(f"a value is nested at most {MAX_DEPTH} deep")
        # Every element takes at least one byte; a part that occurs many times counts each time.
        count += len(children)
        if count > MAX_VALUE_BYTES:
            raise ValueTooLarge(count, MAX_VALUE_BYTES)
        waiting += [(child, depth + 1) for child in children]
