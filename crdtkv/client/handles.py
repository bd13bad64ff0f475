"""Handles: one value of one type, at a key or in a field of a map.

A handle holds no data. Every call takes `consistency=` (a level or its name) and `timeout=` in seconds; what writes
takes `ttl=`, after how many seconds it expires (0: never, not given: as the bucket says). Reads raise `Unavailable` and
`ReadTimeout`. Writes raise `WriteTimeout` when they may have been applied, and any other error when they were not;
after cancellation of a write nothing is known about it.
"""

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from crdtkv import cbor
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.entry import ReadContext, ValueEntry
from crdtkv.client.place import Level, Place
from crdtkv.client.values import element_bytes, element_value, value_of
from crdtkv.crdt.board import Board
from crdtkv.crdt.number import Number
from crdtkv.errors import InvalidRequest

V = TypeVar("V")
M = TypeVar("M", bound=Hashable)


class Handle(Generic[V]):
    """What all handles share: reading with context, and deleting."""

    def __init__(self, place: Place, codec: Codec[Any] = CBOR) -> None:
        self._place = place
        self._codec = codec

    async def entry(self, *, consistency: Level = None, timeout: float | None = None) -> ValueEntry[V]:
        """Return the value with its causal context."""
        entry, state = await self._place.read(consistency, timeout)
        return ValueEntry(self._place.identity, entry, state, self._codec)

    async def delete(
        self, *, context: ReadContext | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Remove what is there, or with `context` what was read; what is written concurrently stays."""
        await self._place.change("delete", [], consistency, timeout, context)

    async def _value(self, default: Any, consistency: Level, timeout: float | None) -> Any:
        _, state = await self._place.read(consistency, timeout)
        return default if state is None else value_of(state, default, self._codec)


class RegisterHandle(Handle[V]):
    """A register (`register`), or a value of which the last writer wins (`lww`)."""

    async def get(self, default: Any = None, *, consistency: Level = None, timeout: float | None = None) -> V | Any:
        """Return the value, `default` if there is none."""
        return await self._value(default, consistency, timeout)

    async def put(
        self,
        value: V,
        *,
        context: ReadContext | None = None,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Write a value in the place of what is there, or with `context` of what was read."""
        encoded = cbor.encode_value(self._codec.to_plain(value))
        await self._place.change("put", [encoded], consistency, timeout, context, ttl)


class CounterHandle(Handle[int]):
    """A counter (`counter`)."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the sum, 0 if nothing was counted."""
        return int(await self._value(0, consistency, timeout))

    async def increment(
        self, amount: int = 1, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Add to the counter; after `WriteTimeout` it may count or not.

        Raises:
            InvalidRequest: the amount is no whole number, or too large.
        """
        await self._place.change("increment", [_whole(amount)], consistency, timeout, ttl=ttl)

    async def decrement(
        self, amount: int = 1, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Subtract from the counter. Raises as `increment` does."""
        await self.increment(-_whole(amount), ttl=ttl, consistency=consistency, timeout=timeout)


class BoundedCounterHandle(Handle[int]):
    """A counter that never goes below 0 (`bcounter`). It cannot be deleted, and takes no `ttl`."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return what may still be decremented, by all nodes of all data centers together."""
        return int(await self._value(0, consistency, timeout))

    async def increment(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Add to the counter."""
        await self._place.change("increment", [_whole(amount)], consistency, timeout)

    async def decrement(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Subtract from the counter. A node that has not enough rights to that asks others, for a second at most.

        Raises:
            InsufficientRights: less is left, or what is left belongs to nodes out of reach; nothing was written.
        """
        await self._place.change("decrement", [_whole(amount)], consistency, timeout)


class SetHandle(Handle[set[M]], Generic[M]):
    """A set that only grows (`gset`), and what all sets share. 1, 1.0 and True are three members to the store."""

    async def add(
        self, *members: M, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Add members.

        Raises:
            InvalidRequest: none given, or not hashable.
        """
        await self._place.change("add", self._encoded(members), consistency, timeout, ttl=ttl)

    async def members(self, *, consistency: Level = None, timeout: float | None = None) -> set[M]:
        """Return the members."""
        return set(await self._value((), consistency, timeout))

    def _encoded(self, members: tuple[M, ...]) -> list[object]:
        if not members:
            raise InvalidRequest("name one or more members")
        return [element_bytes(member, self._codec) for member in members]


class RemovableSetHandle(SetHandle[M]):
    """A set of which members are removed: add-wins (`set`) or remove-wins (`rwset`)."""

    async def remove(
        self,
        *members: M,
        context: ReadContext | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Remove members; with `context` only as they were read.

        Raises:
            InvalidRequest: none given, or not hashable.
        """
        await self._place.change("remove", self._encoded(members), consistency, timeout, context)


class FlagHandle(Handle[bool]):
    """A flag: enable-wins (`flag`) or disable-wins (`dwflag`). It begins as off."""

    async def is_on(self, *, consistency: Level = None, timeout: float | None = None) -> bool:
        """Return whether it is on."""
        return bool(await self._value(False, consistency, timeout))

    async def enable(
        self, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Turn it on."""
        await self._place.change("enable", [], consistency, timeout, ttl=ttl)

    async def disable(
        self, *, context: ReadContext | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Turn it off; with `context` only what was read."""
        await self._place.change("disable", [], consistency, timeout, context)


class NumberHandle(Handle[Number]):
    """The greatest (`maxreg`) or smallest (`minreg`) of all numbers that were set."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> Number | None:
        """Return the number, None if none was set."""
        found: Number | None = await self._value(None, consistency, timeout)
        return found

    async def set(
        self, number: Number, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Set a number; it counts if it is the greatest, or smallest.

        Raises:
            InvalidRequest: it is no finite number of 64 bits.
        """
        await self._place.change("set", [number], consistency, timeout, ttl=ttl)


class SketchHandle(Handle[int], Generic[M]):
    """A count of distinct elements with a standard error of 1.6 % (`hll`)."""

    async def add(
        self, *elements: M, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Count elements, each once for ever."""
        encoded: list[object] = [cbor.encode_value(self._codec.to_plain(element)) for element in elements]
        await self._place.change("add", encoded, consistency, timeout, ttl=ttl)

    async def count(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return about how many distinct elements there are."""
        return int(await self._value(0, consistency, timeout))


class BoardHandle(Handle[dict[M, Number]], Generic[M]):
    """A sorted set: members with scores (`board`)."""

    async def set(
        self,
        member: M,
        score: Number,
        *,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Set a member's score.

        Raises:
            InvalidRequest: the score is no finite number of 64 bits, or the member not hashable.
        """
        arguments: list[object] = [element_bytes(member, self._codec), score]
        await self._place.change("set", arguments, consistency, timeout, ttl=ttl)

    async def increment(
        self,
        member: M,
        amount: Number = 1,
        *,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Add to a member's score; one that is not there begins at 0. Raises as `set` does."""
        arguments: list[object] = [element_bytes(member, self._codec), amount]
        await self._place.change("increment", arguments, consistency, timeout, ttl=ttl)

    async def remove(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Remove a member; what it scores concurrently stays."""
        await self._place.change("remove", [element_bytes(member, self._codec)], consistency, timeout)

    async def ranking(
        self, start: int = 0, stop: int | None = None, *, consistency: Level = None, timeout: float | None = None
    ) -> list[tuple[M, Number]]:
        """Return members and scores from rank `start` up to, without, `stop`; rank 0 has the highest score.

        Ranks are those of a list: -1 is the last. Members of equal score are ordered by their encoding.
        """
        return (await self._ranking(consistency, timeout))[start:stop]

    async def between(
        self, low: Number, high: Number, *, consistency: Level = None, timeout: float | None = None
    ) -> list[tuple[M, Number]]:
        """Return members whose score is at least `low` and at most `high`, the highest first."""
        return [pair for pair in await self._ranking(consistency, timeout) if low <= pair[1] <= high]

    async def score(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> Number | None:
        """Return a member's score, None if it is not there."""
        return dict(await self._ranking(consistency, timeout)).get(member)

    async def rank(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> int | None:
        """Return a member's rank, 0 for the highest score, None if it is not there."""
        members = [name for name, _ in await self._ranking(consistency, timeout)]
        return members.index(member) if member in members else None

    async def _ranking(self, consistency: Level, timeout: float | None) -> list[tuple[M, Number]]:
        _, state = await self._place.read(consistency, timeout)
        if not isinstance(state, Board):
            return []
        return [(element_value(member, self._codec), score) for member, score in state.ranking()]


def _whole(amount: int) -> int:
    if type(amount) is not int or abs(amount) >= 2**63:
        raise InvalidRequest("a counter is changed by a whole number below 2**63")
    return amount
