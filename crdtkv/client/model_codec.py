"""`Model`: the codec of pydantic models, and of whatever pydantic can check.

Invariant: what was stored is read again as what was put. A type may be dumped in more than one form (`_FORMS`), and not
each can be read back for each type: text is all that JSON has for bytes, a model with aliases is read by these. So a
value is dumped, stored in thought, and read again before it goes out; the first form that brings it back is taken, and
remembered for the next value. A value that none brings back is refused. (Private attributes of a model are no data to
pydantic, and none here.)

Reading takes any form, and is lax where a model is strict: that is for what programs hand in, and what is stored has
lists for tuples and text for times.
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

# What CBOR keeps as it is.
_SCALARS = (
    str, bytes, int, float, bool, type(None), datetime, date, Decimal, Fraction, UUID,
    IPv4Address, IPv4Network, IPv6Address, IPv6Network,
)  # fmt: skip


class Model(Generic[V]):
    """Values of a pydantic model, or of any type that pydantic can check."""

    def __init__(self, of: type[V]) -> None:
        self._adapter: TypeAdapter[V] = TypeAdapter(of)
        self._name = getattr(of, "__name__", str(of))
        self._forms = list(_FORMS)

    def to_plain(self, value: V) -> object:
        """Return the model as plain data.

        Raises:
            InvalidRequest: it is no such model, or could not be read again as it is.
            ValueTooLarge: it takes more than 512 KiB.
        """
        try:
            checked = self._adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise InvalidRequest(f"no {self._name}: {_first_line(error)}") from None
        reason = ""
        for form in self._forms:
            try:
                plain = form(self._adapter, checked)
                is_same = _is_same(self.from_plain(cbor.decode_value(cbor.encode_value(plain))), checked)
            except ValueTooLarge:
                raise
            except Exception as error:  # serializers and validators may be anybody's
                reason = reason or str(error).partition("\n")[0]
                continue
            if is_same:
                if form is not self._forms[0]:
                    self._forms = [form, *(other for other in self._forms if other is not form)]
                return plain
            reason = reason or "it would be read as another value"
        raise InvalidRequest(f"this {self._name} could not be read again as it is: {reason}")

    def from_plain(self, plain: Any) -> V:
        """Check what was stored and build the model.

        Raises:
            InvalidRequest: it is no such model.
        """
        try:
            return self._adapter.validate_python(plain, strict=False)
        except ValidationError as error:
            raise InvalidRequest(f"what is stored is no {self._name}: {_first_line(error)}") from None


def _as_json(adapter: TypeAdapter[Any], value: Any, by_alias: bool) -> object:
    return adapter.dump_python(value, mode="json", round_trip=True, by_alias=by_alias, warnings="error")


def _as_cbor(adapter: TypeAdapter[Any], value: Any, by_alias: bool) -> object:
    return _plain(adapter.dump_python(value, round_trip=True, by_alias=by_alias, warnings="error"))


#: How a value may be dumped: as JSON says it, or with bytes and times as CBOR keeps them; by names or aliases.
_FORMS: tuple[Callable[[TypeAdapter[Any], Any], object], ...] = (
    lambda adapter, value: _as_json(adapter, value, False),
    lambda adapter, value: _as_cbor(adapter, value, False),
    lambda adapter, value: _as_json(adapter, value, True),
    lambda adapter, value: _as_cbor(adapter, value, True),
)


def _plain(value: Any) -> Any:
    """Return what a model was dumped as, with nothing in it that CBOR lacks."""
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
    """Tell whether two values are equal, down to what differs from itself (NaN) or compares no contents."""
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
