"""Clients that record their operations and the results, for the same checkers as the simulator."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from random import Random
from typing import Any

from crdtkv import Client, CrdtkvError, cbor
from crdtkv.checking.history import Operation
from crdtkv.checking.levels import read_and_write_quorum
from crdtkv.client.values import values_of
from crdtkv.crdt.entry import Entry
from crdtkv.ids import identity_of
from crdtkv.quorum.level import level_named
from crdtkv.sim.world.shown import plain_context

LEVELS = ("ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL", "2,2", "1,3")
TYPES = ("register", "lww", "counter")
REPLICAS = 3


class Recorder:
    """Workers of one client on a few hot keys, until stopped. Every value written is unique in the whole test."""

    _numbers = itertools.count()

    def __init__(
        self,
        client: Client,
        prefix: str,
        seed: int,
        workers: int = 4,
        keys: int = 3,
        levels: Sequence[str] = LEVELS,
        types: Sequence[str] = TYPES,
        timeout_s: float = 2.0,
        pause_s: float = 0.002,
    ) -> None:
        self._client = client
        self._levels = levels
        self._types = types
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._keys = [f"{prefix}:{number}" for number in range(keys)]
        self._random = Random(seed)
        self._workers = workers
        self._contexts: dict[bytes, Any] = {}
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self.history: list[Operation] = []

    async def __aenter__(self) -> "Recorder":
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int, patience_s: float = 60) -> None:
        """Wait until that many more calls have succeeded."""
        goal = self._succeeded() + count
        async with asyncio.timeout(patience_s):
            while self._succeeded() < goal:
                self._changed.clear()
                await self._changed.wait()

    async def read_everything(self) -> None:
        """Read every key at `LOCAL_ALL`, twice: what the second reads return counts as final."""
        for kind in ("get", "final"):
            for type_tag in self._types:
                for key in self._keys:
                    operation = await self._call(kind, type_tag, key, None, "LOCAL_ALL")
                    assert operation.outcome == "ok", operation

    def _succeeded(self) -> int:
        return sum(operation.outcome == "ok" for operation in self.history)

    async def _work(self) -> None:
        random = self._random
        while not self._is_over:
            type_tag, key, level = random.choice(self._types), random.choice(self._keys), random.choice(self._levels)
            chance = random.random()
            if chance < 0.4:
                await self._call("get", type_tag, key, None, level)
            elif chance < 0.45 and "LINEARIZABLE" not in self._levels:
                await self._call("delete", type_tag, key, None, level)
            elif type_tag == "counter":
                await self._call("increment", type_tag, key, random.randint(-3, 9), level)
            else:
                await self._call("put", type_tag, key, f"v{next(self._numbers)}", level)
            self._changed.set()
            await asyncio.sleep(self._pause_s)

    async def _call(self, kind: str, type_tag: str, key: str, argument: Any, level_name: str) -> Operation:
        level = level_named(level_name)
        reads, writes = read_and_write_quorum(level_name, REPLICAS)
        identity = identity_of("default", type_tag, key)
        operation = Operation(
            client=f"{self._client.datacenter} client",
            datacenter=self._client.datacenter,
            kind=kind,
            type=type_tag,
            key=key,
            began=time.monotonic(),
            argument=argument,
            level=level_name,
            reads=reads,
            writes=writes,
            replicas=REPLICAS,
        )
        self.history.append(operation)
        executor = self._client._scope.executor
        try:
            if kind in ("get", "final"):
                encoded = await executor.entry(identity, level, self._timeout_s)
                self._read(operation, identity, encoded)
            else:
                seen = None
                if type_tag == "register" and self._random.random() < 0.4 and identity in self._contexts:
                    seen = self._contexts[identity]
                    operation.seen = plain_context(seen)
                arguments = {"put": [cbor.encode_value(argument)], "delete": []}.get(kind, [argument])
                wire = seen.to_wire() if seen is not None else None
                reply = await executor.mutate(identity, kind, arguments, wire, level, self._timeout_s)
                operation.dot, operation.timestamp = (reply.actor, reply.counter), reply.timestamp
            operation.outcome = "ok"
        except CrdtkvError as error:
            operation.outcome = "info" if error.maybe_applied else "fail"
        operation.ended = time.monotonic()
        return operation

    def _read(self, operation: Operation, identity: bytes, encoded: bytes | None) -> None:
        operation.values, operation.context = [], {}
        if encoded is None:
            return
        entry = Entry.from_bytes(encoded)
        operation.context = plain_context(entry.context)
        operation.timestamp = entry.state.newest()
        operation.values = values_of(entry.state)
        if operation.type == "register":
            self._contexts[identity] = entry.context
