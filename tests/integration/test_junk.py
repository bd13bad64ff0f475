"""Junk on every port and subject: counted, kept where it may matter, and the cluster goes on serving."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import pytest_asyncio

from crdtkv import LOCAL_ALL, Client, CrdtkvError
from crdtkv import cbor as protocol
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.frames import HEARTBEAT, framed
from crdtkv.wire.messages import (
    NUMBERS,
    Confirm,
    ErrorReply,
    GeoBatch,
    Hello,
    Message,
    MutateRequest,
    ReadPartition,
    ReadReplica,
    RightsRequest,
    RightsWanted,
    WriteReplica,
)

from .conftest import FIRST_EPOCH
from .metrics import figure, node_named, page, samples
from .waiting import eventually, nothing_lags

pytestmark = pytest.mark.asyncio(loop_scope="session")
NEEDS_OWN_CLUSTER = True

SEED = 20_240_229
PATIENCE_S = 20.0
GREETING = Hello("shop", "eu", "client", "stranger")


class Stranger:
    """A connection to a node's port that may say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._heard: list[Message] = []

    @classmethod
    async def at(cls, cluster: LocalCluster, node: str, http: bool = False) -> "Stranger":
        config = node_named(cluster, node)
        return cls(*await asyncio.open_connection(config.host, config.http_port if http else config.port))

    def say(self, *messages: Message) -> None:
        self.writer.write(framed(encode_frame(0, list(messages))))

    async def hears(self, kind: type[Message]) -> Any:
        """Return the next message of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._heard:
                    message = self._heard.pop(0)
                    if isinstance(message, kind):
                        return message
                length = int.from_bytes(await self.reader.readexactly(4), "big")
                payload = await self.reader.readexactly(length)
                self._heard += decode_frame(payload).messages if payload else []

    async def is_closed(self) -> None:
        """Wait until the node has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass

    def close(self) -> None:
        self.writer.close()


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def serves_on(cluster: LocalCluster, eu: Client, us: Client) -> AsyncIterator[None]:
    """Check before and after every test that all six nodes run, are linked and replicate, and that none stumbled."""

    async def linked() -> list[int]:
        told = [*(await eu.status()).values(), *(await us.status()).values()]
        return [len(node["peers_up"]) if node else 0 for node in told]

    await eventually(linked, lambda counts: counts == [2] * 6)
    yield
    await eventually(linked, lambda counts: counts == [2] * 6)
    await eu.put("still serving", random.random(), consistency=LOCAL_ALL)
    await nothing_lags(eu, us)
    assert await us.get("still serving", consistency=LOCAL_ALL) == await eu.get("still serving")
    for node in cluster.nodes.values():
        assert node.is_running
        log = node.log_file.read_text()
        assert "Traceback" not in log, log[-3000:]
        assert "Exception" not in log, log[-3000:]


async def junk_counted(cluster: LocalCluster, node: str) -> float:
    return (await samples(cluster, node))["crdtkv_junk_messages_total", frozenset()]


async def assert_counted(cluster: LocalCluster, node: str, before: float, count: int) -> None:
    assert await eventually(lambda: junk_counted(cluster, node), lambda now: now >= before + count) == before + count


# On the port of nodes and clients.


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"\xff" * 4096,
        framed(random.Random(SEED).randbytes(500)),
        framed(b"\x83\x01\x00\x81\x81\x02"),
        framed(protocol.encode([1, 0, [[2, 1]]])),
        framed(protocol.encode([1, 0, [[NUMBERS[Hello], "shop", "eu", "client", 7]]])),
        framed(protocol.encode([9, 0, []])),
        framed(protocol.encode({"a": 1})),
    ],
    ids=["http", "tls", "ones", "random", "cut off", "too few fields", "wrong type", "wire version", "map"],
)
async def test_junk_on_a_nodes_port_is_counted_and_the_connection_closed(cluster: LocalCluster, junk: bytes) -> None:
    before = await junk_counted(cluster, "us-3")
    stranger = await Stranger.at(cluster, "us-3")
    stranger.writer.write(junk)
    await stranger.is_closed()
    stranger.close()
    await assert_counted(cluster, "us-3", before, 1)


async def test_random_bytes_on_a_nodes_port_harm_nothing(cluster: LocalCluster) -> None:
    chosen = random.Random(SEED)
    for _ in range(200):
        stranger = await Stranger.at(cluster, "us-3")
        if chosen.random() < 0.5:
            stranger.say(GREETING)
        stranger.writer.write(chosen.randbytes(chosen.randrange(1, 2000)))
        stranger.close()
    assert await eventually(lambda: junk_counted(cluster, "us-3"), lambda count: count > 100)


