"""`Bucket`: the verbs on keys. The client itself is the bucket `default`.

Values are anything CBOR can encode, up to 512 KiB. Keys are str (UTF-8) or bytes, 1 to 1024 bytes. Every call takes
`consistency=` (a level or its name) and `timeout=` in seconds.

After cancellation of a call nothing is known about a write: it may have been applied, or may yet be.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar

from crdtkv import cbor
from crdtkv.client import scanning
from crdtkv.client.caller import Caller
from crdtkv.client.entry import ReadContext, ValueEntry, value_of
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InvalidRequest
from crdtkv.ids import check_name, identity_prefix, key_bytes
from crdtkv.quorum.level import ConsistencyLevel

Level = ConsistencyLevel | str | None
KeyType = TypeVar("KeyType", str, bytes)

#: How many requests `put_many` and `get_many` keep in flight.
MANY_IN_FLIGHT = 256


class _Verbs:
    """What all value types share: reading and deleting."""

    _type_tag = "register"

    def __init__(self, caller: Caller, bucket: str, consistency: Level) -> None:
        self._caller = caller
        self._bucket = check_name("bucket", bucket)
        self._consistency = caller.level(consistency, bucket) if consistency is not None else None
        self._prefix = identity_prefix(bucket, self._type_tag)

    def _level(self, explicit: Level) -> ConsistencyLevel:
        if explicit is None and self._consistency is not None:
            return self._consistency
        return self._caller.level(explicit, self._bucket)

    async def _read(self, key: str | bytes, consistency: Level, timeout: float | None) -> Entry | None:
        encoded = await self._caller.entry(self._prefix + key_bytes(key), self._level(consistency), timeout)
        if encoded is None:
            return None
        entry = Entry.from_bytes(encoded)
        self._caller.observe(entry.state.newest())
        return entry

    async def _read_value(self, key: str | bytes, default: Any, consistency: Level, timeout: float | None) -> Any:
        """Read only the value, without parsing what it takes to write with context."""
        encoded = await self._caller.entry(self._prefix + key_bytes(key), self._level(consistency), timeout)
        if encoded is None:
            return default
        state = Entry.from_bytes(encoded).state
        self._caller.observe(state.newest())
        return value_of(state, default)

    async def _change(
        self,
        key: str | bytes,
        operation: str,
        arguments: list[object],
        consistency: Level,
        timeout: float | None,
        context: ReadContext | None = None,
    ) -> None:
        identity = self._prefix + key_bytes(key)
        wire = context.for_key(identity) if context is not None else None
        await self._caller.mutate(identity, operation, arguments, wire, self._level(consistency), timeout)


class _Keys(_Verbs):
    """All keys of one type in one bucket."""

    def scan(
        self, prefix: str | bytes = "", *, consistency: Level = None, timeout: float | None = None
    ) -> AsyncIterator[tuple[str | bytes, ValueEntry]]:
        """Iterate over the keys with this prefix as `(key, entry)`, in ring order, not in key order.

        Keys are str where they are UTF-8, else bytes. A key that exists all the time is met exactly once; one
        written or deleted meanwhile may be met or not. `timeout` is per page. Raises as `get` does.
        """
        start = self._prefix + (prefix.encode() if isinstance(prefix, str) else prefix)
        return scanning.scan(self._caller, start, self._prefix, self._level(consistency), timeout)


class Bucket(_Keys):
    """Registers of one bucket, and the way to its other types."""

    async def get(
        self, key: str | bytes, default: Any = None, *, consistency: Level = None, timeout: float | None = None
    ) -> Any:
        """Return the value of a key, `default` if it has none.

        Raises:
            Unavailable: too few replicas are alive for the level.
            ReadTimeout: too few answered in time.
            InvalidKey, UnknownBucket, InvalidRequest: the call is wrong.
        """
        return await self._read_value(key, default, consistency, timeout)

    async def entry(self, key: str | bytes, *, consistency: Level = None, timeout: float | None = None) -> ValueEntry:
        """Return a key with its siblings and causal context. Raises as `get` does."""
        return ValueEntry(self._prefix + key_bytes(key), await self._read(key, consistency, timeout))

    async def put(
        self,
        key: str | bytes,
        value: Any,
        *,
        context: ReadContext | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Write a value. With `context` (from `entry`) it replaces exactly what was read, without it what is there.

        Returns when as many replicas as the level asks have fsynced it.

        Raises:
            WriteTimeout: it may have been applied (`maybe_applied`).
            Unavailable, Overloaded, InsufficientStorage, NoNodeReachable: it was not.
            ValueTooLarge, InvalidKey, UnknownBucket, InvalidRequest: the call is wrong, it was not.
        """
        await self._change(key, "put", [cbor.encode_value(value)], consistency, timeout, context)

    async def delete(
        self,
        key: str | bytes,
        *,
        context: ReadContext | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Delete what was read (`context`), or what is there; a concurrent write survives. Raises as `put` does."""
        await self._change(key, "delete", [], consistency, timeout, context)

    async def put_many(
        self, values: Mapping[KeyType, Any], *, consistency: Level = None, timeout: float | None = None
    ) -> dict[KeyType, CrdtkvError | None]:
        """Write many keys; returns for each key None, or the error that `put` would have raised."""

        async def put(key: KeyType) -> None:
            await self.put(key, values[key], consistency=consistency, timeout=timeout)

        return await _each(values, put)

    async def get_many(
        self, keys: Iterable[KeyType], *, consistency: Level = None, timeout: float | None = None
    ) -> dict[KeyType, Any]:
        """Read many keys; returns for each its value, None if it has none, or the error `get` would have raised."""

        async def get(key: KeyType) -> Any:
            return await self.get(key, consistency=consistency, timeout=timeout)

        return await _each(keys, get)

    def counter(self, key: str | bytes) -> "CounterKey":
        """Return a handle for a counter; counters and registers of one name are different keys."""
        return CounterKey(self._caller, self._bucket, self._consistency, key)

    def counters(self) -> "Counters":
        """Return the counters of this bucket, to scan them."""
        return Counters(self._caller, self._bucket, self._consistency)

    def lww(self) -> "LastWriterWinsBucket":
        """Return the last-writer-wins values of this bucket: the same verbs, without siblings."""
        return LastWriterWinsBucket(self._caller, self._bucket, self._consistency)


class LastWriterWinsBucket(Bucket):
    """Last-writer-wins values of one bucket. They take no `context`."""

    _type_tag = "lww"


class Counters(_Keys):
    """All counters of one bucket."""

    _type_tag = "counter"


class CounterKey(_Verbs):
    """One counter."""

    _type_tag = "counter"

    def __init__(self, caller: Caller, bucket: str, consistency: Level, key: str | bytes) -> None:
        super().__init__(caller, bucket, consistency)
        self._key = key_bytes(key)

    async def entry(self, *, consistency: Level = None, timeout: float | None = None) -> ValueEntry:
        """Return the counter with its causal context. Raises as `Bucket.get` does."""
        return ValueEntry(self._prefix + self._key, await self._read(self._key, consistency, timeout))

    async def value(self, *, consistency: Level = None, timeout: float | None = None) -> int:
        """Return the sum, 0 if nothing was counted. Raises as `Bucket.get` does."""
        return int(await self._read_value(self._key, 0, consistency, timeout))

    async def increment(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Add to the counter. Raises as `Bucket.put` does; after `WriteTimeout` it may count or not.

        Raises:
            InvalidRequest: the amount is no whole number, or too large.
        """
        if type(amount) is not int or abs(amount) >= 2**63:
            raise InvalidRequest("a counter is incremented by a whole number below 2**63")
        await self._change(self._key, "increment", [amount], consistency, timeout)

    async def decrement(self, amount: int = 1, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Subtract from the counter. Raises as `increment` does."""
        await self.increment(-amount, consistency=consistency, timeout=timeout)

    async def delete(self, *, consistency: Level = None, timeout: float | None = None) -> None:
        """Reset the counter: what was counted goes, concurrent increments survive. Raises as `Bucket.put` does."""
        await self._change(self._key, "delete", [], consistency, timeout)


async def _each(keys: Iterable[Any], act: Any) -> dict[Any, Any]:
    """Run `act` for each key, `MANY_IN_FLIGHT` at a time; errors are results."""
    waiting = iter(dict.fromkeys(keys))
    results: dict[Any, Any] = {}

    async def work() -> None:
        for key in waiting:
            try:
                results[key] = await act(key)
            except CrdtkvError as error:
                results[key] = error

    async with asyncio.TaskGroup() as group:
        for _ in range(MANY_IN_FLIGHT):
            group.create_task(work())
    return results
