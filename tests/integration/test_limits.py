"""One client must not hurt another: what a stranger opens, sends, asks for or leaves unread is bounded."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import LOCAL_ALL, ONE, Client, CrdtkvError
from crdtkv.config.loader import load
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from crdtkv.ring.partition_set import mask_of, to_bits
from crdtkv.server.client_links import HALF_OPEN_MAX
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.frames import framed
from crdtkv.wire.messages import Beat, ErrorReply, GetRequest, Hello, Message, WatchReply, WatchRequest

from .conftest import DATACENTERS, addresses
from .metrics import node_named, page
from .waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
PLACES = 10
PATIENCE_S = 20.0
MIB = 1024 * 1024


class Stranger:
    """A connection to a node's port that reads only what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def at(cls, cluster: LocalCluster, node: str, http: bool = False) -> "Stranger":
        config = node_named(cluster, node)
        return cls(*await asyncio.open_connection(config.host, config.http_port if http else config.port))

    @classmethod
    async def greeting(cls, cluster: LocalCluster, node: str) -> "Stranger":
        stranger = await cls.at(cluster, node)
        stranger.say(Hello(cluster.config.cluster, "eu", "client", "stranger"))
        return stranger

    def say(self, *messages: Message) -> None:
        self.writer.write(framed(encode_frame(0, list(messages))))

    async def hears(self, kind: type[Message]) -> Any:
        """Return the next message of a kind, None if the node closes before."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    length = int.from_bytes(await self.reader.readexactly(4), "big")
                    for message in decode_frame(await self.reader.readexactly(length)).messages if length else []:
                        if isinstance(message, kind):
                            return message
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def is_closed(self) -> None:
        """Wait until the node has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass

    def close(self) -> None:
        self.writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """One data center of three nodes, each with few places for clients."""
    whole = on_free_ports(load(DATACENTERS))
    limits = whole.limits.model_copy(update={"connections_max": PLACES})
    config = whole.model_copy(update={"datacenters": {"eu": whole.datacenters["eu"]}, "limits": limits})
    async with LocalCluster(config, tmp_path_factory.mktemp("small")) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(small: LocalCluster) -> AsyncIterator[Client]:
    async with crdtkv.connect(*addresses(small.config, "eu"), datacenter="eu") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def serves_on(small: LocalCluster, client: Client) -> AsyncIterator[None]:
    """Check after every test that the nodes run, are linked, and serve."""
    yield

    async def linked() -> list[int]:
        return [len(node["peers_up"]) if node else 0 for node in (await client.status()).values()]

    await eventually(linked, lambda counts: counts == [2, 2, 2])
    value = random.random()
    await client.put("still serving", value, consistency=LOCAL_ALL)
    assert await client.get("still serving", consistency=LOCAL_ALL) == value
    for node in small.nodes.values():
        assert "Traceback" not in node.log_file.read_text()


async def status(cluster: LocalCluster, node: str) -> dict[str, Any]:
    return json.loads((await page(cluster, node, "/status"))[2])  # type: ignore[no-any-return]


async def clients_at(cluster: LocalCluster, node: str) -> int:
    return int((await status(cluster, node))["figures"]["client_links"])


