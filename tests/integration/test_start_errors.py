"""A node that must not start says why and what to do in one line, exits with 2, and leaves what it found as it was."""

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from crdtkv.config.loader import dump, load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.nats_server import binary
from crdtkv.local.ports import free_ports, on_free_ports
from crdtkv.local.processes import Child
from crdtkv.storage.identity import FILE_NAME, Identity, IdentityFile, Owner, save

from . import program
from .conftest import DATACENTERS
from .program import Outcome
from .waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def refused(config: Path, data: Path, node: str = "eu-1", *options: str) -> str:
    """Start a node that must not come up; return its complaint without the name in front."""
    outcome = await program.run(
        "node", node, "--config", config, "--data", data, "--insecure", *options, cwd=config.parent
    )
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    return outcome.complaint.removeprefix(f"crdtkv: {node}: ")


def changed(cluster: LocalCluster, directory: Path, **fields: Any) -> Path:
    """Write the running cluster's configuration with other fields for eu-1."""
    document = cluster.config.model_dump(mode="json")
    document["datacenters"]["eu"]["nodes"][0].update(fields)
    path = directory / "datacenters.yaml"
    path.write_text(dump(ClusterConfig.model_validate(document)))
    return path


async def assert_still_serving(cluster: LocalCluster) -> None:
    outcome = await program.run("put", "still", "1", "--level", "LOCAL_ALL", cwd=cluster.directory)
    assert outcome.code == 0, outcome.err


async def test_without_insecure_a_node_does_not_start(cluster: LocalCluster, tmp_path: Path) -> None:
    outcome = await program.run("node", "eu-1", "--data", tmp_path / "data", cwd=cluster.directory)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.complaint == (
        "crdtkv: this version does not support TLS yet: listen on a loopback address with --insecure, or, on a network "
        "where every process may read and write everything, use --insecure-network"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.org", "::"])
async def test_insecure_is_for_loopback_only(cluster: LocalCluster, tmp_path: Path, host: str) -> None:
    told = await refused(changed(cluster, tmp_path, host=host), tmp_path / "data")
    assert f"({host} is not loopback)" in told
    assert not (tmp_path / "data").exists()


async def test_a_port_in_use_is_told_with_what_to_do(cluster: LocalCluster, tmp_path: Path) -> None:
    await cluster.nodes["eu-1"].stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        told = await refused(changed(cluster, tmp_path, port=taken, http_port=free_ports(1)[0]), tmp_path / "data")
    assert told == (
        f"127.0.0.1:{taken}: cannot listen (Address already in use): stop what uses the port, or change it in "
        "datacenters.yaml"
    )
    await cluster.start_node("eu-1")
    await assert_still_serving(cluster)


async def test_an_http_port_in_use_is_told_with_what_to_do(cluster: LocalCluster, tmp_path: Path) -> None:
    await cluster.nodes["eu-1"].stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        told = await refused(changed(cluster, tmp_path, port=free_ports(1)[0], http_port=taken), tmp_path / "data")
    assert told.startswith(f"127.0.0.1:{taken}: the HTTP port cannot be used (Address already in use)")
    assert "change http_port in datacenters.yaml" in told
    await cluster.start_node("eu-1")
    await assert_still_serving(cluster)


async def test_a_node_that_runs_already_is_told_with_its_address(cluster: LocalCluster, tmp_path: Path) -> None:
    told = await refused(changed(cluster, tmp_path, port=free_ports(1)[0]), tmp_path / "data")
    running = cluster.config.datacenters["eu"].nodes[0]
    assert told.startswith(f"another process of this node runs at {running.host}:{running.port} already: stop it first")
    await assert_still_serving(cluster)


async def test_a_directory_in_use_is_told_with_what_to_do(cluster: LocalCluster) -> None:
    told = await refused(cluster.directory / "datacenters.yaml", cluster.directory / "eu-1")
    assert told == (
        f"{cluster.directory / 'eu-1'}: in use by crdtkv node eu-1, process {cluster.nodes['eu-1'].pid}: "
        "stop that first, or choose another --data directory"
    )
    await assert_still_serving(cluster)


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (Owner("shop", "eu", "eu-2"), "belongs to node 'eu-2', not 'eu-1'"),
        (Owner("shop", "us", "eu-1"), "belongs to datacenter 'us', not 'eu'"),
        (Owner("bank", "eu", "eu-1"), "belongs to cluster 'bank', not 'shop'"),
    ],
)
async def test_a_foreign_directory_is_refused_and_left_alone(
    cluster: LocalCluster, tmp_path: Path, owner: Owner, message: str
) -> None:
    save(IdentityFile(tmp_path), owner, Identity(7, 1, None))
    told = await refused(cluster.directory / "datacenters.yaml", tmp_path)
    assert told == f"{tmp_path}: {message}: choose another --data directory"
    assert json.loads((tmp_path / FILE_NAME).read_text())["incarnation"] == 7


