"""Handles: a handle is a reference to one value of one type, at a key or in a field of a map.

A handle holds no data; every call reads or writes. Every call takes `consistency=` (a level or its name) and `timeout=`
in seconds. Calls that write take `ttl=`, the seconds until the written value expires (0: never; None: the default of
the bucket).

Reads raise the errors of `Bucket.get`, for example `Unavailable` and `ReadTimeout`; writes raise the errors of
`Bucket.put`. `WriteTimeout` means that a write may have been applied; every other error means that it was not, unless
`maybe_applied` is true. A canceled write may have been applied, or may be applied later. A wrong argument raises
`InvalidRequest`, a wrong key `InvalidKey` and a value of too many bytes `ValueTooLarge`, before anything is sent.
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
from crdtkv.client.written import Written
from crdtkv.crdt.board import Board
from crdtkv.crdt.hll import HyperLogLog, count_of_all
from crdtkv.crdt.number import Number, checked_number
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet
from crdtkv.wire.messages import MutateReply

V = TypeVar("V")
M = TypeVar("M", bound=Hashable)


class Handle(Generic[V]):
    """Base of all handles: reads the entry and deletes the value."""

    def __init__(self, ref: ValueRef, codec: Codec[Any] = CBOR) -> None:
        self._ref = ref
        self._codec = codec

    async def entry(self, *, consistency: Level = None, timeout: float | None = None) -> ValueEntry[V]:
        """Return the value with its causal context."""
        entry, state = await self._ref.read(consistency, timeout)
        return ValueEntry(self._ref.identity, entry, state, self._codec)

    async def delete(
        self, *, context: ReadContext | None = None, consistency: Level = None, timeout: float | None = None
    ) -> Written:
        """Delete the value, or with `context` only the versions that were read. A concurrent write survives."""
        return await self._ref.write("delete", [], consistency, timeout, context)

    async def _value(self, default: Any, consistency: Level, timeout: float | None) -> Any:
        _, state = await self._ref.read(consistency, timeout)
        return default if state is None else value_of(state, default, self._codec)


class RegisterHandle(Handle[V]):
    """A register (`register`), or a last-writer-wins value (`lww`)."""

    async def get(self, default: Any = None, *, consistency: Level = None, timeout: float | None = None) -> V | Any:
        """Return the value, `default` if there is none. Of siblings it returns the one with the highest timestamp."""
        return await self._value(default, consistency, timeout)

    async def put(
        self,
        value: V,
        *,
        context: ReadContext | None = None,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> Written:
        """Write a value. With `context` it replaces exactly the versions that were read, else those stored."""
        return await self._ref.write("put", [encoded(self._codec, value)], consistency, timeout, context, ttl)


class CounterHandle(Handle[int]):
    """A counter (`counter`)."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the sum of all increments, 0 if there are none."""
        return int(await self._value(0, consistency, timeout))

    async def increment(
        self, amount: int = 1, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> int:
        """Add `amount` to the counter; return the counter at the coordinator after this increment.

        The result includes this increment and all others that the coordinator has received. It is not unique: two
        calls on two nodes may return the same number. A node of an older version returns no number; the result is then
        None.

        Raises:
            InvalidRequest: `amount` is not an int, or not below 2**63 in absolute value.
            WriteTimeout: the increment may have been applied.
        """
        reply = await self._ref.change("increment", [checked_whole(amount)], consistency, timeout, ttl=ttl)
        return _value_in(reply)  # type: ignore[no-any-return]

    async def decrement(
        self, amount: int = 1, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> int:
        """Subtract `amount` from the counter. Result and errors are those of `increment`."""
        return await self.increment(-checked_whole(amount), ttl=ttl, consistency=consistency, timeout=timeout)


class BoundedCounterHandle(Handle[int]):
    """A bounded counter (`bcounter`): it never goes below 0, cannot be deleted, and takes no `ttl`."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the value of the counter: the sum of the rights of all nodes of all data centers."""
        return int(await self._value(0, consistency, timeout))

    async def increment(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Add `amount` to the counter. Result and errors are those of `CounterHandle.increment`."""
        reply = await self._ref.change("increment", [checked_whole(amount)], consistency, timeout)
        return _value_in(reply)  # type: ignore[no-any-return]

    async def decrement(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Subtract `amount` from the counter; return the counter as `increment` does.

        A coordinator with too few rights requests rights from other nodes, for at most one second.

        Raises:
            InsufficientRights: the counter is below `amount`, or unreachable nodes have the missing rights; nothing was
                written.
        """
        reply = await self._ref.change("decrement", [checked_whole(amount)], consistency, timeout)
        return _value_in(reply)  # type: ignore[no-any-return]


class SetHandle(Handle[set[M]], Generic[M]):
    """A grow-only set (`gset`); base of the other sets. The store treats 1, 1.0 and True as three members."""

    async def add(
        self, *members: M, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> Written:
        """Add members.

        Raises:
            InvalidRequest: there are no members or more than 10,000, one is not hashable, or the codec refuses one.
            ValueTooLarge: together they have more bytes than an entry may have.
        """
        elements = self._encoded(members, self._ref.entry_bytes)
        return await self._ref.write("add", elements, consistency, timeout, ttl=ttl)

    async def members(self, *, consistency: Level = None, timeout: float | None = None) -> set[M]:
        """Return the members.

        Raises:
            InvalidRequest: the codec refuses a member; `(await entry()).readable` has the others.
        """
        return set(await self._value((), consistency, timeout))

    async def contains(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> bool:
        """Return whether `member` is in the set. The call reads the whole set."""
        element = element_bytes(member, self._codec)
        return element in await self._stored(consistency, timeout)

    async def size(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the number of members in the store, where 1, 1.0 and True are three members."""
        return len(await self._stored(consistency, timeout))

    async def _stored(self, consistency: Level, timeout: float | None) -> list[bytes]:
        _, state = await self._ref.read(consistency, timeout)
        return state.members if isinstance(state, (AddWinsSet, RemoveWinsSet)) else []

    def _encoded(self, members: tuple[M, ...], limit_bytes: int = MAX_ELEMENTS_BYTES) -> list[object]:
        elements = [element_bytes(member, self._codec) for member in members]
        check_elements(elements, limit_bytes)
        return [*elements]


class RemovableSetHandle(SetHandle[M]):
    """A set whose members can be removed: add-wins (`set`) or remove-wins (`rwset`)."""

    async def remove(
        self,
        *members: M,
        context: ReadContext | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> Written:
        """Remove members. With `context` the call supersedes only the adds that were read.

        Raises:
            InvalidRequest: there are no members or more than 10,000, one is not hashable, or the codec refuses one.
            ValueTooLarge: together they have more than 8 MiB.
        """
        return await self._ref.write("remove", self._encoded(members), consistency, timeout, context)


class FlagHandle(Handle[bool]):
    """A flag: enable-wins (`flag`) or disable-wins (`dwflag`). It is off at first."""

    async def is_on(self, *, consistency: Level = None, timeout: float | None = None) -> bool:
        """Return whether the flag is on."""
        return bool(await self._value(False, consistency, timeout))

    async def enable(
        self, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> Written:
        """Turn the flag on."""
        return await self._ref.write("enable", [], consistency, timeout, ttl=ttl)

    async def disable(
        self, *, context: ReadContext | None = None, consistency: Level = None, timeout: float | None = None
    ) -> Written:
        """Turn the flag off. With `context` the call supersedes only the enables that were read."""
        return await self._ref.write("disable", [], consistency, timeout, context)


class NumberHandle(Handle[Number]):
    """The greatest (`maxreg`) or smallest (`minreg`) of all numbers that were set."""

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> Number | None:
        """Return the greatest or smallest number, None if none was set."""
        found: Number | None = await self._value(None, consistency, timeout)
        return found

    async def set(
        self, number: Number, *, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> Written:
        """Add a number to those that were set; the value changes if it is the new greatest, or smallest.

        Raises:
            InvalidRequest: `number` is not a finite number of 64 bits.
        """
        return await self._ref.write("set", [checked_number(number)], consistency, timeout, ttl=ttl)


class SketchHandle(Handle[int], Generic[M]):
    """A count of distinct elements with a standard error of 1.6 % (`hll`)."""

    async def add(
        self, *elements: M, ttl: float | None = None, consistency: Level = None, timeout: float | None = None
    ) -> Written:
        """Count elements. An element that was added before does not change the count.

        Raises:
            InvalidRequest: there are no elements or more than 10,000, or the codec refuses one.
            ValueTooLarge: together they have more than 8 MiB.
        """
        found = [encoded(self._codec, element) for element in elements]
        check_elements(found, MAX_ELEMENTS_BYTES)
        return await self._ref.write("add", [*found], consistency, timeout, ttl=ttl)

    async def count(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the approximate number of distinct elements, 0 if there are none."""
        return int(await self._value(0, consistency, timeout))

    async def count_union(
        self, *others: "str | bytes | SketchHandle[Any]", consistency: Level = None, timeout: float | None = None
    ) -> int:
        """Return the approximate number of distinct elements in the union of this sketch and all `others`.

        An element of `others` is a name (a key of the same bucket, or a field of the same map) or a handle of any
        sketch. Each sketch is read separately, so the result is not a snapshot.
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
    ) -> Written:
        """Set a member's score.

        Raises:
            InvalidRequest: the score is not a finite number of 64 bits, the member is not hashable, or the codec
                refuses it.
        """
        arguments: list[object] = [element_bytes(member, self._codec), checked_number(score)]
        return await self._ref.write("set", arguments, consistency, timeout, ttl=ttl)

    async def increment(
        self,
        member: M,
        amount: Number = 1,
        *,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> Number:
        """Add `amount` to a member's score; a new member begins at 0. Raises the errors of `set`.

        Returns the score at the coordinator after this increment, as `CounterHandle.increment` does.
        """
        arguments: list[object] = [element_bytes(member, self._codec), checked_number(amount)]
        reply = await self._ref.change("increment", arguments, consistency, timeout, ttl=ttl)
        return _value_in(reply)  # type: ignore[no-any-return]

    async def remove(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> Written:
        """Remove a member. A concurrent `set` or `increment` of it survives."""
        return await self._ref.write("remove", [element_bytes(member, self._codec)], consistency, timeout)

    async def ranking(
        self, start: int = 0, stop: int | None = None, *, consistency: Level = None, timeout: float | None = None
    ) -> list[tuple[M, Number]]:
        """Return (member, score) pairs from rank `start` up to, but excluding, `stop`; rank 0 has the highest score.

        Ranks are list indexes: -1 is the last member. Members of equal score are ordered by their encoding.

        Raises:
            InvalidRequest: a rank is not an int, or the codec refuses one of these members.
        """
        ranks = slice(checked_rank(start), checked_rank(stop))
        return self._decoded((await self._stored(consistency, timeout))[ranks])

    async def between(
        self, low: Number, high: Number, *, consistency: Level = None, timeout: float | None = None
    ) -> list[tuple[M, Number]]:
        """Return (member, score) pairs with a score of at least `low` and at most `high`, the highest first.

        Raises:
            InvalidRequest: `low` or `high` is not a number, or the codec refuses one of these members.
        """
        low, high = checked_bound(low), checked_bound(high)
        return self._decoded([pair for pair in await self._stored(consistency, timeout) if low <= pair[1] <= high])

    async def score(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> Number | None:
        """Return a member's score, None if the member does not exist."""
        element = element_bytes(member, self._codec)
        return dict(await self._stored(consistency, timeout)).get(element)

    async def rank(self, member: M, *, consistency: Level = None, timeout: float | None = None) -> int | None:
        """Return a member's rank, 0 for the highest score, None if the member does not exist."""
        element = element_bytes(member, self._codec)
        elements = [one for one, _ in await self._stored(consistency, timeout)]
        return elements.index(element) if element in elements else None

    async def _stored(self, consistency: Level, timeout: float | None) -> list[tuple[bytes, Number]]:
        _, state = await self._ref.read(consistency, timeout)
        return state.ranking() if isinstance(state, Board) else []

    def _decoded(self, ranking: list[tuple[bytes, Number]]) -> list[tuple[M, Number]]:
        return [(element_value(element, self._codec), score) for element, score in ranking]


def _value_in(reply: MutateReply) -> Any:
    """Return the value in a reply, None if the node has an older version, which sends no value."""
    return cbor.decode_value(reply.value) if reply.value is not None else None