def peak_mib(cluster: LocalCluster, node: str) -> int:
    """Return how much memory a node's process has had at most."""
    lines = Path(f"/proc/{cluster.nodes[node].pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


# Connections.


async def test_clients_beyond_the_places_are_told_why_and_get_in_when_one_has_left(
    small: LocalCluster, client: Client
) -> None:
    before = await clients_at(small, "eu-1")
    inside = [await Stranger.greeting(small, "eu-1") for _ in range(PLACES - before)]
    await eventually(lambda: clients_at(small, "eu-1"), lambda count: count == PLACES)
    late = [await Stranger.greeting(small, "eu-1") for _ in range(50)]
    for stranger in late:
        error = await stranger.hears(ErrorReply)
        assert (error.id, error.code) == (0, "overloaded")
        assert error.fields[0].startswith(f"too many connections, {PLACES} clients are connected to this node")
        await stranger.is_closed()
        stranger.close()
    assert await clients_at(small, "eu-1") == PLACES
    for stranger in inside:
        stranger.close()
    await eventually(lambda: clients_at(small, "eu-1"), lambda count: count == before)
    again = await Stranger.greeting(small, "eu-1")
    await eventually(lambda: clients_at(small, "eu-1"), lambda count: count == before + 1)
    again.close()


async def test_a_client_that_is_let_in_nowhere_raises_what_it_was_told(small: LocalCluster) -> None:
    inside: list[Stranger] = []
    for node in ("eu-1", "eu-2", "eu-3"):
        inside += [await Stranger.greeting(small, node) for _ in range(PLACES - await clients_at(small, node))]
        await eventually(lambda node=node: clients_at(small, node), lambda count: count == PLACES)  # type: ignore[misc]
    with pytest.raises(CrdtkvError, match="too many connections, 10 clients are connected to this node"):
        async with crdtkv.connect(*addresses(small.config, "eu"), datacenter="eu") as another:
            await another.get("k")
    for stranger in inside:
        stranger.close()


async def test_connections_that_say_nothing_give_way_and_keep_no_node_out(small: LocalCluster, client: Client) -> None:
    silent = [await Stranger.at(small, "eu-3") for _ in range(HALF_OPEN_MAX + 100)]
    for stranger in silent[:100]:
        await stranger.is_closed()
    # eu-1 and eu-2 dial eu-3.
    await small.nodes["eu-1"].stop()
    await small.start_node("eu-1")

    async def peers() -> list[str]:
        return (await status(small, "eu-3"))["peers_up"]  # type: ignore[no-any-return]

    await eventually(peers, lambda up: up == ["eu-1", "eu-2"])
    for stranger in silent:
        stranger.close()


async def test_http_connections_that_ask_nothing_give_way_to_those_that_do(small: LocalCluster) -> None:
    silent = [await Stranger.at(small, "eu-2", http=True) for _ in range(200)]
    for stranger in silent[:50]:
        stranger.writer.write(b"GET /heal")
    for _ in range(5):
        assert await page(small, "eu-2", "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    for stranger in silent[50:100]:
        await stranger.is_closed()
    for stranger in silent:
        stranger.close()


async def test_an_http_connection_that_never_ends_its_request_is_closed(small: LocalCluster) -> None:
    slow = await Stranger.at(small, "eu-2", http=True)
    slow.writer.write(b"GET /healthz HTTP/1.1\r\n")
    await slow.is_closed()
    slow.close()


# What is sent to a node.


async def test_a_frame_of_millions_of_items_costs_a_node_neither_memory_nor_time(
    small: LocalCluster, client: Client
) -> None:
    await client.put("before", 1)
    before_mib = peak_mib(small, "eu-1")
    count = 16 * MIB - 32
    for _ in range(3):
        stranger = await Stranger.greeting(small, "eu-1")
        stranger.writer.write(framed(b"\x83\x01\x00\x9a" + count.to_bytes(4, "big") + b"\x80" * count))
        await stranger.is_closed()
        stranger.close()
    # Decoded it would take 1,200 MiB.
    assert peak_mib(small, "eu-1") - before_mib < 200


async def test_large_frames_that_never_end_take_a_bounded_part_of_memory(small: LocalCluster, client: Client) -> None:
    before_mib = peak_mib(small, "eu-1")
    strangers = [await Stranger.greeting(small, "eu-1") for _ in range(6)]
    for stranger in strangers:
        stranger.writer.write((16 * MIB).to_bytes(4, "big") + bytes(15 * MIB))
        with contextlib.suppress(ConnectionError):
            await stranger.writer.drain()
    assert await client.get("still serving", consistency=LOCAL_ALL) is not None
    assert peak_mib(small, "eu-1") - before_mib < 250
    for stranger in strangers:
        stranger.close()


async def test_what_a_stranger_says_is_one_line_in_the_log_and_not_many_of_them(small: LocalCluster) -> None:
    log_file = small.nodes["eu-2"].log_file
    before = len(log_file.read_text())
    for number in range(200):
        stranger = await Stranger.at(small, "eu-2")
        stranger.say(Hello(f"\n\x1b[31mFORGED {number} " + "x" * 1_000, "eu", "client", "stranger"))
        await stranger.is_closed()
        stranger.close()
    written = log_file.read_text()[before:]
    assert "closed a link: protocol error: cluster" in written
    assert "\x1b" not in written
    assert not [line for line in written.splitlines() if "FORGED" in line and "closed a link" not in line]
    assert written.count("closed a link") < 50
    assert max(map(len, written.splitlines())) < 500


# What is asked of it, and not read.


async def test_forty_reads_of_a_large_value_at_once_are_answered(client: Client) -> None:
    value = b"x" * 520_000
    await client.put("large", value, consistency=LOCAL_ALL)
    for level in (ONE, crdtkv.LOCAL_QUORUM):
        reads = (client.get("large", consistency=level, timeout=30.0) for _ in range(40))
        assert await asyncio.gather(*reads) == [value] * 40


async def test_a_stranger_that_asks_for_gigabytes_and_reads_nothing_harms_nobody(
    small: LocalCluster, client: Client
) -> None:
    await client.put("large", b"x" * 520_000, consistency=LOCAL_ALL)
    before_mib = peak_mib(small, "eu-1")
    identity = identity_of("default", "register", "large")
    strangers = [await Stranger.greeting(small, "eu-1") for _ in range(3)]
    for round_ in range(5):
        for stranger in strangers:
            stranger.say(GetRequest(1 + 2_000 * round_, [identity] * 1_000, "ONE", 60_000))
            stranger.say(GetRequest(1 + 2_000 * round_ + 1_000, [identity] * 1_000, "LOCAL_QUORUM", 60_000))
    for number in range(100):
        await client.put("beside it", number, consistency=LOCAL_ALL)
    # 15 GB were asked for.
    assert peak_mib(small, "eu-1") - before_mib < 700
    for stranger in strangers:
        stranger.close()


# Watches.


async def test_one_client_does_not_hold_all_polls_and_none_when_it_has_gone(
    small: LocalCluster, client: Client
) -> None:
    async def waiting() -> int:
        return int((await status(small, "eu-1"))["watches_waiting"])

    partitions = to_bits(mask_of(range(small.config.partitions)), small.config.partitions)
    before = await waiting()
    greedy = await Stranger.greeting(small, "eu-1")
    prefix: list[object] = [b"default\0register\0never written"]
    first = WatchRequest(1, prefix, partitions, b"", 1_000, 0)
    cursor, position = b"", None
    while position is None:
        greedy.say(first._replace(cursor=cursor))
        reply = await greedy.hears(WatchReply)
        cursor, position = reply.cursor, reply.position
    for number in range(2, 1_002):
        greedy.say(first._replace(id=number, cursor=cursor, wait_ms=60_000))
    refused = await greedy.hears(ErrorReply)
    assert refused.code == "overloaded"
    assert before < await waiting() <= before + 600
    greedy.close()
    # Long before the polls' own time is over.
    await eventually(waiting, lambda count: count == before, within_s=PATIENCE_S)


async def test_a_link_that_only_beats_is_kept(small: LocalCluster) -> None:
    stranger = await Stranger.greeting(small, "eu-1")
    for number in range(3):
        assert await stranger.hears(Beat) is not None
        stranger.say(Beat(number))
    stranger.close()
