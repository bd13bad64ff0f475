"""`Container`: what has values of all types by name. A bucket has keys, a map has fields."""

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
    """Makes handles. Values of one name and different types are different values."""

    def _at(self, type_tag: str, name: str | bytes) -> ValueRef:
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
        return RegisterHandle(self._at("register", name), checked_codec(of))

    def counter(self, name: str | bytes) -> CounterHandle:
        """Return a counter: increments from anywhere add up."""
        return CounterHandle(self._at("counter", name))

    def set(self, name: str | bytes, of: Codec[Any] = CBOR) -> RemovableSetHandle[Any]:
        """Return a set: what is added and removed concurrently is in it."""
        return RemovableSetHandle(self._at("set", name), checked_codec(of))

    def rwset(self, name: str | bytes, of: Codec[Any] = CBOR) -> RemovableSetHandle[Any]:
        """Return a remove-wins set: what is added and removed concurrently is not in it."""
        return RemovableSetHandle(self._at("rwset", name), checked_codec(of))

    def gset(self, name: str | bytes, of: Codec[Any] = CBOR) -> SetHandle[Any]:
        """Return a set that only grows."""
        return SetHandle(self._at("gset", name), checked_codec(of))

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
        return SketchHandle(self._at("hll", name), checked_codec(of))

    def board(self, name: str | bytes, of: Codec[Any] = CBOR) -> BoardHandle[Any]:
        """Return a sorted set: members with scores."""
        return BoardHandle(self._at("board", name), checked_codec(of))

    def map(self, name: str | bytes) -> "MapHandle":
        """Return a map, whose fields are values of any type."""
        return MapHandle(self._at("map", name))


class MapHandle(Container, Handle[dict[str | bytes, Any]]):
    """A map. Its fields are used like keys; deleting a field's handle removes the field.

    What `value`, `keys` and `items` return is a snapshot, of one moment each.
    """

    def lww(self, name: str | bytes, of: Codec[V] = CBOR) -> RegisterHandle[V]:
        """Return a field of which the last writer wins, also against its removal."""
        return RegisterHandle(self._at("lww", name), checked_codec(of))

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> dict[str | bytes, Any]:
        """Return all fields by name, nested maps as dictionaries.

        Names are str where they are UTF-8, else bytes. A name that fields of several types share is shown as
        `name:type`; so is a name that looks like one of these, so that no field hides another.
        """
        found: dict[str | bytes, Any] = await self._value({}, consistency, timeout)
        return found

    async def keys(self, *, consistency: Level = None, timeout: float | None = None) -> list[str | bytes]:
        """Return the names of all fields, as `value` has them."""
        return list(await self.value(consistency=consistency, timeout=timeout))

    async def items(self, *, consistency: Level = None, timeout: float | None = None) -> list[tuple[str | bytes, Any]]:
        """Return names and values of all fields, as `value` has them."""
        return list((await self.value(consistency=consistency, timeout=timeout)).items())

    async def contains(
        self,
        name: str | bytes,
        *,
        of_type: str | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> bool:
        """Return whether there is a field of this very name, of any type or of one.

        Raises:
            InvalidRequest: there is no such type.
        """
        wanted = key_bytes(name)
        type_tag = type_named(of_type).type_tag if of_type is not None else None
        _, state = await self._ref.read(consistency, timeout)
        fields = [field for field, _ in state.shown()] if isinstance(state, Map) else []
        return any(field.name == wanted and type_tag in (None, field.type_tag) for field in fields)

    async def size(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return how many fields there are."""
        _, state = await self._ref.read(consistency, timeout)
        return sum(1 for _ in state.shown()) if isinstance(state, Map) else 0

    def _at(self, type_tag: str, name: str | bytes) -> ValueRef:
        return self._ref.field(type_tag, name)


#: The handle of every type.
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
