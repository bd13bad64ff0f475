"""`ValueRef`: a reference to a value, which is a key or a field of a map; it reads and changes the value."""

from typing import Any, NamedTuple

from crdtkv.client.arguments import MAX_ELEMENTS_BYTES, ttl_ms
from crdtkv.client.entry import ReadContext
from crdtkv.client.request_executor import RequestExecutor
from crdtkv.client.written import Written
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.map import Map
from crdtkv.errors import InvalidRequest
from crdtkv.ids import check_name, identity_prefix, key_bytes
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.wire.messages import MutateReply

Level = ConsistencyLevel | str | None


class Found(NamedTuple):
    """The result of a read: the entry of the key and the state of the referenced value, None where there is none."""

    entry: Entry | None
    state: CausalState | None


class BucketScope:
    """One bucket with the default consistency level of its requests."""

    def __init__(self, executor: RequestExecutor, bucket: str, consistency: Level) -> None:
        self.executor = executor
        self.name = check_name("bucket", bucket)
        self._consistency = executor.level(consistency, bucket) if consistency is not None else None
        self._prefixes: dict[str, bytes] = {}

    def level(self, explicit: Level) -> ConsistencyLevel:
        """Return the level of a request: `explicit`, else the default of this scope, else that of the executor.

        Raises:
            InvalidRequest: there is no such level.
        """
        if explicit is None and self._consistency is not None:
            return self._consistency
        return self.executor.level(explicit, self.name)

    def ref(self, type_tag: str, key: str | bytes) -> "ValueRef":
        """Return the reference to a key.

        Raises:
            InvalidKey: the key is not str or bytes, is not UTF-8, or does not have 1 to 1024 bytes.
        """
        return ValueRef(self, self.prefix(type_tag) + key_bytes(key), type_tag, ())

    def prefix(self, type_tag: str) -> bytes:
        """Return the common prefix of the identities of all keys of a type in this bucket."""
        prefix = self._prefixes.get(type_tag)
        if prefix is None:
            prefix = self._prefixes[type_tag] = identity_prefix(self.name, type_tag)
        return prefix


class ValueRef:
    """A key or, with a `path`, a field of the map at that key. `path` has type tag and name of each nested field."""

    def __init__(self, scope: BucketScope, identity: bytes, type_tag: str, path: tuple[object, ...]) -> None:
        self.scope = scope
        self.identity = identity
        self.type_tag = type_tag
        self._path = path

    def field(self, type_tag: str, name: str | bytes) -> "ValueRef":
        """Return the reference to a field of the map that this refers to."""
        return ValueRef(self.scope, self.identity, type_tag, (*self._path, type_tag, key_bytes(name)))

    def beside(self, name: str | bytes) -> "ValueRef":
        """Return the reference to the value of this type and another name in the same bucket or map."""
        if not self._path:
            return self.scope.ref(self.type_tag, name)
        return ValueRef(self.scope, self.identity, self.type_tag, (*self._path[:-1], key_bytes(name)))

    @property
    def entry_bytes(self) -> int:
        """The most bytes that the elements of one call may take, because one entry has to hold them."""
        return self.scope.executor.view.entry_bytes or MAX_ELEMENTS_BYTES

    async def read(self, consistency: Level, timeout: float | None) -> Found:
        """Read the value. Raises the errors of `RequestExecutor.entry`."""
        executor = self.scope.executor
        encoded = await executor.entry(self.identity, self.scope.level(consistency), timeout)
        if encoded is None:
            return Found(None, None)
        entry = Entry.from_bytes(encoded)
        executor.observations.observe(entry.state.newest())
        state: CausalState | None = entry.state
        for start in range(0, len(self._path), 2):
            state = state.fields.get(self._path[start : start + 2]) if isinstance(state, Map) else None  # type: ignore[call-overload]
        return Found(entry, state)

    async def write(
        self,
        operation: str,
        arguments: list[object],
        consistency: Level,
        timeout: float | None,
        context: ReadContext | None = None,
        ttl: float | None = None,
    ) -> Written:
        """Execute an operation that returns nothing else. Parameters and errors are those of `change`."""
        return Written.of(self.identity, await self.change(operation, arguments, consistency, timeout, context, ttl))

    async def change(
        self,
        operation: str,
        arguments: list[object],
        consistency: Level,
        timeout: float | None,
        context: ReadContext | None = None,
        ttl: float | None = None,
    ) -> MutateReply:
        """Execute an operation on the value.

        `ttl` is in seconds: 0 means that the value never expires, None selects the default of the bucket. Raises the
        errors of `RequestExecutor.mutate`.

        Raises:
            InvalidRequest: `context` is not a `ReadContext`, or was read from another key.
        """
        wire: list[Any] | None = None
        if context is not None:
            if not isinstance(context, ReadContext):
                raise InvalidRequest(f"a context is the `.context` of an entry, not {context!r:.40}")
            wire = context.for_key(self.identity)
        if self._path:
            operation, arguments = "update", [list(self._path), operation, *arguments]
        level = self.scope.level(consistency)
        return await self.scope.executor.mutate(self.identity, operation, arguments, wire, level, timeout, ttl_ms(ttl))
