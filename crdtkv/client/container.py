"""`Container`: what has values of all types by name. A bucket has keys, a map has fields."""

from collections.abc import Callable
from typing import Any, TypeVar

from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.handles import (
    BoardHandle,
    BoundedCounterHandle,
    CounterHandle,
    FlagHandle,
    Handle,
    NumberHandle,
    RegisterHandle,
    RemovableSetHandle,
    SetHandle,
    SketchHandle,
)
from crdtkv.client.place import Level, Place
from crdtkv.crdt.registry import type_named

V = TypeVar("V")


class Container:
    """Makes handles. Values of one name and different types are different values."""

    def _at(self, type_tag: str, name: str | bytes) -> Place:
        raise NotImplementedError

    def of_type(self, type_tag: str, name: str | bytes) -> Handle[Any]:
        """Return the handle of a value whose type is known by its name, as to a tool.

        Raises:
            InvalidRequest: there is no such type.
        """
        type_named(type_tag)
        return _HANDLES[type_tag](self._at(type_tag, name))

    def register(self, name: str | bytes, of: Codec[V] = CBOR) -> RegisterHandle[V]:
        """Return a register: concurrent writes are kept as siblings."""
        return RegisterHandle(self._at("register", name), of)

    def counter(self, name: str | bytes) -> CounterHandle:
        """Return a counter: increments from anywhere add up."""
        return CounterHandle(self._at("counter", name))

    def set(self, name: str | bytes, of: Codec[Any] = CBOR) -> RemovableSetHandle[Any]:
        """Return a set: what is added and removed concurrently is in it."""
        return RemovableSetHandle(self._at("set", name), of)

    def rwset(self, name: str | bytes, of: Codec[Any] = CBOR) -> RemovableSetHandle[Any]:
        """Return a remove-wins set: what is added and removed concurrently is not in it."""
        return RemovableSetHandle(self._at("rwset", name), of)

    def gset(self, name: str | bytes, of: Codec[Any] = CBOR) -> SetHandle[Any]:
        """Return a set that only grows."""
        return SetHandle(self._at("gset", name), of)

    def flag(self, name: str | bytes) -> FlagHandle:
        """Return a flag: when it is enabled and disabled concurrently, it is on."""
        return FlagHandle(self._at("flag", name))

    def dwflag(self, name: str | bytes) -> FlagHandle:
        """Return a disable-wins flag: when it is enabled and disabled concurrently, it is off."""
        return FlagHandle(self._at("dwflag", name))

    def maxreg(self, name: str | bytes) -> NumberHandle:
        """Return the greatest of the numbers that are set."""
        return NumberHandle(self._at("maxreg", name))

    def minreg(self, name: str | bytes) -> NumberHandle:
        """Return the smallest of the numbers that are set."""
        return NumberHandle(self._at("minreg", name))

    def hll(self, name: str | bytes, of: Codec[Any] = CBOR) -> SketchHandle[Any]:
        """Return an approximate count of distinct elements."""
        return SketchHandle(self._at("hll", name), of)

    def board(self, name: str | bytes, of: Codec[Any] = CBOR) -> BoardHandle[Any]:
        """Return a sorted set: members with scores."""
        return BoardHandle(self._at("board", name), of)

    def map(self, name: str | bytes) -> "MapHandle":
        """Return a map, whose fields are values of any type."""
        return MapHandle(self._at("map", name))


class MapHandle(Container, Handle[dict[str, Any]]):
    """A map. Its fields are used like keys; deleting a field's handle removes the field."""

    def lww(self, name: str | bytes, of: Codec[V] = CBOR) -> RegisterHandle[V]:
        """Return a field of which the last writer wins, also against its removal."""
        return RegisterHandle(self._at("lww", name), of)

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> dict[str, Any]:
        """Return all fields by name, nested maps as dictionaries.

        Names that are not UTF-8 are shown in hexadecimal; a name that fields of several types share as `name:type`.
        """
        found: dict[str, Any] = await self._value({}, consistency, timeout)
        return found

    def _at(self, type_tag: str, name: str | bytes) -> Place:
        return self._place.field(type_tag, name)


#: The handle of every type.
_HANDLES: dict[str, Callable[[Place], Handle[Any]]] = {
    "register": RegisterHandle,
    "lww": RegisterHandle,
    "counter": CounterHandle,
    "bcounter": BoundedCounterHandle,
    "set": RemovableSetHandle,
    "rwset": RemovableSetHandle,
    "gset": SetHandle,
    "flag": FlagHandle,
    "dwflag": FlagHandle,
    "maxreg": NumberHandle,
    "minreg": NumberHandle,
    "hll": SketchHandle,
    "board": BoardHandle,
    "map": MapHandle,
}
