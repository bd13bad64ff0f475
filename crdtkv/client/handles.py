"""Handles: one value of one type, at a key or in a field of a map.

A handle holds no data. Every call takes `consistency=` (a level or its name) and `timeout=` in seconds; what writes
takes `ttl=`, after how many seconds it expires (0: never, not given: as the bucket says). Reads raise `Unavailable` and
`ReadTimeout`. Writes raise `WriteTimeout` when they may have been applied, and any other error when they were not;
after cancellation of a write nothing is known about it. An argument that is wrong is an `InvalidRequest` (a key:
`InvalidKey`, a size: `ValueTooLarge`) before anything is sent.
"""

import asyncio
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from crdtkv import cbor
from crdtkv.client.arguments import MAX_ELEMENTS_BYTES, check_elements, checked_bound, checked_rank, checked_whole
from crdtkv.client.codecs import CBOR, Codec, encoded
from crdtkv.client.entry import ReadContext, ValueEntry
from crdtkv.client.value_ref import Level, ValueRef
from crdtkv.client.values import element_bytes, element_value, value_of
from crdtkv.crdt.board import Board
from crdtkv.crdt.hll import HyperLogLog, count_of_all
from crdtkv.crdt.number import Number, checked_number
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet
from crdtkv.wire.messages import MutateReply

V = TypeVar("V")
M = TypeVar("M", bound=Hashable)


