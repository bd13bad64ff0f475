"""What callers hand in, checked in their own call, before anything of it shares a link with other calls.

Whoever shares a link shares its fate. So a timeout that is no number, an amount no counter can hold or a prefix that is
no text must fail here, alone, and at once. Keys are checked by `ids`, values by `cbor`, and what goes out, once more
and as a whole, by `wire.codec.check_outgoing`.
"""

import math
from collections.abc import Sequence
from typing import Any

from crdtkv.client.codecs import Codec
from crdtkv.crdt.dotted import MAX_ELEMENTS
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InvalidRequest, ValueTooLarge
from crdtkv.ids import MAX_KEY_BYTES

#: A call waits a day at most. (A node works on one request for ten minutes.)
MAX_TIMEOUT_S = 86_400.0
MAX_TTL_S = 100 * 365 * 86_400
#: What the elements of one call take together, also where an entry may take more.
MAX_ELEMENTS_BYTES = 8 * 1024 * 1024


def checked_timeout(timeout: Any) -> float:
    """Return a timeout.

    Raises:
        InvalidRequest: it is no number of seconds above 0, or more than a day; there is no "for ever".
    """
    if _is_number(timeout) and 0 < timeout <= MAX_TIMEOUT_S:
        return float(timeout)
    raise InvalidRequest(
        f"a timeout is in seconds, above 0 and at most {MAX_TIMEOUT_S:,.0f} (a day), not {timeout!r:.40}"
    )


def ttl_ms(ttl: Any) -> int | None:
    """Return a time to live in milliseconds: 0 for ever, None as the bucket says.

    Raises:
        InvalidRequest: it is no number of seconds, negative, or more than a hundred years.
    """
    if ttl is None:
        return None
    if not _is_number(ttl) or not 0 <= ttl <= MAX_TTL_S:
        raise InvalidRequest(f"a time to live is in seconds, from 0 (for ever) to {MAX_TTL_S:,}, not {ttl!r:.40}")
    return max(1, round(ttl * 1000)) if ttl else 0


def prefix_bytes(prefix: Any) -> bytes:
    """Encode what keys begin with.

    Raises:
        InvalidRequest: it is no text and no bytes, or longer than a key.
    """
    if isinstance(prefix, str):
        try:
            encoded = prefix.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"a prefix is encoded as UTF-8, which this one has not: {error.reason}") from None
    elif isinstance(prefix, bytes):
        encoded = bytes(prefix)
    else:
        raise InvalidRequest(f"a prefix is str or bytes, not {type(prefix).__name__}")
    if len(encoded) > MAX_KEY_BYTES:
        raise InvalidRequest(f"no key is longer than {MAX_KEY_BYTES} bytes, this prefix has {len(encoded)}")
    return encoded


def checked_whole(amount: Any) -> int:
    """Return what a counter is changed by.

    Raises:
        InvalidRequest: it is no whole number (True is none), or too large.
    """
    if type(amount) is not int or abs(amount) > MAX_WHOLE:
        raise InvalidRequest(f"a counter is changed by a whole number below 2**63, not {amount!r:.40}")
    return amount


def checked_rank(position: Any) -> int | None:
    """Return where a part of a ranking begins or ends.

    Raises:
        InvalidRequest: it is no whole number.
    """
    if position is not None and type(position) is not int:
        raise InvalidRequest(f"ranks are whole numbers, as those of a list, not {position!r:.40}")
    return position


def checked_limit(limit: Any) -> int | None:
    """Return how many keys a scan ends after, None for no such end.

    Raises:
        InvalidRequest: it is no whole number above 0.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidRequest(f"a limit is a whole number above 0, not {limit!r:.40}")
    return limit


def checked_bound(number: Any) -> Any:
    """Return one end of a range of scores; it may be infinite.

    Raises:
        InvalidRequest: it is no number.
    """
    if not _is_number(number) or math.isnan(number):
        raise InvalidRequest(f"scores lie between two numbers, not {number!r:.40}")
    return number


def check_elements(encoded: Sequence[bytes], limit_bytes: int) -> None:
    """Check that the elements of one call may be sent, and could be stored.

    Raises:
        InvalidRequest: there are none, or too many for one call.
        ValueTooLarge: together they take more than there is room for.
    """
    if not encoded:
        raise InvalidRequest("name one or more members")
    if len(encoded) > MAX_ELEMENTS:
        raise InvalidRequest(f"{len(encoded):,} members in one call: name at most {MAX_ELEMENTS:,}")
    size = sum(map(len, encoded))
    if size > limit_bytes:
        raise ValueTooLarge(size, limit_bytes)


def checked_codec(codec: Any) -> Codec[Any]:
    """Return what was given as `of=`.

    Raises:
        InvalidRequest: it is no codec, but perhaps the type that one is wanted for.
    """
    if isinstance(codec, type) or not (hasattr(codec, "to_plain") and hasattr(codec, "from_plain")):
        raise InvalidRequest(f"of= takes a codec, as crdtkv.TEXT or crdtkv.model(User), not {codec!r:.60}")
    return codec  # type: ignore[no-any-return]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
