"""`Container`: named values of all types. A bucket contains keys, a map contains fields."""

from collections.abc import Callable
from typing import Any, TypeVar

from crdtkv.client.arguments import checked_codec
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
from crdtkv.client.value_ref import Level, ValueRef
from crdtkv.crdt.map import Map
from crdtkv.crdt.registry import type_named
from crdtkv.ids import key_bytes

V = TypeVar("V")


class Container:
    """Returns handles of values. Two values of the same name but of different types are different values."""

    def _at(self, type_tag: str, name: str | bytes) -> ValueRef:
        raise NotImplementedError

    def of_type(self, type_tag: str, name: str | bytes) -> Handle[Any]:
        """Return the handle of a value, given the name of its type, for example "counter".

        Raises:
            InvalidRequest: there is no such type.
        """
        type_named(type_tag)
        return _HANDLES[type_tag](self._at(type_tag, name))

    def register(self, name: str | bytes, of: Codec[V] = CBOR) -> RegisterHandle[V]:
        """Return the handle of a register. Concurrent writes are kept as siblings."""
        return RegisterHandle(self._at("register", name), checked_codec(of))

    def counter(self, name: str | bytes) -> CounterHandle:
        """Return the handle of a counter. Increments of all clients and data centers are added."""
        return CounterHandle(self._at("counter", name))

    def set(self, name: str | bytes, of: Codec[Any] = CBOR) -> RemovableSetHandle[Any]:
        """Return the handle of an add-wins set: a member that is added and removed concurrently stays in the set."""
        return RemovableSetHandle(self._at("set", name), checked_codec(of))

    def rwset(self, name: str | bytes, of: Codec[Any] = CBOR) -> RemovableSetHandle[Any]:
        """Return the handle of a remove-wins set: a member that is added and removed concurrently is removed."""
        return RemovableSetHandle(self._at("rwset", name), checked_codec(of))

    def gset(self, name: str | bytes, of: Codec[Any] = CBOR) -> SetHandle[Any]:
        """Return the handle of a grow-only set: members cannot be removed."""
        return SetHandle(self._at("gset", name), checked_codec(of))

    def flag(self, name: str | bytes) -> FlagHandle:
        """Return the handle of an enable-wins flag: if it is enabled and disabled concurrently, it is on."""
        return FlagHandle(self._at("flag", name))

    def dwflag(self, name: str | bytes) -> FlagHandle:
        """Return the handle of a disable-wins flag: if it is enabled and disabled concurrently, it is off."""
        return FlagHandle(self._at("dwflag", name))

    def maxreg(self, name: str | bytes) -> NumberHandle:
        """Return the handle of a max register: its value is the greatest number that was set."""
        return NumberHandle(self._at("maxreg", name))

    def minreg(self, name: str | bytes) -> NumberHandle:
        """Return the handle of a min register: its value is the smallest number that was set."""
        return NumberHandle(self._at("minreg", name))

    def hll(self, name: str | bytes, of: Codec[Any] = CBOR) -> SketchHandle[Any]:
        """Return the handle of a HyperLogLog: an approximate count of distinct elements."""
        return SketchHandle(self._at("hll", name), checked_codec(of))

    def board(self, name: str | bytes, of: Codec[Any] = CBOR) -> BoardHandle[Any]:
        """Return the handle of a sorted set: members with scores."""
        return BoardHandle(self._at("board", name), checked_codec(of))

    def map(self, name: str | bytes) -> "MapHandle":
        """Return the handle of a map, whose fields are values of any type."""
        return MapHandle(self._at("map", name))


class MapHandle(Container, Handle[dict[str | bytes, Any]]):
    """A map (`map`). Its fields have handles as keys have; `delete` of a field's handle removes the field.

    `value`, `keys` and `items` each read the whole map once and return a snapshot.
    """

    def lww(self, name: str | bytes, of: Codec[V] = CBOR) -> RegisterHandle[V]:
        """Return the handle of a last-writer-wins field: the write or delete with the highest timestamp wins."""
        return RegisterHandle(self._at("lww", name), checked_codec(of))

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> dict[str | bytes, Any]:
        """Return the values of all fields by name, `{}` if there are none. Nested maps are dictionaries.

        Names are str if they are UTF-8, else bytes. If fields of several types share a name, each is returned as
        `name:type`. So is a field whose name equals such a form, so no field hides another.
        """
        found: dict[str | bytes, Any] = await self._value({}, consistency, timeout)
        return found

    async def keys(self, *, consistency: Level = None, timeout: float | None = None) -> list[str | bytes]:
        """Return the names of all fields, in the form of `value`."""
        return list(await self.value(consistency=consistency, timeout=timeout))

    async def items(self, *, consistency: Level = None, timeout: float | None = None) -> list[tuple[str | bytes, Any]]:
        """Return (name, value) pairs of all fields, in the form of `value`."""
        return list((await self.value(consistency=consistency, timeout=timeout)).items())

    async def contains(
        self,
        name: str | bytes,
        *,
        of_type: str | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> bool:
        """Return whether the map has a field of this name and of type `of_type` (default: of any type).

        Raises:
            InvalidRequest: there is no such type.
            InvalidKey: the name is not a valid key.
        """
        wanted = key_bytes(name)
        type_tag = type_named(of_type).type_tag if of_type is not None else None
        _, state = await self._ref.read(consistency, timeout)
        fields = [field for field, _ in state.shown()] if isinstance(state, Map) else []
        return any(field.name == wanted and type_tag in (None, field.type_tag) for field in fields)

    async def size(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the number of fields."""
        _, state = await self._ref.read(consistency, timeout)
        return sum(1 for _ in state.shown()) if isinstance(state, Map) else 0

    def _at(self, type_tag: str, name: str | bytes) -> ValueRef:
        return self._ref.field(type_tag, name)


#: The class of handles of each type.
_HANDLES: dict[str, Callable[[ValueRef], Handle[Any]]] = {
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