class Handle(Generic[V]):
    """What all handles share: reading with context, and deleting."""

    def __init__(self, ref: ValueRef, codec: Codec[Any] = CBOR) -> None:
        self._ref = ref
        self._codec = codec

    async def entry(self, *, consistency: Level = None, timeout: float | None = None) -> ValueEntry[V]:
        """Return the value with its causal context."""
        entry, state = await self._ref.read(consistency, timeout)
        return ValueEntry(self._ref.identity, entry, state, self._codec)

    async def delete(
        self, *, context: ReadContext | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Remove what is there, or with `context` what was read; what is written concurrently stays."""
        await self._ref.change("delete", [], consistency, timeout, context)

    async def _value(self, default: Any, consistency: Level, timeout: float | None) -> Any:
        _, state = await self._ref.read(consistency, timeout)
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
        await self._ref.change("put", [encoded(self._codec, value)], consistency, timeout, context, ttl)


class CounterHandle(Handle[int]):
    """A counter (`counter`)."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the sum, 0 if nothing was counted."""
        return int(await self._value(0, consistency, timeout))

    async def increment(
        self, amount: int = 1, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> int:
        """Add to the counter; after `WriteTimeout` it may count or not.

        Returns the counter as the node that carried this out has it then: with this increment, and all others that had
        come to this node. Two calls on two nodes may be told the same number, so it numbers nothing.

        Raises:
            InvalidRequest: the amount is no whole number, or too large.
        """
        reply = await self._ref.change("increment", [checked_whole(amount)], consistency, timeout, ttl=ttl)
        return _value_in(reply)  # type: ignore[no-any-return]

    async def decrement(
        self, amount: int = 1, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> int:
        """Subtract from the counter. Returns and raises as `increment` does."""
        return await self.increment(-checked_whole(amount), ttl=ttl, consistency=consistency, timeout=timeout)


class BoundedCounterHandle(Handle[int]):
    """A counter that never goes below 0 (`bcounter`). It cannot be deleted, and takes no `ttl`."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return what may still be decremented, by all nodes of all data centers together."""
        return int(await self._value(0, consistency, timeout))

    async def increment(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Add to the counter. Returns it as the node that carried this out has it then, as `CounterHandle` does."""
        reply = await self._ref.change("increment", [checked_whole(amount)], consistency, timeout)
        return _value_in(reply)  # type: ignore[no-any-return]

    async def decrement(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Subtract from the counter. A node that has not enough rights to that asks others, for a second at most.

        Returns the counter as `increment` does.

        Raises:
            InsufficientRights: less is left, or what is left belongs to nodes out of reach; nothing was written.
        """
        reply = await self._ref.change("decrement", [checked_whole(amount)], consistency, timeout)
        return _value_in(reply)  # type: ignore[no-any-return]


class SetHandle(Handle[set[M]], Generic[M]):
    """A set that only grows (`gset`), and what all sets share. 1, 1.0 and True are three members to the store."""

    async def add(
        self, *members: M, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Add members.

        Raises:
            InvalidRequest: none given, not hashable, or more than 10,000.
            ValueTooLarge: together they take more than an entry may.
        """
        elements = self._encoded(members, self._ref.entry_bytes)
        await self._ref.change("add", elements, consistency, timeout, ttl=ttl)

    async def members(self, *, consistency: Level = None, timeout: float | None = None) -> set[M]:
        """Return the members.

        Raises:
            InvalidRequest: the codec refuses one of them; `(await entry()).readable` has the others.
        """
        return set(await self._value((), consistency, timeout))

    async def contains(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> bool:
        """Return whether this is a member. The whole set is read, as always."""
        element = element_bytes(member, self._codec)
        return element in await self._stored(consistency, timeout)

    async def size(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return how many members there are; to the store 1, 1.0 and True are three."""
        return len(await self._stored(consistency, timeout))

    async def _stored(self, consistency: Level, timeout: float | None) -> list[bytes]:
        _, state = await self._ref.read(consistency, timeout)
        return state.members if isinstance(state, (AddWinsSet, RemoveWinsSet)) else []

    def _encoded(self, members: tuple[M, ...], limit_bytes: int = MAX_ELEMENTS_BYTES) -> list[object]:
        elements = [element_bytes(member, self._codec) for member in members]
        check_elements(elements, limit_bytes)
        return [*elements]


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
        await self._ref.change("remove", self._encoded(members), consistency, timeout, context)


class FlagHandle(Handle[bool]):
    """A flag: enable-wins (`flag`) or disable-wins (`dwflag`). It begins as off."""

    async def is_on(self, *, consistency: Level = None, timeout: float | None = None) -> bool:
        """Return whether it is on."""
        return bool(await self._value(False, consistency, timeout))

    async def enable(
        self, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Turn it on."""
        await self._ref.change("enable", [], consistency, timeout, ttl=ttl)

    async def disable(
        self, *, context: ReadContext | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Turn it off; with `context` only what was read."""
        await self._ref.change("disable", [], consistency, timeout, context)


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
        await self._ref.change("set", [checked_number(number)], consistency, timeout, ttl=ttl)


class SketchHandle(Handle[int], Generic[M]):
    """A count of distinct elements with a standard error of 1.6 % (`hll`)."""

    async def add(
        self, *elements: M, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> None:
        """Count elements, each once for ever.

        Raises:
            InvalidRequest: none given, or more than 10,000.
            ValueTooLarge: together they take more than 8 MiB.
        """
        found = [encoded(self._codec, element) for element in elements]
        check_elements(found, MAX_ELEMENTS_BYTES)
        await self._ref.change("add", [*found], consistency, timeout, ttl=ttl)

    async def count(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return about how many distinct elements there are."""
        return int(await self._value(0, consistency, timeout))

    async def count_union(
        self, *others: "str | bytes | SketchHandle[Any]", consistency: Level = None, timeout: float | None = None
    ) -> int:
        """Return about how many distinct elements there are here and in all others together, each counted once.

        Others are named as this one is: keys of the same bucket, fields of the same map; or they are handles, from
        wherever. Each is read on its own, so the count is of no one moment.
        """
        handles = [self, *(self._beside(other) for other in others)]
        states = await asyncio.gather(*(handle._ref.read(consistency, timeout) for handle in handles))
        return count_of_all(state for _, state in states if isinstance(state, HyperLogLog))

    def _beside(self, other: "str | bytes | SketchHandle[Any]") -> "SketchHandle[Any]":
        return other if isinstance(other, SketchHandle) else SketchHandle(self._ref.beside(other), self._codec)


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
        arguments: list[object] = [element_bytes(member, self._codec), checked_number(score)]
        await self._ref.change("set", arguments, consistency, timeout, ttl=ttl)

    async def increment(
        self,
        member: M,
        amount: Number = 1,
        *,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> Number:
        """Add to a member's score; one that is not there begins at 0. Raises as `set` does.

        Returns the score as the node that carried this out has it then, as `CounterHandle.increment` does.
        """
        arguments: list[object] = [element_bytes(member, self._codec), checked_number(amount)]
        reply = await self._ref.change("increment", arguments, consistency, timeout, ttl=ttl)
        return _value_in(reply)  # type: ignore[no-any-return]

    async def remove(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Remove a member; what it scores concurrently stays."""
        await self._ref.change("remove", [element_bytes(member, self._codec)], consistency, timeout)

    async def ranking(
        self, start: int = 0, stop: int | None = None, *, consistency: Level = None, timeout: float | None = None
    ) -> list[tuple[M, Number]]:
        """Return members and scores from rank `start` up to, without, `stop`; rank 0 has the highest score.

        Ranks are those of a list: -1 is the last. Members of equal score are ordered by their encoding.

        Raises:
            InvalidRequest: a rank is no whole number, or the codec refuses one of these members.
        """
        ranks = slice(checked_rank(start), checked_rank(stop))
        return self._decoded((await self._stored(consistency, timeout))[ranks])

    async def between(
        self, low: Number, high: Number, *, consistency: Level = None, timeout: float | None = None
    ) -> list[tuple[M, Number]]:
        """Return members whose score is at least `low` and at most `high`, the highest first.

        Raises:
            InvalidRequest: one of the two is no number, or the codec refuses one of these members.
        """
        low, high = checked_bound(low), checked_bound(high)
        return self._decoded([pair for pair in await self._stored(consistency, timeout) if low <= pair[1] <= high])

    async def score(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> Number | None:
        """Return a member's score, None if it is not there."""
        element = element_bytes(member, self._codec)
        return dict(await self._stored(consistency, timeout)).get(element)

    async def rank(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> int | None:
        """Return a member's rank, 0 for the highest score, None if it is not there."""
        element = element_bytes(member, self._codec)
        elements = [one for one, _ in await self._stored(consistency, timeout)]
        return elements.index(element) if element in elements else None

    async def _stored(self, consistency: Level, timeout: float | None) -> list[tuple[bytes, Number]]:
        _, state = await self._ref.read(consistency, timeout)
        return state.ranking() if isinstance(state, Board) else []

    def _decoded(self, ranking: list[tuple[bytes, Number]]) -> list[tuple[M, Number]]:
        return [(element_value(element, self._codec), score) for element, score in ranking]


def _value_in(reply: MutateReply) -> Any:
    """Return the value that a reply tells, None from a node of an older version, which does not."""
    return cbor.decode_value(reply.value) if reply.value is not None else None
