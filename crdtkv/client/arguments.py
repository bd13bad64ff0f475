"""Checks of the arguments of public calls, before a request is made.

Many calls share one link and one frame, so a wrong argument must fail in its own call. Keys are checked in `ids`,
values in `cbor`; `wire.codec.check_outgoing` checks each complete request again.
"""

import math
from collections.abc import Sequence
from typing import Any

from crdtkv.client.codecs import Codec
from crdtkv.crdt.dotted import MAX_ELEMENTS
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InvalidRequest, ValueTooLarge
from crdtkv.ids import MAX_KEY_BYTES

#: The longest timeout of a call: one day. (A node ends each request after ten minutes.)
MAX_TIMEOUT_S = 86_400.0
MAX_TTL_S = 100 * 365 * 86_400
#: The most bytes of all elements of one call, even if an entry may have more.
MAX_ELEMENTS_BYTES = 8 * 1024 * 1024


def checked_timeout(timeout: Any) -> float:
    """Return a timeout in seconds.

    Raises:
        InvalidRequest: it is not a number above 0, or is more than a day; there is no infinite timeout.
    """
    if _is_number(timeout) and 0 < timeout <= MAX_TIMEOUT_S:
        return float(timeout)
    raise InvalidRequest(
        f"a timeout is in seconds, above 0 and at most {MAX_TIMEOUT_S:,.0f} (a day), not {timeout!r:.40}"
    )


def ttl_ms(ttl: Any) -> int | None:
    """Return a time to live in milliseconds: 0 for never expires, None for the default of the bucket.

    A positive `ttl` is at least one millisecond.

    Raises:
        InvalidRequest: `ttl` is not a number of seconds from 0 to a hundred years.
    """
    if ttl is None:
        return None
    if not _is_number(ttl) or not 0 <= ttl <= MAX_TTL_S:
        raise InvalidRequest(f"a time to live is in seconds, from 0 (for ever) to {MAX_TTL_S:,}, not {ttl!r:.40}")
    return max(1, round(ttl * 1000)) if ttl else 0


def prefix_bytes(prefix: Any) -> bytes:
    """Encode the prefix of keys.

    Raises:
        InvalidRequest: it is neither str nor bytes, cannot be encoded as UTF-8, or has more than 1024 bytes.
    """
    if isinstance(prefix, str):
        try:
            encoded = prefix.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"a prefix must be valid Unicode to be encoded as UTF-8: {error.reason}") from None
    elif isinstance(prefix, bytes):
        encoded = bytes(prefix)
    else:
        raise InvalidRequest(f"a prefix is str or bytes, not {type(prefix).__name__}")
    if len(encoded) > MAX_KEY_BYTES:
        raise InvalidRequest(f"no key is longer than {MAX_KEY_BYTES} bytes, this prefix has {len(encoded)}")
    return encoded


def checked_whole(amount: Any) -> int:
    """Return the amount of an increment.

    Raises:
        InvalidRequest: it is not an int (a bool is refused, too), or not below 2**63 in absolute value.
    """
    if type(amount) is not int or abs(amount) > MAX_WHOLE:
        raise InvalidRequest(f"a counter is changed by a whole number below 2**63, not {amount!r:.40}")
    return amount


def checked_rank(position: Any) -> int | None:
    """Return a rank, or None.

    Raises:
        InvalidRequest: it is neither an int nor None.
    """
    if position is not None and type(position) is not int:
        raise InvalidRequest(f"ranks are whole numbers, like list indexes, not {position!r:.40}")
    return position


def checked_limit(limit: Any) -> int | None:
    """Return the most keys of a scan, None for no limit.

    Raises:
        InvalidRequest: it is neither an int above 0 nor None.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidRequest(f"a limit is a whole number above 0, not {limit!r:.40}")
    return limit


def checked_bound(number: Any) -> Any:
    """Return one end of a range of scores; it may be infinite.

    Raises:
        InvalidRequest: it is not a number.
    """
    if not _is_number(number) or math.isnan(number):
        raise InvalidRequest(f"scores lie between two numbers, not {number!r:.40}")
    return number


def check_elements(encoded: Sequence[bytes], limit_bytes: int) -> None:
    """Check the number and the total size of the encoded elements of one call.

    Raises:
        InvalidRequest: there are no elements, or more than 10,000.
        ValueTooLarge: together they have more than `limit_bytes`.
    """
    if not encoded:
        raise InvalidRequest("name one or more members")
    if len(encoded) > MAX_ELEMENTS:
        raise InvalidRequest(f"{len(encoded):,} members in one call: name at most {MAX_ELEMENTS:,}")
    size = sum(map(len, encoded))
    if size > limit_bytes:
        raise ValueTooLarge(size, limit_bytes)


def checked_codec(codec: Any) -> Codec[Any]:
    """Return the codec that was passed as `of=`.

    Raises:
        InvalidRequest: it is not a codec, for example the type itself instead of `model(type)`.
    """
    if isinstance(codec, type) or not (hasattr(codec, "to_plain") and hasattr(codec, "from_plain")):
        raise InvalidRequest(f"of= takes a codec, such as crdtkv.TEXT or crdtkv.model(User), not {codec!r:.60}")
    return codec  # type: ignore[no-any-return]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