async def test_the_directory_of_another_node_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    shutil.copytree(cluster.directory / "eu-2", tmp_path / "copy")
    told = await refused(cluster.directory / "datacenters.yaml", tmp_path / "copy")
    assert "belongs to node 'eu-2', not 'eu-1'" in told


async def test_a_directory_that_cannot_be_written_is_told_with_what_to_do(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    told = await refused(cluster.directory / "datacenters.yaml", tmp_path / "file")
    assert "not writable (Not a directory): choose another --data directory" in told
    up = await program.run("up", "--data", tmp_path / "file" / "below", cwd=cluster.directory)
    assert up.code == 2
    assert "not writable (Not a directory): choose another --data directory" in up.complaint


async def test_a_damaged_database_is_told_with_what_to_do_and_left_alone(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "CURRENT").write_text("MANIFEST-gone\n")
    told = await refused(cluster.directory / "datacenters.yaml", tmp_path)
    assert "damaged or not a database" in told
    assert "move the directory away" in told
    assert (tmp_path / "db" / "CURRENT").read_text() == "MANIFEST-gone\n"


async def test_a_node_that_is_not_in_the_agreed_ring_does_not_start(cluster: LocalCluster, tmp_path: Path) -> None:
    # Adding a line to the file is not enough to join a ring that was agreed on.
    document = cluster.config.model_dump(mode="json")
    port, http_port = free_ports(2)
    document["datacenters"]["eu"]["nodes"].append({"name": "eu-4", "port": port, "http_port": http_port})
    path = tmp_path / "datacenters.yaml"
    path.write_text(dump(ClusterConfig.model_validate(document)))
    told = await refused(path, tmp_path / "data", "eu-4")
    assert told == "node 'eu-4' is not in the agreed topology of eu (epoch 4)"


# NATS servers that lose what they acknowledge.

SERVERS: dict[str, tuple[str, str]] = {
    "default sync interval": (
        'max_payload: 8MB\njetstream {{ store_dir: "{store}" }}',
        "acknowledges before it has fsynced: set 'sync_interval: always' in 'jetstream { }'",
    ),
    "long sync interval": (
        'max_payload: 8MB\njetstream {{ store_dir: "{store}", sync_interval: "10s" }}',
        "acknowledges before it has fsynced: set 'sync_interval: always' in 'jetstream { }'",
    ),
    "no jetstream": ("max_payload: 8MB", "JetStream is off"),
    "small payload": (
        'jetstream {{ store_dir: "{store}", sync_interval: always }}',
        "max_payload is 1048576: set 'max_payload: 8MB'",
    ),
    "token": (
        'authorization {{ token: x }}\nmax_payload: 8MB\njetstream {{ store_dir: "{store}", sync_interval: always }}',
        "does not let this node in",
    ),
}


@pytest_asyncio.fixture(loop_scope="session")
async def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Path]:
    """A configuration whose eu has a hand-made nats-server; `request.param` is a part of that one's settings."""
    config = on_free_ports(load(DATACENTERS))
    nats = config.datacenters["eu"].nats
    assert nats.monitor_url is not None
    settings = SERVERS[request.param][0].format(store=tmp_path / "jetstream")
    address, monitor = nats.url.removeprefix("nats://"), nats.monitor_url.removeprefix("http://")
    (tmp_path / "nats.conf").write_text(f'listen: "{address}"\nhttp: "{monitor}"\n{settings}\n')
    server = Child("nats", [binary(), "-c", tmp_path / "nats.conf"], tmp_path / "nats.log")
    await server.start()
    try:
        await eventually(lambda: answers(address), bool)
        (tmp_path / "datacenters.yaml").write_text(dump(config))
        yield tmp_path / "datacenters.yaml"
    finally:
        await server.stop()


def write(config: Path, document: dict[str, Any]) -> None:
    config.write_text(dump(ClusterConfig.model_validate(document)))


async def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True
    return False


@pytest.mark.parametrize("own_server", sorted(SERVERS.keys() - {"token"}), indirect=True)
async def test_a_nats_server_that_would_lose_messages_is_refused(
    request: pytest.FixtureRequest, own_server: Path
) -> None:
    told = await refused(own_server, own_server.parent / "data")
    assert SERVERS[request.node.callspec.params["own_server"]][1] in told
    assert told.startswith("nats://127.0.0.1:")