async def test_junk_on_a_nodes_port_leaves_the_links_between_nodes_alone(cluster: LocalCluster, eu: Client) -> None:
    # Every node dials those whose names come later: eu-1 keeps all of its links itself.
    failed: list[CrdtkvError] = []
    is_over = asyncio.Event()

    async def write(worker: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            try:
                await eu.put(f"undisturbed:{worker}:{number % 50}", number, consistency=LOCAL_ALL)
            except CrdtkvError as error:
                failed.append(error)

    writing = [asyncio.create_task(write(worker)) for worker in range(16)]
    for _ in range(30):
        for node in ("eu-1", "eu-2"):
            stranger = await Stranger.at(cluster, node)
            stranger.writer.write(b"\xff" * 64)
            await stranger.is_closed()
            stranger.close()
        await asyncio.sleep(0.05)
    is_over.set()
    await asyncio.gather(*writing)
    assert failed == []
    for node in ("eu-1", "eu-2", "eu-3"):
        assert "the link to eu-" not in cluster.nodes[node].log_file.read_text().partition("serves on")[2]


async def test_a_client_may_not_speak_the_node_protocol(cluster: LocalCluster, eu: Client) -> None:
    before = await junk_counted(cluster, "eu-1")
    stranger = await Stranger.at(cluster, "eu-1")
    identity = identity_of("default", "register", "smuggled")
    forged: list[Message] = [
        WriteReplica(1, identity, b"\x86\x01hregister\x80\x80\x80\xf6", 0),
        ReadReplica(2, identity),
        ReadPartition(3, 0, b"", b"", 10),
        GeoBatch("us-1", "us-1.0000000000000001", []),
        Confirm("us", "eu-1.0000000000000001", [1, 2, 3]),
        RightsRequest(4, identity_of("default", "bcounter", "smuggled"), 1, "eu-2.0000000000000001"),
        Hello("shop", "eu", "node", "eu-2"),
    ]
    stranger.say(GREETING, *forged)
    # The link stays open: what is allowed is still answered.
    stranger.say(MutateRequest(9, b"no identity", "put", [b"\x01"], None, 0, "ONE", 1000))
    answer = await stranger.hears(ErrorReply)
    assert (answer.id, answer.code) == (9, "invalid_request")
    stranger.close()
    await assert_counted(cluster, "eu-1", before, len(forged))
    assert not (await eu.entry("smuggled", consistency=LOCAL_ALL)).exists


async def test_messages_of_unknown_numbers_are_skipped_and_counted(cluster: LocalCluster) -> None:
    before = await junk_counted(cluster, "eu-2")
    stranger = await Stranger.at(cluster, "eu-2")
    stranger.say(GREETING)
    stranger.writer.write(framed(protocol.encode([1, 0, [[200, "from", "the", "future"], [201]]])))
    stranger.say(MutateRequest(9, b"", "put", [], None, 0, "ONE", 1000))
    assert (await stranger.hears(ErrorReply)).id == 9
    stranger.close()
    await assert_counted(cluster, "eu-2", before, 2)


@pytest.mark.parametrize(
    "stranger",
    [
        Hello("bank", "eu", "node", "eu-2"),
        Hello("shop", "us", "node", "us-1"),
        Hello("shop", "eu", "node", "eu-9"),
        Hello("shop", "eu", "node", ""),
        Hello("shop", "eu", "operator", "eu-2"),
        Hello("", "eu", "node", "eu-2"),
    ],
    ids=["other cluster", "other data center", "unknown node", "nameless node", "unknown role", "no cluster"],
)
async def test_a_node_that_is_not_in_the_ring_is_turned_away(cluster: LocalCluster, stranger: Hello) -> None:
    before = await junk_counted(cluster, "eu-3")
    connection = await Stranger.at(cluster, "eu-3")
    connection.say(stranger)
    await connection.is_closed()
    connection.close()
    await assert_counted(cluster, "eu-3", before, 1)


async def test_well_formed_nonsense_of_a_client_is_answered_or_dropped(cluster: LocalCluster) -> None:
    chosen = random.Random(SEED)
    stranger = await Stranger.at(cluster, "us-2")
    stranger.say(GREETING)
    for number in range(2_000):
        stranger.writer.write(framed(protocol.encode([1, chosen.choice([0, 1, 99]), [_nonsense(chosen, number)]])))
        if number % 100 == 0:
            await stranger.writer.drain()
    stranger.say(MutateRequest(2**40, b"", "put", [], None, 0, "ONE", 1000))
    while (await stranger.hears(ErrorReply)).id != 2**40:
        pass
    stranger.close()


def _nonsense(chosen: random.Random, number: int) -> list[object]:
    """Make a client's message with fields of the right types and wild content."""
    identity = chosen.choice(
        [
            b"",
            b"\0\0",
            b"default\0register\0",
            b"default\0register\0k" * 200,
            b"default\0nonsense\0k",
            b"\xff\0register\0k",
            b"default\0counter\0junk:%d" % number,
            b"default\0lww\0junk:%d" % number,
            b"default\0register\0junk:%d" % number,
            b"default\0set\0junk:%d" % number,
            b"default\0map\0junk:%d" % number,
            b"default\0board\0junk:%d" % number,
            chosen.randbytes(30),
        ]
    )
    wild: list[object] = [0, -1, 2**64 - 1, -(2**64), True, None, 1.5, "", "ONE", "QUORUM", b"", b"\xff" * 9, [], [[]]]
    level = chosen.choice(["ONE", "LOCAL_QUORUM", "1,1", "0,0", "9,9", ",", "x" * 5000, ""])
    timeout_ms = chosen.choice([0, 1, 1000, 2**64 - 1])
    match chosen.randrange(5):
        case 0:
            return [2, number, chosen.choice([[identity], [identity] * 9, wild, []]), level, timeout_ms]
        case 1 | 2:
            operation = chosen.choice(["put", "delete", "increment", "add", "update", "", "x" * 5000, "__class__"])
            arguments = chosen.choices(wild, k=chosen.randrange(3))
            context = chosen.choice([None, [], [[], []], [["a", 1], []], [["a"], []], [[], ["b", 0]], wild])
            return [
                3,
                number,
                identity,
                operation,
                arguments,
                context,
                chosen.choice([0, 2**63, 2**64 - 1]),
                level,
                500,
                chosen.choice([None, 0, 1, 2**64 - 1]),
                chosen.choice([b"", b"short", bytes(16), chosen.randbytes(16)]),
                chosen.choice([None, None, [], ["us-1"], ["us-9", "x" * 500], wild]),
                chosen.choice([0, 1, 2**64 - 1]),
            ]
        case 3:
            partition = chosen.choice([0, 1, 255, 256, 2**64 - 1])
            return [4, number, partition, identity, chosen.randbytes(12), chosen.choice([0, 5, 2**63]), level, 500]
        case _:
            return [chosen.choice([5, 6]), number]


async def test_levels_and_operations_a_client_invents_do_not_grow_the_metrics(cluster: LocalCluster) -> None:
    async def series() -> int:
        return len(await samples(cluster, "us-1"))

    stranger = await Stranger.at(cluster, "us-1")
    stranger.say(GREETING)
    before = await series()
    identity = identity_of("default", "register", "invented")
    for number in range(500):
        stranger.say(MutateRequest(number, identity, f"op{number}", [], None, 0, f"LEVEL{number}", 1000))
    while (await stranger.hears(ErrorReply)).id != 499:
        pass
    stranger.close()
    assert await series() < before + 200


async def test_a_client_that_dies_in_the_middle_of_a_frame_harms_nothing(cluster: LocalCluster) -> None:
    frame = framed(encode_frame(0, [GREETING]))
    for length in range(1, len(frame)):
        stranger = await Stranger.at(cluster, "eu-3")
        stranger.writer.write(frame[:length])
        await stranger.writer.drain()
        stranger.close()


async def test_many_silent_connections_harm_nothing(cluster: LocalCluster, eu: Client) -> None:
    strangers = [await Stranger.at(cluster, "eu-2") for _ in range(200)]
    for stranger in strangers[::2]:
        stranger.writer.write(HEARTBEAT)
    await eu.put("crowded", 1, consistency=LOCAL_ALL)
    assert await eu.get("crowded", consistency=LOCAL_ALL) == 1
    for stranger in strangers:
        stranger.close()


# On NATS.


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        random.Random(SEED).randbytes(1000),
        encode_frame(0, [Confirm("us", "eu-1.0000000000000001", [1])]),
        encode_frame(0, [GeoBatch("eu-9", "eu-1.0000000000000001", [])]),
        encode_frame(0, [GeoBatch("eu-9", "eu-9.0000000000000001", [[1, b"no identity", b"no entry"]])]),
        encode_frame(0, [GeoBatch("eu-9", "eu-9.0000000000000001", ["row"])]),
    ],
    ids=["empty", "text", "random", "confirmation", "wrong actor", "wrong row", "no row"],
)
async def test_junk_in_the_stream_is_kept_as_a_dead_letter_and_does_not_block_what_follows(
    cluster: LocalCluster, eu: Client, us: Client, payload: bytes
) -> None:
    before = await figure(cluster, "us", "crdtkv_dead_letters_total")
    nc = await nats.connect(cluster.config.datacenters["eu"].nats.url)
    await nc.jetstream().publish("crdtkv.shop.eu.log.eu-9", payload)
    await eu.put("behind the junk", random.random())
    await nothing_lags(eu, us)
    assert await us.get("behind the junk") == await eu.get("behind the junk")
    dead = await eventually(
        lambda: figure(cluster, "us", "crdtkv_dead_letters_total"), lambda count: count >= before + 1
    )
    assert dead == before + 1

    async def unfinished() -> tuple[int | None, int | None]:
        info = await nc.jetstream().consumer_info("CRDTKV_shop_eu", "to-us")
        return info.num_pending, info.num_ack_pending

    await eventually(unfinished, lambda counts: counts == (0, 0))
    await nc.close()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        random.Random(SEED).randbytes(1000),
        encode_frame(0, [GeoBatch("us-1", "us-1.0000000000000001", [])]),
        encode_frame(0, [Confirm("us", "eu-1.0000000000000001", ["one"])]),
        encode_frame(0, [RightsWanted(b"no identity", 1, "us-1.0000000000000001")]),
        encode_frame(0, [RightsWanted(b"default\0counter\0k", 1, "us-1.0000000000000001")]),
    ],
    ids=["empty", "text", "random", "batch", "wrong confirmation", "no key", "no rights"],
)
async def test_junk_among_the_confirmations_is_counted(cluster: LocalCluster, payload: bytes) -> None:
    before = await junk_counted(cluster, "eu-1")
    nc = await nats.connect(cluster.config.datacenters["eu"].nats.url)
    await nc.publish("crdtkv.shop.eu.geo.us.eu-1", payload)
    await nc.close()
    await assert_counted(cluster, "eu-1", before, 1)


