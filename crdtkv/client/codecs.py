"""Codecs: conversion between the values of a program and plain data, which is stored as CBOR.

A codec refuses a value of a wrong type before anything is sent. Handles and buckets are generic over the type of their
codec.
"""

import math
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from crdtkv import cbor
from crdtkv.client.model_codec import Model
from crdtkv.errors import CrdtkvError, InvalidRequest

V = TypeVar("V")


class Codec(Protocol[V]):
    """Converts values to data that CBOR can encode, and back. An implementation needs these two methods."""

    def to_plain(self, value: V) -> object:
        """Return the data to store.

        Raises:
            InvalidRequest: the value is not of this codec's type.
        """
        ...

    def from_plain(self, plain: Any) -> V:
        """Return the value of stored data.

        Raises:
            InvalidRequest: the data is not a value of this codec's type.
        """
        ...


class _Cbor:
    """Accepts every value that CBOR can encode."""

    def to_plain(self, value: Any) -> object:
        """Return `value` unchanged."""
        return value

    def from_plain(self, plain: Any) -> Any:
        """Return `plain` unchanged."""
        return plain


class _Only(Generic[V]):
    """Accepts values of exactly one type, such as `str`."""

    def __init__(self, of: type[V]) -> None:
        self._type = of

    def to_plain(self, value: V) -> object:
        """Return `value` after a check of its type."""
        return self._checked(value)

    def from_plain(self, plain: Any) -> V:
        """Return `plain` after a check of its type."""
        return self._checked(plain)

    def _checked(self, value: V) -> V:
        if type(value) is not self._type:
            raise InvalidRequest(f"a {self._type.__name__} is expected here, not a {type(value).__name__}")
        return value


class _Json:
    """Accepts JSON data: None, booleans, numbers, text, lists, and dictionaries with text keys."""

    def to_plain(self, value: Any) -> object:
        """Return `value` after a check that JSON can represent it; NaN and infinity are refused."""
        return _checked_json(value, 0, math.isfinite)

    def from_plain(self, plain: Any) -> Any:
        """Return `plain` after a check that JSON can represent it; NaN and infinity are accepted here."""
        return _checked_json(plain, 0, lambda _: True)


CBOR: Codec[Any] = _Cbor()
JSON: Codec[Any] = _Json()
BYTES: Codec[bytes] = _Only(bytes)
TEXT: Codec[str] = _Only(str)


def model(of: type[V]) -> Codec[V]:
    """Return the codec of a pydantic model, or of any type that pydantic can validate, such as `list[int]`."""
    return Model(of)


def encoded(codec: Codec[V], value: V) -> bytes:
    """Return the encoded bytes of a value.

    Raises:
        InvalidRequest: the codec raised an exception of any class, or CBOR cannot encode its result.
        ValueTooLarge: the encoded value has more than 512 KiB.
    """
    try:
        plain = codec.to_plain(value)
    except CrdtkvError:
        raise
    except Exception as error:  # a codec of a user may raise any exception
        raise InvalidRequest(f"the codec cannot store this: {type(error).__name__}: {error}") from error
    return cbor.encode_value(plain)


def decoded(codec: Codec[V], stored: bytes) -> V:
    """Return the value of encoded bytes.

    Raises:
        InvalidRequest: the codec raised an exception of any class.
        ProtocolError: the bytes are not valid CBOR of a value.
    """
    return from_plain(codec, cbor.decode_value(stored))


def from_plain(codec: Codec[V], plain: Any) -> V:
    """Return the value of plain data.

    Raises:
        InvalidRequest: the codec raised an exception of any class.
    """
    try:
        return codec.from_plain(plain)
    except CrdtkvError:
        raise
    except Exception as error:
        raise _refusal_to_read(error) from error


def _refusal_to_read(error: Exception) -> InvalidRequest:
    """Convert an exception of a user's codec to an error of this package."""
    return InvalidRequest(f"the codec cannot read the stored value: {type(error).__name__}: {error}")


def _checked_json(value: Any, depth: int, takes: Callable[[float], bool]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and takes(value)):
        return value
    if depth < 64 and kind is list:
        return [_checked_json(item, depth + 1, takes) for item in value]
    if depth < 64 and kind is dict and all(type(key) is str for key in value):
        return {key: _checked_json(item, depth + 1, takes) for key, item in value.items()}
    raise InvalidRequest(f"JSON cannot represent this {kind.__name__}: use another codec")
