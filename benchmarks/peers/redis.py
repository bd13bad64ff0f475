"""Redis: a primary and two replicas, all with `appendfsync always`; a put is SET, then WAIT for one replica.

Two clients. The plain one has a connection for every worker, and sends SET and WAIT in one round trip. The batched one
does what crdtkv's client does: operations that are asked for during a round trip share the next one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from crdtkv.cli.closed_loop import RecordMissing
from crdtkv.cli.workloads import SCAN
from crdtkv.local.ports import free_ports
from peers.system import AbsentError, CarryOut, StartError, System, Verbs, children, listening, program

REPLICAS = 2
ACKNOWLEDGING = 1
WAIT_MS = 5_000
LANES = 4
LARGEST_BATCH = 256


class TooFewReplicas(Exception):
    """WAIT came back before enough replicas had a write."""


class Redis(System):
    """Redis with a connection for every worker."""

    name = "Redis, WAIT 1"
    lacks: ClassVar = {SCAN: "Redis keeps keys in no order"}

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._port = 0

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which an operation fails."""
        from redis.exceptions import RedisError

        return (RecordMissing, TooFewReplicas, RedisError, OSError)

    def require(self) -> None:
        """Look for the server and the client library."""
        program("redis-server", self._server, "--redis-server", "Debian's redis-server")
        try:
            import hiredis  # noqa: F401
            import redis.asyncio  # noqa: F401
        except ImportError as error:
            raise AbsentError(f"{error}: pip install redis hiredis") from None

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[list[int]]:
        """Start the servers, and wait for the replicas."""
        server = program("redis-server", self._server, "--redis-server", "Debian's redis-server")
        ports = free_ports(1 + REPLICAS)
        self._port = ports[0]
        commands = []
        for number, port in enumerate(ports):
            home = directory / f"redis-{number}"
            home.mkdir()
            command: list[str | Path] = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", home]
            command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxclients", "2000"]
            command += ["--replicaof", "127.0.0.1", str(self._port)] if number else []
            commands.append((f"redis-{number}", command))
        async with children(commands, directory) as servers:
            for child, port in zip(servers, ports, strict=True):
                await listening(child, "127.0.0.1", port)
            await self._replicas_online()
            yield [child.pid for child in servers]

    @asynccontextmanager
    async def client(self, workers: int, variant: str, values: list[bytes]) -> AsyncIterator[CarryOut]:
        """Connect once for each worker."""
        async with self._connected(workers) as connections:
            yield _Plain(connections, values)

    @asynccontextmanager
    async def _connected(self, count: int) -> AsyncIterator[Any]:
        from redis.asyncio import BlockingConnectionPool
        from redis.asyncio import Redis as Connections

        pool = BlockingConnectionPool(host="127.0.0.1", port=self._port, max_connections=count, timeout=30)
        connections = Connections(connection_pool=pool)
        try:
            yield connections
        finally:
            await connections.aclose()
            await pool.disconnect()

    async def _replicas_online(self) -> None:
        async with self._connected(1) as connections:
            for _ in range(300):
                told = await connections.info("replication")
                if [told.get(f"slave{number}", {}).get("state") for number in range(REPLICAS)] == ["online"] * REPLICAS:
                    return
                await asyncio.sleep(0.1)
        raise StartError("the replicas of Redis are not online after 30 s")


class BatchedRedis(Redis):
    """Redis with few connections, on which operations of all workers travel together."""

    name = "Redis, WAIT 1, batched"

    @asynccontextmanager
    async def client(self, workers: int, variant: str, values: list[bytes]) -> AsyncIterator[CarryOut]:
        """Connect a few times."""
        async with self._connected(LANES) as connections:
            batched = _Batched(connections, values)
            lanes = [asyncio.create_task(batched.work()) for _ in range(LANES)]
            try:
                yield batched
            finally:
                for lane in lanes:
                    lane.cancel()
                await asyncio.gather(*lanes, return_exceptions=True)


class _Plain(Verbs):
    def __init__(self, connections: Any, values: list[bytes]) -> None:
        super().__init__(values)
        self._redis = connections

    async def put(self, key: str, value: bytes) -> None:
        """Write a value durably."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(key, value)
        pipeline.execute_command("WAIT", ACKNOWLEDGING, WAIT_MS)
        _check((await pipeline.execute())[-1])

    async def get(self, key: str) -> Any:
        """Return a value, None if there is none."""
        return await self._redis.get(key)


class _Batched(Verbs):
    """What is asked for waits in a list; each lane takes what is there, and comes again when it is answered."""

    def __init__(self, connections: Any, values: list[bytes]) -> None:
        super().__init__(values)
        self._redis = connections
        self._waiting: list[tuple[str, bytes | None, asyncio.Future[Any]]] = []
        self._wanted = asyncio.Event()

    def put(self, key: str, value: bytes) -> Awaitable[Any]:  # type: ignore[override]
        """Write a value durably."""
        return self._asked(key, value)

    def get(self, key: str) -> Awaitable[Any]:  # type: ignore[override]
        """Return a value, None if there is none."""
        return self._asked(key, None)

    async def work(self) -> None:
        """Carry out what is asked for, one batch after the other, until cancelled."""
        while True:
            await self._wanted.wait()
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            if not self._waiting:
                self._wanted.clear()
            if batch:
                await self._carry_out(batch)

    def _asked(self, key: str, value: bytes | None) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, value, answer))
        self._wanted.set()
        return answer

    async def _carry_out(self, batch: list[tuple[str, bytes | None, asyncio.Future[Any]]]) -> None:
        from redis.exceptions import RedisError

        pipeline = self._redis.pipeline(transaction=False)
        for key, value, _ in batch:
            if value is None:
                pipeline.get(key)
            else:
                pipeline.set(key, value)
        has_writes = any(value is not None for _, value, _ in batch)
        if has_writes:
            pipeline.execute_command("WAIT", ACKNOWLEDGING, WAIT_MS)
        try:
            answers = await pipeline.execute()
            if has_writes:
                _check(answers[-1])
        except (RedisError, OSError, TooFewReplicas) as error:
            for _, _, waiting in batch:
                waiting.set_exception(error)
            return
        for (_, _, waiting), answer in zip(batch, answers, strict=False):  # the last answer is that to WAIT
            waiting.set_result(answer)


def _check(acknowledged: int) -> None:
    if acknowledged < ACKNOWLEDGING:
        raise TooFewReplicas(f"{acknowledged} replicas acknowledged")
