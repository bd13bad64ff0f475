"""Cassandra: three nodes, replication factor 3, `commitlog_sync: group` (an fsync before each answer).

It is started from a directory with its jars (`cassandra-all` and what it depends on, as a build tool copies them).
Nodes listen on the loopback addresses 127.0.1.1 to 127.0.1.3. Puts and gets are at LOCAL_QUORUM; gets at ONE as well.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from crdtkv.cli.closed_loop import RecordMissing
from crdtkv.local.ports import free_ports
from peers.system import AbsentError, CarryOut, System, Verbs, children, listening, program

ADDRESSES = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
HEAP = "768M"
SETTLE_S = 8.0
CONFIGURATION = """\
cluster_name: bench
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
data_file_directories: ["{home}/data"]
commitlog_directory: "{home}/commitlog"
cdc_raw_directory: "{home}/cdc"
hints_directory: "{home}/hints"
saved_caches_directory: "{home}/caches"
commitlog_sync: group
commitlog_sync_group_window: 1ms
commitlog_segment_size: 32MiB
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{ seeds: "{seed}:{storage_port}" }}]
listen_address: {address}
rpc_address: {address}
storage_port: {storage_port}
ssl_storage_port: {ssl_port}
native_transport_port: {port}
start_native_transport: true
endpoint_snitch: SimpleSnitch
memtable_heap_space: 128MiB
memtable_offheap_space: 64MiB
key_cache_size: 16MiB
auto_bootstrap: false
"""
LOGGING = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %d{HH:mm:ss} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""
#: Packages of the Java runtime that Cassandra looks into, by module.
OPENED = {
    "java.base": (
        "java.io java.lang java.lang.module java.lang.reflect java.math java.net java.nio java.nio.charset "
        "java.nio.file.spi java.util java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks "
        "jdk.internal.loader jdk.internal.math jdk.internal.misc jdk.internal.module jdk.internal.ref "
        "jdk.internal.reflect jdk.internal.util jdk.internal.util.jar sun.nio.ch sun.nio.cs sun.nio.fs"
    ),
    "java.rmi": "sun.rmi.registry sun.rmi.server sun.rmi.transport sun.rmi.transport.tcp",
    "java.management": "com.sun.jmx.remote.security",
    "java.management.rmi": "com.sun.jmx.remote.internal.rmi",
    "java.sql": "java.sql",
    "jdk.management": "com.sun.management.internal",
    "jdk.naming.dns": "com.sun.jndi.dns",
}


class Cassandra(System):
    """Three nodes."""

    name = "Cassandra"
    warm_up_s = 4.0

    def __init__(self, jars: str | None, java: str | None) -> None:
        self._jars = jars
        self._java = java
        self._port = 0

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions by which an operation fails."""
        from cassandra import DriverException, OperationTimedOut
        from cassandra.cluster import NoHostAvailable

        return (RecordMissing, DriverException, OperationTimedOut, NoHostAvailable)

    def require(self) -> None:
        """Look for the jars, a Java runtime and the driver."""
        if self._jars is None:
            raise AbsentError("say where its jars are with --cassandra-jars DIRECTORY, or CASSANDRA_JARS")
        if not list(Path(self._jars).glob("cassandra-all-*.jar")):
            raise AbsentError(f"{self._jars} holds no cassandra-all-….jar (--cassandra-jars)")
        program("java", self._java, "--java", "a Java runtime")
        try:
            import cassandra.cluster  # noqa: F401
        except ImportError as error:
            raise AbsentError(f"{error}: pip install cassandra-driver") from None

    def variants(self, operation: str) -> list[str]:
        """Return the consistency levels: gets at ONE and at LOCAL_QUORUM."""
        return ["ONE", "LOCAL_QUORUM"] if operation == "get" else ["LOCAL_QUORUM"]

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[list[int]]:
        """Start one node after the other."""
        java = program("java", self._java, "--java", "a Java runtime")
        self._port, storage_port, ssl_port, *jmx_ports = free_ports(3 + len(ADDRESSES))
        pids = []
        async with AsyncExitStack() as stack:
            for address, jmx_port in zip(ADDRESSES, jmx_ports, strict=True):
                home = directory / address
                (home / "conf").mkdir(parents=True)
                (home / "conf" / "logback.xml").write_text(LOGGING)
                (home / "conf" / "cassandra.yaml").write_text(
                    CONFIGURATION.format(
                        home=home,
                        seed=ADDRESSES[0],
                        address=address,
                        storage_port=storage_port,
                        ssl_port=ssl_port,
                        port=self._port,
                    )
                )
                command = self._command(java, home, jmx_port)
                (node,) = await stack.enter_async_context(children([(f"cassandra-{address}", command)], directory))
                await listening(node, address, self._port)  # one after the other: the first is the others' seed
                pids.append(node.pid)
            await asyncio.sleep(SETTLE_S)
            yield pids

    @asynccontextmanager
    async def client(self, workers: int, variant: str, values: list[bytes]) -> AsyncIterator[CarryOut]:
        """Connect to all nodes; requests go to a replica."""
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy

        profile = ExecutionProfile(load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy("datacenter1")))
        cluster = Cluster(ADDRESSES, port=self._port, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        try:
            session = await asyncio.to_thread(cluster.connect)
            yield await asyncio.to_thread(_Verbs, session, variant, values, asyncio.get_running_loop())
        finally:
            await asyncio.to_thread(cluster.shutdown)

    def _command(self, java: Path, home: Path, jmx_port: int) -> list[str | Path]:
        command: list[str | Path] = [java, f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseG1GC"]
        command += [f"-Dcassandra.jmx.local.port={jmx_port}", f"-Dcassandra.storagedir={home}"]
        command += [f"-Dcassandra.config=file://{home}/conf/cassandra.yaml"]
        command += [f"-Dlogback.configurationFile={home}/conf/logback.xml", "-Djdk.attach.allowAttachSelf=true"]
        command += ["-Dcassandra.ring_delay_ms=4000", "-Dcassandra.skip_wait_for_gossip_to_settle=0"]
        for module, packages in OPENED.items():
            for package in packages.split():
                command += ["--add-opens", f"{module}/{package}=ALL-UNNAMED"]
                command += ["--add-exports", f"{module}/{package}=ALL-UNNAMED"]
        return [*command, "-cp", f"{home}/conf:{self._jars}/*", "org.apache.cassandra.service.CassandraDaemon"]


class _Verbs(Verbs):
    """The driver answers in a thread of its own, which hands the answers over to the event loop."""

    def __init__(self, session: Any, level: str, values: list[bytes], loop: asyncio.AbstractEventLoop) -> None:
        from cassandra import ConsistencyLevel

        super().__init__(values)
        self._session = session
        self._loop = loop
        session.execute(
            "create keyspace if not exists bench with replication = "
            "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"
        )
        session.execute("create table if not exists bench.kv (k text primary key, v blob)")
        self._put = session.prepare("insert into bench.kv (k, v) values (?, ?)")
        self._get = session.prepare("select v from bench.kv where k = ?")
        self._scan_rows = session.prepare("select v from bench.kv where token(k) >= token(?) limit ?")
        for statement in (self._put, self._get, self._scan_rows):
            statement.consistency_level = getattr(ConsistencyLevel, level)

    async def put(self, key: str, value: bytes) -> None:
        """Write a value durably."""
        await self._executed(self._put, (key, value))

    async def get(self, key: str) -> Any:
        """Return a value, None if there is none."""
        for row in await self._executed(self._get, (key,)):
            return row[0]
        return None

    async def scan(self, key: str, count: int) -> None:
        """Read so many records from a key on, in the order of the ring."""
        await self._executed(self._scan_rows, (key, count))

    def _executed(self, statement: Any, arguments: tuple[object, ...]) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self._loop.create_future()
        hand_over = self._loop.call_soon_threadsafe
        self._session.execute_async(statement, arguments).add_callbacks(
            lambda rows: hand_over(_settle, answer, rows or [], None),
            lambda error: hand_over(_settle, answer, None, error),
        )
        return answer


def _settle(answer: asyncio.Future[Any], rows: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(rows)
