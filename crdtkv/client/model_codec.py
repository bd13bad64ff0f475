"""`Model`: the codec of pydantic models, and of all types that pydantic can validate.

Invariant: a value that was put is read as an equal value. A type can be dumped in several forms (`_FORMS`), and not
every form can be read back for every type: JSON has only text for bytes, and a model with aliases is read by aliases.
So `to_plain` dumps, encodes, decodes and validates a value before it is sent. It takes the first form whose result
equals the value, and tries that form first for the next value. If no form does, the value is refused. Private
attributes of a model are not stored.

Reading accepts every form, and is lax even if a model is strict: stored data has lists for tuples and text for times.
"""

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from crdtkv import cbor
from crdtkv.errors import InvalidRequest, ValueTooLarge

V = TypeVar("V")

# Types that CBOR encodes without conversion.
_SCALARS = (
    str, bytes, int, float, bool, type(None), datetime, date, Decimal, Fraction, UUID,
    IPv4Address, IPv4Network, IPv6Address, IPv6Network,
)  # fmt: skip


class Model(Generic[V]):
    """Accepts values of a pydantic model, or of any type that pydantic can validate."""

    def __init__(self, of: type[V]) -> None:
        self._adapter: TypeAdapter[V] = TypeAdapter(of)
        self._name = getattr(of, "__name__", str(of))
        self._forms = list(_FORMS)

    def to_plain(self, value: V) -> object:
        """Return the value as plain data.

        Raises:
            InvalidRequest: the value is not valid for the type, or would be read back as another value.
            ValueTooLarge: the encoded value has more than 512 KiB.
        """
        try:
            checked = self._adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise InvalidRequest(f"not a valid {self._name}: {_first_line(error)}") from None
        reason = ""
        for form in self._forms:
            try:
                plain = form(self._adapter, checked)
                is_same = _is_same(self.from_plain(cbor.decode_value(cbor.encode_value(plain))), checked)
            except ValueTooLarge:
                raise
            except Exception as error:  # serializers and validators of a user may raise any exception
                reason = reason or str(error).partition("\n")[0]
                continue
            if is_same:
                if form is not self._forms[0]:
                    self._forms = [form, *(other for other in self._forms if other is not form)]
                return plain
            reason = reason or "a read returns another value"
        raise InvalidRequest(f"this {self._name} cannot be read back unchanged: {reason}")

    def from_plain(self, plain: Any) -> V:
        """Validate stored data and return the value.

        Raises:
            InvalidRequest: the data is not valid for the type.
        """
        try:
            return self._adapter.validate_python(plain, strict=False)
        except ValidationError as error:
            raise InvalidRequest(f"the stored value is not a valid {self._name}: {_first_line(error)}") from None


def _as_json(adapter: TypeAdapter[Any], value: Any, by_alias: bool) -> object:
    return adapter.dump_python(value, mode="json", round_trip=True, by_alias=by_alias, warnings="error")


def _as_cbor(adapter: TypeAdapter[Any], value: Any, by_alias: bool) -> object:
    return _plain(adapter.dump_python(value, round_trip=True, by_alias=by_alias, warnings="error"))


#: The forms of a dump: JSON types, or bytes and times as CBOR encodes them; with field names, or with aliases.
_FORMS: tuple[Callable[[TypeAdapter[Any], Any], object], ...] = (
    lambda adapter, value: _as_json(adapter, value, False),
    lambda adapter, value: _as_cbor(adapter, value, False),
    lambda adapter, value: _as_json(adapter, value, True),
    lambda adapter, value: _as_cbor(adapter, value, True),
)


def _plain(value: Any) -> Any:
    """Return dumped data with all types that CBOR lacks converted to JSON types."""
    if type(value) is datetime and value.tzinfo is None:
        return value.isoformat()
    if type(value) in _SCALARS:
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return to_jsonable_python(value)


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal. NaN equals NaN; objects without equality are compared by attributes."""
    if one == other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isnan(one) and math.isnan(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(item, other[key]) for key, item in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return hasattr(one, "__dict__") and bool(one.__dict__) and _is_same(one.__dict__, other.__dict__)


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
