"""Processes begin, end when asked, and leave nothing behind, however their parent ends."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import Client
from crdtkv.config.loader import dump, load
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import token_of
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.frames import framed
from crdtkv.wire.messages import Beat, Hello, Message

from . import program
from .conftest import DATACENTERS, addresses
from .load import Load
from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]
NEEDS_OWN_CLUSTER = True

# A process that does not end within this when it is asked to hangs; `Child.stop` would kill it after 10 s.
LONGEST_STOP_S = 8.0

NODES = ["eu-1", "eu-2", "eu-3"]


def processes_of(directory: Path) -> list[int]:
    """Return the processes whose command line names this directory, but for zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(directory).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def pids_of(cluster: LocalCluster) -> list[int]:
    return [child.pid for child in [*cluster.nodes.values(), *(server.process for server in cluster.nats.values())]]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def ended(child_pid: int) -> None:
    async def alive() -> bool:
        return is_alive(child_pid)

    await eventually(alive, lambda lives: not lives)


async def exit_code(cluster: LocalCluster, name: str, number: signal.Signals) -> int | None:
    """Signal a node, and return how it ended."""
    cluster.nodes[name].send_signal(number)
    async with asyncio.timeout(LONGEST_STOP_S):
        return await cluster.nodes[name].wait()


async def all_linked(*clients: Client) -> None:
    async def peers() -> list[int]:
        told = [node for client in clients for node in (await client.status()).values()]
        return [len(node["peers_up"]) if node else 0 for node in told]

    await eventually(peers, lambda counts: set(counts) == {2})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_node_ends_with_code_0_when_asked(cluster: LocalCluster, number: signal.Signals) -> None:
    assert await exit_code(cluster, "us-2", number) == 0
    await cluster.start_node("us-2")


async def test_a_node_asked_twice_still_ends_with_code_0(cluster: LocalCluster) -> None:
    cluster.nodes["us-2"].send_signal(signal.SIGTERM)
    cluster.nodes["us-2"].send_signal(signal.SIGINT)
    assert await exit_code(cluster, "us-2", signal.SIGTERM) == 0
    await cluster.start_node("us-2")