@pytest.mark.parametrize("own_server", ["token"], indirect=True)
async def test_a_nats_server_that_wants_a_token_is_told_at_once_and_without_secrets(own_server: Path) -> None:
    document = load(own_server).model_dump(mode="json")
    nats = document["datacenters"]["eu"]["nats"]
    for url in (nats["url"], nats["url"].replace("//", "//not-it@")):
        nats["url"] = url
        write(own_server, document)
        outcome = await program.run(
            "node",
            "eu-1",
            "--insecure",
            "--config",
            own_server,
            "--data",
            own_server.parent / "data",
            cwd=own_server.parent,
        )
        assert outcome.code == 2
        assert "does not let this node in ('Authorization Violation'): put the user" in outcome.complaint
        assert "WARNING nats://127.0.0.1:" in outcome.err
        assert "not-it" not in outcome.err


@pytest.mark.parametrize("own_server", ["token"], indirect=True)
async def test_a_node_that_knows_its_ring_serves_although_nats_does_not_let_it_in(own_server: Path) -> None:
    document = load(own_server).model_dump(mode="json")
    nats = document["datacenters"]["eu"]["nats"]
    nats["url"], refused_url = nats["url"].replace("//", "//x@"), nats["url"]
    for url, sign in (
        (nats["url"], "serves on"),
        (refused_url, "does not let this node in"),
        (refused_url, "serves on"),
    ):
        nats["url"] = url
        write(own_server, document)
        process = await program.start(
            "node", "eu-1", "--insecure", "--data", own_server.parent / "data", cwd=own_server.parent
        )
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while sign not in (line := (await process.stderr.readline()).decode()):
                assert line, "it ended instead"
        process.terminate()
        await process.communicate()
        assert process.returncode == 0


async def test_up_does_not_touch_a_directory_in_which_a_cluster_runs(cluster: LocalCluster, tmp_path: Path) -> None:
    def content() -> dict[str, tuple[bytes, int]]:
        names = ["datacenters.yaml", "eu/nats.conf", "us/nats.conf", "lock", "eu-1/lock"]
        files = {name: cluster.directory / name for name in names}
        return {name: (file.read_bytes(), file.stat().st_mtime_ns) for name, file in files.items()}

    (tmp_path / "datacenters.yaml").write_text(dump(on_free_ports(load(DATACENTERS))))
    before = content()
    in_use = await program.run("up", "--data", cluster.directory, cwd=tmp_path)
    assert (in_use.code, in_use.complaint.partition(", process ")[0]) == (
        2,
        f"crdtkv: {cluster.directory}: in use by crdtkv up, cluster shop",
    )
    nodes = await program.run("up", "--data", cluster.directory / "eu-1", cwd=tmp_path)
    assert (nodes.code, nodes.complaint.partition(", process ")[0]) == (
        2,
        f"crdtkv: {cluster.directory / 'eu-1'}: in use by crdtkv node eu-1",
    )
    assert "in use by crdtkv up" in await refused(tmp_path / "datacenters.yaml", cluster.directory)
    assert content() == before
    await assert_still_serving(cluster)


async def test_up_does_not_write_over_the_file_it_is_given(tmp_path: Path) -> None:
    text = "# ours\n" + dump(on_free_ports(load(DATACENTERS)))
    (tmp_path / "datacenters.yaml").write_text(text)
    outcome = await program.run("up", "--data", tmp_path, cwd=tmp_path)
    assert outcome.code == 2
    assert "would be overwritten by `crdtkv up`: choose another --data directory" in outcome.complaint
    assert (tmp_path / "datacenters.yaml").read_text() == text


async def test_up_does_not_begin_on_a_port_that_is_taken(cluster: LocalCluster, tmp_path: Path) -> None:
    document = on_free_ports(load(DATACENTERS)).model_dump(mode="json")
    document["datacenters"]["eu"]["nats"]["url"] = cluster.config.datacenters["eu"].nats.url
    (tmp_path / "datacenters.yaml").write_text(dump(ClusterConfig.model_validate(document)))
    outcome: Outcome = await program.run("up", "--data", tmp_path / "data", cwd=tmp_path)
    assert outcome.code in (2, 3)
    assert "in use: stop what uses the port" in outcome.err
    assert "Traceback" not in outcome.err
    await assert_still_serving(cluster)
