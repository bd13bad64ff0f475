"""`RecordedLoad`: workers with one request in flight each, which record their operations and the results.

Half of the requests read, half write, all at `LOCAL_QUORUM`. Most go to keys that are written once and read by any
worker later; a few go to hot registers, where puts with and without a context meet. Every value is unique, so
`crdtkv.checking` can check the history. A worker pauses between two requests: the cluster is busy but not overloaded,
because in an overloaded one the loss of a node would even free resources.
"""

import asyncio
import itertools
import time
from collections import Counter
from random import Random
from typing import Any

from crdtkv import Client, CrdtkvError, cbor
from crdtkv.checking.history import Operation
from crdtkv.checking.levels import read_and_write_quorum
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register
from crdtkv.ids import identity_of
from crdtkv.quorum.level import level_named
from crdtkv.sim.world.shown import plain_context

HOT_KEYS = 16
HOT_SHARE = 0.05
WITH_CONTEXT_SHARE = 0.4
FINAL_TIMEOUT_S = 30.0
FINALS_AT_ONCE = 128


class RecordedLoad:
    """Use it with `async with`: it works until the end of the block."""

    def __init__(self, client: Client, seed: int, workers: int, pause_s: float) -> None:
        self._client = client
        self._random = Random(seed)
        self._workers = workers
        self._pause_s = pause_s
        self._replicas = min(client.topology.replication_factor, len(client.topology.nodes))
        self._values = itertools.count()
        self._contexts: dict[bytes, Any] = {}
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.history: list[Operation] = []
        #: Keys that were written once, and that was acknowledged.
        self.written: list[str] = []
        self.errors: Counter[str] = Counter()

    async def __aenter__(self) -> "RecordedLoad":
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in range(self._workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    @property
    def keys(self) -> list[str]:
        """Every key that may have been written."""
        return sorted({operation.key for operation in self.history if operation.kind == "put"})

    async def read_finally(self, client: Client) -> list[Operation]:
        """Read every key from all replicas of a client's data center; return these reads.

        Raises:
            CrdtkvError: a read failed, although all nodes should be there.
        """
        waiting = iter(self.keys)
        finals: list[Operation] = []

        async def work() -> None:
            for key in waiting:
                operation = self._begin("reader", client, "final", key, "LOCAL_ALL")
                await self._carry_out(client, operation, FINAL_TIMEOUT_S)
                finals.append(operation)

        await asyncio.gather(*(work() for _ in range(FINALS_AT_ONCE)))
        return finals

    async def _work(self, worker: int) -> None:
        random = self._random
        name = f"worker {worker}"
        while not self._is_over:
            is_hot, is_read = random.random() < HOT_SHARE, random.random() < 0.5
            if is_hot:
                operation = self._begin(name, self._client, "get" if is_read else "put", self._hot_key())
            elif is_read and self.written:
                operation = self._begin(name, self._client, "get", random.choice(self.written))
            else:
                operation = self._begin(name, self._client, "put", f"once:{next(self._values)}")
            if operation.kind == "put":
                operation.argument = f"v{next(self._values)}"
            self.history.append(operation)
            try:
                await self._carry_out(self._client, operation, None)
            except CrdtkvError as error:
                operation.outcome = "info" if error.maybe_applied else "fail"
                operation.ended = time.monotonic()
                self.errors[f"{operation.kind} {type(error).__name__}"] += 1
            else:
                if operation.kind == "put" and not is_hot:
                    self.written.append(operation.key)
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.5))

    def _hot_key(self) -> str:
        return f"hot:{self._random.randrange(HOT_KEYS)}"

    def _begin(self, who: str, client: Client, kind: str, key: str, level: str = "LOCAL_QUORUM") -> Operation:
        reads, writes = read_and_write_quorum(level, self._replicas)
        return Operation(
            client=who,
            datacenter=client.datacenter,
            kind=kind,
            type="register",
            key=key,
            began=time.monotonic(),
            level=level,
            reads=reads,
            writes=writes,
            replicas=self._replicas,
        )

    async def _carry_out(self, client: Client, operation: Operation, timeout_s: float | None) -> None:
        identity = identity_of("default", "register", operation.key)
        executor, level = client._scope.executor, level_named(operation.level)
        if operation.kind == "put":
            seen = self._contexts.get(identity) if self._random.random() < WITH_CONTEXT_SHARE else None
            if seen is not None:
                operation.seen = plain_context(seen)
            wire = seen.to_wire() if seen is not None else None
            value: list[object] = [cbor.encode_value(operation.argument)]
            reply = await executor.mutate(identity, "put", value, wire, level, timeout_s)
            operation.dot, operation.timestamp = (reply.actor, reply.counter), reply.timestamp
        else:
            self._note_read(operation, identity, await executor.entry(identity, level, timeout_s))
        operation.outcome, operation.ended = "ok", time.monotonic()

    def _note_read(self, operation: Operation, identity: bytes, encoded: bytes | None) -> None:
        operation.values, operation.context = [], {}
        if encoded is None:
            return
        entry = Entry.from_bytes(encoded)
        assert isinstance(entry.state, Register)
        operation.context = plain_context(entry.context)
        operation.timestamp = entry.state.newest()
        operation.values = [cbor.decode_value(version.value) for version in entry.state.siblings()]
        if operation.key.startswith("hot:"):
            self._contexts[identity] = entry.context
