"""Codecs: what a value is in a program, and what is stored of it.

Everything is stored as CBOR. A codec turns a value of its type into plain data that CBOR holds, and back; it refuses
what it is not for, before anything is sent. Handles and buckets are generic over the type their codec gives.
"""

from typing import Any, Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from crdtkv.errors import InvalidRequest

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
        """Check that JSON can say it."""
        return _checked_json(value, 0)

    def from_plain(self, plain: Any) -> Any:
        """Check that JSON can say it."""
        return _checked_json(plain, 0)


class _Model(Generic[V]):
    """Values of a pydantic model, or of any type that pydantic can check."""

    def __init__(self, of: type[V]) -> None:
        self._adapter: TypeAdapter[V] = TypeAdapter(of)
        self._name = getattr(of, "__name__", str(of))

    def to_plain(self, value: V) -> object:
        """Return the model as plain data."""
        try:
            checked = self._adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise InvalidRequest(f"no {self._name}: {_first_line(error)}") from None
        return self._adapter.dump_python(checked, mode="json")

    def from_plain(self, plain: Any) -> V:
        """Check what was stored and build the model."""
        try:
            return self._adapter.validate_python(plain)
        except ValidationError as error:
            raise InvalidRequest(f"what is stored is no {self._name}: {_first_line(error)}") from None


CBOR: Codec[Any] = _Cbor()
JSON: Codec[Any] = _Json()
BYTES: Codec[bytes] = _Only(bytes)
TEXT: Codec[str] = _Only(str)


def model(of: type[V]) -> Codec[V]:
    """Return the codec of a pydantic model (or of any type pydantic can check, such as `list[int]`)."""
    return _Model(of)


def _checked_json(value: Any, depth: int) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth < 64 and type(value) is list:
        return [_checked_json(item, depth + 1) for item in value]
    if depth < 64 and type(value) is dict and all(type(key) is str for key in value):
        return {key: _checked_json(item, depth + 1) for key, item in value.items()}
    raise InvalidRequest(f"JSON cannot say a {type(value).__name__} like this: use another codec")


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
