"""`Bucket`: reads and writes of keys. The client itself is the bucket `default`.

Values are those that the bucket's codec accepts (default: any value that CBOR can encode), up to 512 KiB encoded. Keys
are str (UTF-8) or bytes, 1 to 1024 bytes. Every call takes `consistency=` (a level or its name) and `timeout=` in
seconds, above 0 and at most a day. Writes take `ttl=`, the seconds until the value expires (0: never; None: the default
of the bucket). A wrong argument raises an error before anything is sent.

A canceled write may have been applied, or may be applied later.
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
from crdtkv.client.written import Written
from crdtkv.crdt.registry import TYPES, type_named
from crdtkv.errors import CrdtkvError, InvalidKey, InvalidRequest

KeyType = TypeVar("KeyType", str, bytes)
V = TypeVar("V")

#: The most requests that one `put_many` or `get_many` has in flight.
MANY_IN_FLIGHT = 256


class Keys:
    """The keys of one type in one bucket."""

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

        Keys are str if they are UTF-8, else bytes. A key that exists during the whole scan is returned exactly once; a
        key that is written or deleted during the scan may be returned or not. The entry decodes its values on access,
        so a value that the codec refuses does not end the scan.

        With `after` the scan begins behind that key in ring order, for example where an earlier scan ended; the key
        need not exist. With `limit` it ends after that many keys. `timeout` is in seconds per page (default: 10).
        Raises the errors of `get`.
        """
        strip = self._scope.prefix(self._type_tag)
        behind = None if after is None else self._scope.ref(self._type_tag, after).identity
        extent = scanning.Extent(strip + prefix_bytes(prefix), behind, checked_limit(limit))
        level = self._scope.level(consistency)
        timeout_s = scanning.PAGE_TIMEOUT_S if timeout is None else checked_timeout(timeout)
        return scanning.scan(self._scope.executor, extent, strip, level, timeout_s, self._codec)


class Bucket(Keys, Container, Generic[V]):
    """The registers of one bucket; other methods return handles of its other types."""

    def __init__(self, scope: BucketScope, codec: Codec[V] = CBOR, type_tag: str = "register") -> None:
        super().__init__(scope, type_tag, codec)

    async def get(
        self, key: str | bytes, default: Any = None, *, consistency: Level = None, timeout: float | None = None
    ) -> V | Any:
        """Return the value of a key, `default` if it has none.

        Of concurrent values it returns the one with the highest timestamp.

        Raises:
            Unavailable: too few replicas are alive for the level.
            ReadTimeout: too few replicas answered in time.
            Overloaded: the client or the nodes have too many requests in flight.
            NoNodeReachable: no node answers.
            StaleReplica (in a session): this data center did not receive in time what the session has seen.
            InvalidKey, UnknownBucket, InvalidRequest: the call is wrong, or the codec refuses the value.
            ClosedError: the client was closed.
        """
        return await self._one(key).get(default, consistency=consistency, timeout=timeout)

    async def entry(
        self, key: str | bytes, *, consistency: Level = None, timeout: float | None = None
    ) -> ValueEntry[V]:
        """Return the value of a key with its siblings and causal context.

        Raises the errors of `get`; a value that the codec refuses raises on access only.
        """
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
    ) -> Written:
        """Write a value; return when as many replicas as the level requires have fsynced it.

        With `context` (from `entry`) the write replaces exactly the versions that were read. Without it, it is a blind
        write: it replaces the versions that the coordinator stores.

        Raises:
            WriteTimeout: the write may have been applied (`maybe_applied`).
            Unavailable, Overloaded, InsufficientStorage, NoNodeReachable, ClosedError: it was not applied.
            StaleReplica: no reachable replica has seen `context`; it was not applied.
            ValueTooLarge, InvalidKey, UnknownBucket, InvalidRequest: the call is wrong; it was not applied.
        """
        return await self._one(key).put(value, context=context, ttl=ttl, consistency=consistency, timeout=timeout)

    async def delete(
        self,
        key: str | bytes,
        *,
        context: ReadContext | None = None,
        consistency: Level = None,
        timeout: float | None = None,
    ) -> Written:
        """Delete the versions that were read (`context`), else those that the coordinator stores.

        A concurrent write survives. Raises the errors of `put`.
        """
        return await self._one(key).delete(context=context, consistency=consistency, timeout=timeout)

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
        """Read a value, change it, and write the result over exactly the versions that were read; return the result.

        `change` gets the value, None if there is none. If there are siblings, it gets the result of `resolve`, or the
        latest sibling without `resolve`; the write replaces all of them. `resolve` gets the siblings, the latest first,
        then an `Undecodable` for each sibling that the codec refuses. Without `resolve` a refused sibling raises an
        error, because the write would lose it.

        A concurrent write is not overwritten: both values are kept as siblings, which the next update resolves. This
        is not a compare-and-set. Exception: on `lww()` the write has no context, so the latest write wins.

        Raises:
            InvalidRequest: the codec refuses a stored value, and there is no `resolve`. Also the errors of `get` and
                `put`.
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
        """Write many keys; return a dictionary with None, or the `CrdtkvError` of its `put`, for each key.

        Raises:
            InvalidRequest: `values`, `ttl`, `consistency` or `timeout` is wrong; nothing was written.
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
        """Read many keys; return a dictionary with the value, None, or the `CrdtkvError` of its `get`, for each key.

        Raises:
            InvalidRequest: `keys`, `consistency` or `timeout` is wrong.
            InvalidKey: a key is not hashable.
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
        """Watch the keys with this prefix: iterate over all keys, then `CAUGHT_UP`, then each key that changes.

        `of_type` selects one type (default: all types). With the `token` of an earlier watch of the same keys, the
        watch continues behind it. Each partition is read at one replica of this data center; a change is returned as
        soon as it is durable there.

            async with kv.watch("user:") as watch:
                async for change in watch:
                    if change is crdtkv.CAUGHT_UP: ...
                    elif change.is_deleted: ...
                    else: change.key, change.value

        Raises:
            InvalidRequest: there is no such type, or the token does not belong to a watch of these keys.
        """
        types = list(TYPES) if of_type is None else [type_named(of_type).type_tag]
        prefixes = [self._scope.prefix(type_tag) + prefix_bytes(prefix) for type_tag in types]
        codecs = {type_tag: self._codec if type_tag == self._type_tag else CBOR for type_tag in types}
        return Watch(self._scope.executor, prefixes, codecs, token)

    def bcounter(self, name: str | bytes) -> BoundedCounterHandle:
        """Return the handle of a bounded counter: it never goes below 0."""
        return BoundedCounterHandle(self._at("bcounter", name))

    def lww(self) -> "Bucket[V]":
        """Return the last-writer-wins values of this bucket: no siblings, and `context` raises `InvalidRequest`."""
        return Bucket(self._scope, self._codec, "lww")

    def keys_of(self, type_tag: str) -> Keys:
        """Return the keys of one type, which can be scanned.

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
    """Run `act` for each distinct key, `MANY_IN_FLIGHT` at a time; return its result or `CrdtkvError` by key."""
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
