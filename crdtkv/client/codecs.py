"""Codecs: what a value is in a program, and what is stored of it.

Everything is stored as CBOR. A codec turns a value of its type into plain data that CBOR holds, and back; it refuses
what it is not for, before anything is sent. Handles and buckets are generic over the type their codec gives.
"""

import math
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from crdtkv import cbor
from crdtkv.client.model_codec import Model
from crdtkv.errors import CrdtkvError, InvalidRequest

V = TypeVar("V")


class Codec(Protocol[V]):
    """Turns values into what CBOR holds, and back."""

    def to_plain(self, value: V) -> object:
        """Return what to store.

        Raises:
            InvalidRequest: the value is not of this codec's type.
        """
        ...

    def from_plain(self, plain: Any) -> V:
        """Return the value of what was stored.

        Raises:
            InvalidRequest: somebody stored something else.
        """
        ...


class _Cbor:
    """Anything CBOR can encode."""

    def to_plain(self, value: Any) -> object:
        """Return the value itself."""
        return value

    def from_plain(self, plain: Any) -> Any:
        """Return the value itself."""
        return plain


class _Only(Generic[V]):
    """Values of one plain type."""

    def __init__(self, of: type[V]) -> None:
        self._type = of

    def to_plain(self, value: V) -> object:
        """Check the type."""
        return self._checked(value)

    def from_plain(self, plain: Any) -> V:
        """Check the type."""
        return self._checked(plain)

    def _checked(self, value: V) -> V:
        if type(value) is not self._type:
            raise InvalidRequest(f"a {self._type.__name__} is expected here, not a {type(value).__name__}")
        return value


class _Json:
    """What JSON can say: None, booleans, numbers, text, lists, and dictionaries with text for keys."""

    def to_plain(self, value: Any) -> object:
        """Check that JSON can say it; NaN and the infinite it cannot."""
        return _checked_json(value, 0, math.isfinite)

    def from_plain(self, plain: Any) -> Any:
        """Check that JSON can say it, or nearly."""
        return _checked_json(plain, 0, lambda _: True)


CBOR: Codec[Any] = _Cbor()
JSON: Codec[Any] = _Json()
BYTES: Codec[bytes] = _Only(bytes)
TEXT: Codec[str] = _Only(str)


def model(of: type[V]) -> Codec[V]:
    """Return the codec of a pydantic model (or of any type pydantic can check, such as `list[int]`)."""
    return Model(of)


def encoded(codec: Codec[V], value: V) -> bytes:
    """Return what is stored of a value.

    Raises:
        InvalidRequest: the codec refuses it, in whatever way, or it cannot be stored.
        ValueTooLarge: it takes more than 512 KiB.
    """
    try:
        plain = codec.to_plain(value)
    except CrdtkvError:
        raise
    except Exception as error:  # a codec may be anybody's
        raise InvalidRequest(f"the codec cannot store this: {type(error).__name__}: {error}") from error
    return cbor.encode_value(plain)


def decoded(codec: Codec[V], stored: bytes) -> V:
    """Return the value of what is stored.

    Raises:
        InvalidRequest: the codec refuses it, in whatever way.
    """
    return from_plain(codec, cbor.decode_value(stored))


def from_plain(codec: Codec[V], plain: Any) -> V:
    """Return the value of plain data. Raises as `decoded` does."""
    try:
        return codec.from_plain(plain)
    except CrdtkvError:
        raise
    except Exception as error:
        raise _refusal_to_read(error) from error


def _refusal_to_read(error: Exception) -> InvalidRequest:
    """Map what a codec has raised, which may be anybody's."""
    return InvalidRequest(f"the codec cannot read what is stored: {type(error).__name__}: {error}")


def _checked_json(value: Any, depth: int, takes: Callable[[float], bool]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and takes(value)):
        return value
    if depth < 64 and kind is list:
        return [_checked_json(item, depth + 1, takes) for item in value]
    if depth < 64 and kind is dict and all(type(key) is str for key in value):
        return {key: _checked_json(item, depth + 1, takes) for key, item in value.items()}
    raise InvalidRequest(f"JSON cannot say a {kind.__name__} like this: use another codec")