async def test_a_forged_confirmation_of_an_earlier_incarnation_confirms_nothing(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    cluster.cut("eu", "us")
    await eu.put_many({f"forged:{number}": number for number in range(50)})
    waiting = [node["outbox_rows"] for node in (await eu.status()).values() if node]
    nc = await nats.connect(cluster.config.datacenters["eu"].nats.url)
    for node in ("eu-1", "eu-2", "eu-3"):
        forged = encode_frame(0, [Confirm("us", f"{node}.0000000000000001", list(range(1, 5_000)))])
        await nc.publish(f"crdtkv.shop.eu.geo.us.{node}", forged)
    await nc.flush()
    await nc.close()
    await eu.put("after the forgery", 1, consistency=LOCAL_ALL)
    assert sum(node["outbox_rows"] for node in (await eu.status()).values() if node) >= sum(waiting)
    cluster.heal("eu", "us")
    await nothing_lags(eu, us)
    assert await us.get("forged:7") == 7


async def test_a_damaged_ring_document_leaves_the_last_good_one_in_use(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    nc = await nats.connect(cluster.config.datacenters["us"].nats.url)
    bucket = await nc.jetstream().key_value("crdtkv-shop-us-topology")
    good = await bucket.get("topology")
    assert good.value is not None

    async def complaints() -> int:
        return sum(
            node.log_file.read_text().count("the topology document is damaged") for node in cluster.nodes.values()
        )

    try:
        for damaged in (b"{", b"\xff\xfe", b"[]", json.dumps({"epoch": 99}).encode()):
            before = await complaints()
            await bucket.put("topology", damaged)
            await eventually(complaints, lambda now, before=before: now > before)
    finally:
        await bucket.put("topology", good.value)
        await nc.close()
    assert {node["epoch"] for node in (await us.status()).values() if node} == {FIRST_EPOCH}
    await us.put("after the damage", 1, consistency=LOCAL_ALL)


# On the HTTP port.


async def test_random_bytes_on_the_http_port_harm_nothing(cluster: LocalCluster) -> None:
    chosen = random.Random(SEED)
    for number in range(100):
        stranger = await Stranger.at(cluster, "eu-1", http=True)
        head = [b"", b"GET ", b"GET /metrics HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"]
        stranger.writer.write(head[number % 4] + chosen.randbytes(chosen.randrange(1, 500)) + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await stranger.writer.drain()
        stranger.close()
    assert (await page(cluster, "eu-1", "/healthz"))[0] == 200


async def test_an_endless_request_head_is_refused(cluster: LocalCluster) -> None:
    stranger = await Stranger.at(cluster, "eu-1", http=True)
    stranger.writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000)
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            answer = await stranger.reader.read()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    stranger.close()
    assert (await page(cluster, "eu-1", "/healthz"))[0] == 200