async def test_nodes_under_load_end_with_code_0_refuse_nothing_and_lose_nothing(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    # Each end meets messages from the other data center on their way in, which once kept a node from ending.
    codes: dict[str, int | None] = {}
    async with Load(eu, workers=2) as here, Load(us, workers=2) as there:
        for name in NODES:
            codes[name] = await exit_code(cluster, name, signal.SIGTERM)
            await cluster.start_node(name)
            await all_linked(eu, us)
    assert codes == dict.fromkeys(NODES, 0)
    assert here.refused == there.refused == {}
    await nothing_lags(eu, us)
    await here.assert_kept(eu, us)
    await there.assert_kept(eu, us)


async def test_nodes_that_stop_leave_no_request_without_an_answer(cluster: LocalCluster) -> None:
    # None comes back while clients wait for it, so nobody could tell later what became of a request.
    async with (
        crdtkv.connect(*addresses(cluster.config, "eu"), datacenter="eu", timeout=2) as kv,
        kv.watch("load:") as watch,
        Load(kv, workers=24) as load,
    ):
        watching = asyncio.create_task(count(watch))
        for name in [*NODES, *NODES]:
            assert await exit_code(cluster, name, signal.SIGTERM) == 0
            await load.more(500)
            await cluster.start_node(name)
            await all_linked(kv)
        watching.cancel()
    assert (load.refused, load.unknown) == ({}, {})
    for name in NODES:  # the watch, too, left at once
        assert "have not left" not in cluster.nodes[name].log_file.read_text()


async def count(watch: crdtkv.Watch) -> int:
    return len([change async for change in watch])


async def test_a_write_that_waits_for_others_is_answered_although_its_node_stops(
    cluster: LocalCluster, eu: Client
) -> None:
    ring = HashRing(cluster.config.first_topology("eu"))
    candidates = [f"slow:{number}" for number in range(200)]
    firsts = {key: ring.replicas_at(token_of(identity_of("default", "register", key)))[0] for key in candidates}
    keys = [key for key, first in firsts.items() if first == "eu-1"][:10]
    for name in ("eu-2", "eu-3"):
        cluster.nodes[name].send_signal(signal.SIGSTOP)
    puts = [asyncio.create_task(eu.put(key, 1, timeout=8)) for key in keys]
    await asyncio.sleep(0.1)
    stopping = asyncio.create_task(exit_code(cluster, "eu-1", signal.SIGTERM))
    await asyncio.sleep(1.4)  # longer than a client waits for a node that is silent
    for name in ("eu-2", "eu-3"):
        cluster.nodes[name].send_signal(signal.SIGCONT)
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert set(map(type, results)) == {crdtkv.Written}
    assert await stopping == 0
    await cluster.start_node("eu-1")
    await all_linked(eu)


async def test_a_node_that_stops_does_not_wait_long_for_a_client_that_does_not_leave(cluster: LocalCluster) -> None:
    node = cluster.config.datacenters["us"].nodes[1]
    reader, writer = await asyncio.open_connection(node.host, node.port)
    writer.write(frame_of(Hello(cluster.config.cluster, "us", "client", "deaf")))
    await reader.read(1)
    beating = asyncio.create_task(beat(writer))
    assert await exit_code(cluster, "us-2", signal.SIGTERM) == 0
    beating.cancel()
    writer.close()
    assert "1 clients have not left within 5 s" in cluster.nodes["us-2"].log_file.read_text()
    await cluster.start_node("us-2")


def frame_of(message: Message) -> bytes:
    return framed(encode_frame(0, [message]))


async def beat(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(frame_of(Beat(0)))
        await asyncio.sleep(0.3)


async def test_a_node_that_stops_says_nothing_of_errors(cluster: LocalCluster) -> None:
    log_file = cluster.nodes["us-1"].log_file
    before = len(log_file.read_text())
    assert await exit_code(cluster, "us-1", signal.SIGTERM) == 0
    farewell = log_file.read_text()[before:]
    assert "Traceback" not in farewell
    assert "ERROR" not in farewell
    await cluster.start_node("us-1")


async def test_a_node_that_waits_for_nats_at_its_first_start_ends_with_code_0(tmp_path: Path) -> None:
    config = on_free_ports(load(DATACENTERS))
    (tmp_path / "datacenters.yaml").write_text(dump(config))
    process = await program.start("node", "eu-1", "--insecure", "--data", tmp_path / "eu-1", cwd=tmp_path)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while b"no NATS server at" not in await process.stderr.readline():
                pass
        process.terminate()
        async with asyncio.timeout(LONGEST_STOP_S):
            _, err = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0
    assert b"Traceback" not in err


async def test_a_stopped_cluster_leaves_no_process_behind_and_goes_on_with_its_data(tmp_path: Path) -> None:
    config = on_free_ports(load(DATACENTERS))
    cluster = LocalCluster(config, tmp_path)
    async with cluster, crdtkv.connect(config, datacenter="eu") as kv:
        pids = pids_of(cluster)
        assert len(pids) == 8
        assert all(map(is_alive, pids))
        assert sorted(processes_of(tmp_path)) == sorted(pids)
        await kv.put("kept", 1)
    assert not any(map(is_alive, pids))
    assert processes_of(tmp_path) == []
    async with LocalCluster(config, tmp_path), crdtkv.connect(config, datacenter="eu") as kv:
        assert await kv.get("kept") == 1


async def test_a_cluster_that_cannot_start_leaves_no_process_behind(cluster: LocalCluster, tmp_path: Path) -> None:
    # Its last node wants a port that is taken.
    fields = on_free_ports(load(DATACENTERS)).model_dump(mode="json")
    fields["cluster"] = "another"  # or its nodes would link to the one that has the port
    fields["datacenters"]["us"]["nodes"][2]["port"] = cluster.config.datacenters["us"].nodes[2].port
    config = type(cluster.config).model_validate(fields)
    with pytest.raises(Exception, match="us-3"):
        async with LocalCluster(config, tmp_path):
            pass
    assert processes_of(tmp_path) == []


@pytest_asyncio.fixture(loop_scope="session")
async def up(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A whole cluster that `crdtkv up` runs under `tmp_path`."""
    (tmp_path / "datacenters.yaml").write_text(dump(on_free_ports(load(DATACENTERS))))
    process = await program.start("up", "--data", tmp_path / "data", cwd=tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"Ctrl-C stops everything" not in (line := await process.stdout.readline()):
            assert line, "it ended instead"
    assert len(processes_of(tmp_path / "data")) == 9  # the eight, and `up` itself
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()
    await no_process_left(tmp_path)


async def no_process_left(directory: Path) -> None:
    async def left() -> list[int]:
        return processes_of(directory)

    await eventually(left, lambda pids: pids == [], within_s=30)


async def test_up_serves_starts_a_killed_node_again_and_ends_when_it_is_interrupted(
    up: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    assert (await program.run("put", "k", "1", cwd=tmp_path)).code == 0
    assert (await program.run("lag", "--wait", "30", cwd=tmp_path)).code == 0
    assert (await program.run("get", "k", "--dc", "us", cwd=tmp_path)).out == "1\n"
    (victim,) = processes_of(tmp_path / "data" / "eu-2")
    os.kill(victim, signal.SIGKILL)
    assert up.stdout is not None
    said = b""
    async with asyncio.timeout(30):
        while b"eu-2 is ready again" not in said:
            said = await up.stdout.readline()
            assert said
    up.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, err = await up.communicate()
    assert up.returncode == 0
    assert err == b""
    await no_process_left(tmp_path)


async def test_nobody_but_their_owner_reads_what_up_writes(up: asyncio.subprocess.Process, tmp_path: Path) -> None:
    assert (await program.run("put", "k", "1", cwd=tmp_path)).code == 0
    assert (await program.run("lag", "--wait", "30", cwd=tmp_path)).code == 0
    written = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    names = {path.name for path in written}
    assert {"datacenters.yaml", "nats.conf", "nats.log", "node.log", "identity.json", "db", "jetstream"} <= names
    assert [path for path in written if path.stat().st_mode & 0o077] == []


async def test_a_directory_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "datacenters.yaml").write_text(dump(on_free_ports(load(DATACENTERS))))
    (tmp_path / "data").mkdir(mode=0o755)
    process = await program.start("node", "eu-1", "--insecure", "--data", tmp_path / "data", cwd=tmp_path)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stderr.readline()
        assert b"WARNING" in line
        assert b"may read or write the stored data (mode 0755): chmod -R go= " in line
    finally:
        process.kill()
        await process.communicate()


async def test_no_process_outlives_an_up_that_was_killed(up: asyncio.subprocess.Process, tmp_path: Path) -> None:
    up.kill()
    await up.wait()
    await no_process_left(tmp_path)
