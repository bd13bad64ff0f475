"""`Bucket`: the verbs on keys. The client itself is the bucket `default`.

Values are anything CBOR can encode, up to 512 KiB, or what the bucket's codec is for. Keys are str (UTF-8) or bytes, 1
to 1024 bytes. Every call takes `consistency=` (a level or its name) and `timeout=` in seconds, above 0 and at most a
day; what writes takes `ttl=`, after how many seconds it expires (0: never, not given: as the bucket says). A wrong
argument is told before anything is sent.

After cancellation of a call nothing is known about a write: it may have been applied, or may yet be.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from crdtkv.client import scanning
from crdtkv.client.arguments import checked_limit, checked_timeout, prefix_bytes, ttl_ms
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.container import Container
from crdtkv.client.entry import ReadContext, ValueEntry
from crdtkv.client.handles import BoundedCounterHandle, RegisterHandle
from crdtkv.client.value_ref import BucketScope, Level, ValueRef
from crdtkv.client.watching import Watch
from crdtkv.crdt.registry import TYPES, type_named
from crdtkv.errors import CrdtkvError, InvalidKey, InvalidRequest

KeyType = TypeVar("KeyType", str, bytes)
V = TypeVar("V")

#: How many requests `put_many` and `get_many` keep in flight.
MANY_IN_FLIGHT = 256


class Keys:
    """All keys of one type in one bucket."""

    def __init__(self, scope: BucketScope, type_tag: str, codec: Codec[Any] = CBOR) -> None:
        self._scope = scope
        self._type_tag = type_tag
        self._codec = codec

    def scan(
        self,
        prefix: str | bytes = "",
        *,
        after: str | bytes | None = None,
        limit: int | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str | bytes, ValueEntry[Any]]]:
        """Iterate over the keys with this prefix as `(key, entry)`, in ring order, not in key order.

        Keys are str where they are UTF-8, else bytes. A key that exists all the time is met exactly once; one
        written or deleted meanwhile may be met or not. Values are decoded when the entry is asked for them, so one that
        the codec refuses ends nothing. With `after` it begins behind that key in ring order, where an earlier scan
        ended for instance; the key itself need not exist. With `limit` it ends after so many keys. `timeout` is per
        page. Raises as `get` does.
        """
        strip = self._scope.prefix(self._type_tag)
        behind = None if after is None else self._scope.ref(self._type_tag, after).identity
        extent = scanning.Extent(strip + prefix_bytes(prefix), behind, checked_limit(limit))
        level = self._scope.level(consistency)
        timeout_s = scanning.PAGE_TIMEOUT_S if timeout is None else checked_timeout(timeout)
        return scanning.scan(self._scope.executor, extent, strip, level, timeout_s, self._codec)


class Bucket(Keys, Container, Generic[V]):
    """Registers of one bucket, and the way to its other types."""

    def __init__(self, scope: BucketScope, codec: Codec[V] = CBOR, type_tag: str = "register") -> None:
        super().__init__(scope, type_tag, codec)

    async def get(
        self, key: str | bytes, default: Any = None, *, consistency: Level = None, timeout: float | None = None
    ) -> V | Any:
        """Return the value of a key, `default` if it has none.

        Raises:
            Unavailable: too few replicas are alive for the level.
            ReadTimeout: too few answered in time.
            InvalidKey, UnknownBucket, InvalidRequest: the call is wrong.
        """
        return await self._one(key).get(default, consistency=consistency, timeout=timeout)

    async def entry(
        self, key: str | bytes, *, consistency: Level = None, timeout: float | None = None
    ) -> ValueEntry[V]:
        """Return a key with its siblings and causal context. Raises as `get` does."""
        return await self._one(key).entry(consistency=consistency, timeout=timeout)

    async def put(
        self,
        key: str | bytes,
        value: V,
        *,
        context: ReadContext | None = None,
        ttl: float | None = None,
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
        await self._one(key).put(value, context=context, ttl=ttl, consistency=consistency, timeout=timeout)

    async def delete(
        self,
        key: str | bytes,
        *,
        context: ReadContext | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> None:
        """Delete what was read (`context`), or what is there; a concurrent write survives. Raises as `put` does."""
        await self._one(key).delete(context=context, consistency=consistency, timeout=timeout)

    async def update(
        self,
        key: str | bytes,
        change: Callable[[V | None], V],
        *,
        resolve: Callable[[list[Any]], V] | None = None,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> V:
        """Read a value, change it, and write it in the place of exactly what was read; return what was written.

        `change` is given the value, None if there is none. Of concurrent values it is given what `resolve` makes of
        them (the latest first), or else the latest; all of them are replaced by what is written. Behind those that can
        be read `resolve` is given an `Undecodable` for each that the codec refuses; without `resolve` such a one is an
        error, because it would be lost. Somebody who writes at the same time is not overwritten: both values are kept
        as siblings, for the next update to resolve. This is no compare-and-set.

        Raises:
            InvalidRequest: the codec refuses what is stored, and there is no `resolve`. Else as `get` and `put` do.
        """
        found = await self.entry(key, consistency=consistency, timeout=timeout)
        everything = [*found.readable, *found.undecodable]
        value: V | None
        if resolve is not None and (len(everything) > 1 or found.undecodable):
            value = resolve(everything)
        else:
            value = next(iter(found.siblings), None)
        changed = change(value)
        context = None if self._type_tag == "lww" else found.context
        await self.put(key, changed, context=context, ttl=ttl, consistency=consistency, timeout=timeout)
        return changed

    async def put_many(
        self,
        values: Mapping[KeyType, V],
        *,
        ttl: float | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> dict[KeyType, CrdtkvError | None]:
        """Write many keys; returns for each key None, or the error that `put` would have raised.

        Raises:
            InvalidRequest: what goes for all keys is wrong; nothing was written.
        """
        if not isinstance(values, Mapping):
            raise InvalidRequest(f"put_many takes a dictionary of keys and values, not a {type(values).__name__}")
        self._check_common(consistency, timeout)
        ttl_ms(ttl)

        async def put(key: KeyType) -> None:
            await self.put(key, values[key], ttl=ttl, consistency=consistency, timeout=timeout)

        return await _each(values, put)

    async def get_many(
        self, keys: Iterable[KeyType], *, consistency: Level = None, timeout: float | None = None
    ) -> dict[KeyType, Any]:
        """Read many keys; returns for each its value, None if it has none, or the error `get` would have raised.

        Raises:
            InvalidRequest: what goes for all keys is wrong.
        """
        if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
            raise InvalidRequest(f"get_many takes several keys, not {keys!r:.40}")
        self._check_common(consistency, timeout)

        async def get(key: KeyType) -> Any:
            return await self.get(key, consistency=consistency, timeout=timeout)

        return await _each(keys, get)

    def watch(
        self, prefix: str | bytes = "", *, of_type: str | None = None, token: str | None = None
    ) -> Watch[V | Any]:
        """Watch the keys with this prefix: iterate over them as they are, a mark, and then over what changes.

        Keys are of all types, or of one. With the `token` of an earlier watch of the same keys it goes on there. What
        it tells is what one replica of this data center holds, as soon as that is durable there.

            async with kv.watch("user:") as watch:
                async for change in watch:
                    if change is crdtkv.CAUGHT_UP: ...
                    elif change.is_deleted: ...
                    else: change.key, change.value

        Raises:
            InvalidRequest: there is no such type, or the token is not one of such a watch.
        """
        types = list(TYPES) if of_type is None else [type_named(of_type).type_tag]
        prefixes = [self._scope.prefix(type_tag) + prefix_bytes(prefix) for type_tag in types]
        codecs = {type_tag: self._codec if type_tag == self._type_tag else CBOR for type_tag in types}
        return Watch(self._scope.executor, prefixes, codecs, token)

    def bcounter(self, name: str | bytes) -> BoundedCounterHandle:
        """Return a counter that never goes below 0."""
        return BoundedCounterHandle(self._at("bcounter", name))

    def lww(self) -> "Bucket[V]":
        """Return the last-writer-wins values of this bucket: the same verbs, without siblings and `context`."""
        return Bucket(self._scope, self._codec, "lww")

    def keys_of(self, type_tag: str) -> Keys:
        """Return the keys of any type, to scan them.

        Raises:
            InvalidRequest: there is no such type.
        """
        type_named(type_tag)
        return Keys(self._scope, type_tag)

    def _check_common(self, consistency: Level, timeout: float | None) -> None:
        self._scope.executor.host.check_loop()
        self._scope.level(consistency)
        if timeout is not None:
            checked_timeout(timeout)

    def _at(self, type_tag: str, name: str | bytes) -> ValueRef:
        return self._scope.ref(type_tag, name)

    def _one(self, key: str | bytes) -> RegisterHandle[V]:
        return RegisterHandle(self._scope.ref(self._type_tag, key), self._codec)


async def _each(keys: Iterable[Any], act: Any) -> dict[Any, Any]:
    """Run `act` for each key, `MANY_IN_FLIGHT` at a time; errors are results."""
    try:
        waiting = iter(dict.fromkeys(keys))
    except TypeError as error:
        raise InvalidKey(f"a key is str or bytes: {error}") from None
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
