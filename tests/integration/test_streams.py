"""What an operator sees on NATS: streams, consumers and documents that say what they are, and readable messages."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import api

from crdtkv import Client
from crdtkv.local.cluster import LocalCluster

from . import program
from .conftest import FIRST_EPOCH
from .waiting import eventually, nothing_lags

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nc(cluster: LocalCluster, eu: Client, us: Client) -> AsyncIterator[NatsClient]:
    """A connection to the NATS of eu, once its nodes have made everything there."""

    async def up() -> list[bool]:
        return [bool(node and node["bus_up"]) for client in (eu, us) for node in (await client.status()).values()]

    await eventually(up, all)
    nc = await nats.connect(cluster.config.datacenters["eu"].nats.url)
    yield nc
    await nc.close()


class Heard:
    """Messages on a subject, as they come."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Msg] = asyncio.Queue()

    async def take(self, message: Msg) -> None:
        self.queue.put_nowait(message)

    async def next(self) -> Msg:
        async with asyncio.timeout(20):
            return await self.queue.get()


@pytest_asyncio.fixture(loop_scope="session")
async def log(nc: NatsClient, eu: Client, us: Client) -> AsyncIterator[Heard]:
    """What the nodes of eu publish from now on."""
    await nothing_lags(eu, us)
    heard = Heard()
    subscription = await nc.subscribe("crdtkv.shop.eu.log.>", cb=heard.take)
    await nc.flush()
    yield heard
    await subscription.unsubscribe()


async def decoded(cluster: LocalCluster, payload: bytes) -> Any:
    outcome = await program.run("decode", cwd=cluster.directory, stdin=payload)
    assert outcome.code == 0, outcome.err
    return outcome.json


async def test_the_stream_says_what_it_is(nc: NatsClient) -> None:
    info = await nc.jetstream().stream_info("CRDTKV_shop_eu")
    config = info.config
    assert config.description == "crdtkv cluster shop: writes of data center eu"
    assert config.subjects == ["crdtkv.shop.eu.log.>"]
    assert config.storage == api.StorageType.FILE
    assert config.max_bytes == 1024 * 1024 * 1024
    assert config.deny_delete
    assert config.deny_purge
    assert config.metadata is not None
    assert config.metadata["crdtkv-cluster"] == "shop"
    assert config.metadata["crdtkv-datacenter"] == "eu"
    assert config.metadata["crdtkv-wire-version"] == "1"
    assert config.metadata["crdtkv-decode"] == "nats stream view --translate 'crdtkv decode'"


async def test_each_data_center_has_a_stream_on_its_own_nats_only(cluster: LocalCluster, nc: NatsClient) -> None:
    other = await nats.connect(cluster.config.datacenters["us"].nats.url)
    here = {stream.config.name for stream in await nc.jetstream().streams_info()}
    there = {stream.config.name for stream in await other.jetstream().streams_info()}
    await other.close()
    assert here == {"CRDTKV_shop_eu", "KV_crdtkv-shop-eu-topology"}
    assert there == {"CRDTKV_shop_us", "KV_crdtkv-shop-us-topology"}


async def test_the_stream_has_one_durable_consumer_for_each_other_data_center(nc: NatsClient) -> None:
    (consumer,) = await nc.jetstream().consumers_info("CRDTKV_shop_eu")
    assert consumer.name == "to-us"
    assert consumer.config.durable_name == "to-us"
    assert consumer.config.description == "crdtkv: messages for data center us"
    assert consumer.config.ack_policy == api.AckPolicy.EXPLICIT
    assert consumer.config.deliver_policy == api.DeliverPolicy.ALL


async def test_the_consumer_has_nothing_pending_once_nothing_lags(nc: NatsClient, eu: Client, us: Client) -> None:
    await eu.put_many({f"pending:{number}": number for number in range(100)})
    await nothing_lags(eu, us)

    async def waiting() -> tuple[int | None, int | None]:
        info = await nc.jetstream().consumer_info("CRDTKV_shop_eu", "to-us")
        return info.num_pending, info.num_ack_pending

    await eventually(waiting, lambda counts: counts == (0, 0))


async def test_the_ring_is_a_document_people_can_read(nc: NatsClient) -> None:
    bucket = await nc.jetstream().key_value("crdtkv-shop-eu-topology")
    status = await bucket.status()
    assert status.history == 10
    info = await nc.jetstream().stream_info("KV_crdtkv-shop-eu-topology")
    assert info.config.description == "crdtkv: topology document of data center eu"
    entry = await bucket.get("topology")
    assert entry.value is not None
    document = json.loads(entry.value)
    assert document["cluster"] == "shop"
    assert document["datacenter"] == "eu"
    assert document["epoch"] == FIRST_EPOCH
    assert document["partitions"] == 256
    assert document["replication_factor"] == 3
    assert [node["name"] for node in document["nodes"]] == ["eu-1", "eu-2", "eu-3"]


async def test_the_headers_of_a_message_can_be_read(log: Heard, eu: Client) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    await eu.put("user:1", {"name": "Ada"})
    message = await log.next()
    headers = message.headers
    assert headers is not None
    assert headers["Crdtkv-Node"] in ("eu-1", "eu-2", "eu-3")
    assert message.subject == f"crdtkv.shop.eu.log.{headers['Crdtkv-Node']}"
    assert headers["Crdtkv-Count"] == "1"
    assert headers["Crdtkv-First-Key"] == "default/register/user:1"
    assert headers["Content-Type"] == "application/cbor; schema=crdtkv-geo-batch"
    assert headers["Nats-Msg-Id"].startswith(headers["Crdtkv-Node"] + ".")
    sent = dt.datetime.fromisoformat(headers["Crdtkv-Time"])
    assert before < sent < before + dt.timedelta(hours=1)


async def test_a_key_with_line_breaks_or_foreign_letters_cannot_break_the_headers(log: Heard, eu: Client) -> None:
    await eu.put("line\r\nX-Injected: 1\r\n\r\ngrüße", 1)
    message = await log.next()
    assert message.headers is not None
    assert "X-Injected" not in message.headers
    assert message.headers["Crdtkv-First-Key"].startswith("default/register/0x6c696e65")
    await eu.put("grüße 漢字", 1)
    message = await log.next()
    assert message.headers is not None
    assert message.headers["Crdtkv-First-Key"] == "default/register/gr\\xfc\\xdfe \\u6f22\\u5b57"


async def test_many_writes_share_messages(log: Heard, eu: Client, us: Client) -> None:
    await eu.put_many({f"batched:{number}": number for number in range(600)})
    await nothing_lags(eu, us)
    counts = [int(log.queue.get_nowait().headers["Crdtkv-Count"]) for _ in range(log.queue.qsize())]
    assert sum(counts) >= 600
    assert len(counts) < 300


async def test_a_hot_key_is_sent_less_often_than_it_is_written(log: Heard, eu: Client, us: Client) -> None:
    await asyncio.gather(*(eu.put("hot", number) for number in range(500)))
    await nothing_lags(eu, us)
    assert log.queue.qsize() < 250
    assert (await us.entry("hot")).siblings == (await eu.entry("hot")).siblings


async def test_decode_shows_a_message_of_the_stream_as_json(
    cluster: LocalCluster, nc: NatsClient, eu: Client, us: Client
) -> None:
    await nothing_lags(eu, us)
    await eu.put("user:2", {"name": "Grace", "tags": ["navy", 1906]})
    await nothing_lags(eu, us)
    js = nc.jetstream()
    info = await js.stream_info("CRDTKV_shop_eu")
    stored = await js.get_msg("CRDTKV_shop_eu", seq=info.state.last_seq)
    assert stored.data is not None
    shown = await decoded(cluster, stored.data)
    assert shown["message"] == "GeoBatch"
    assert shown["node"] in ("eu-1", "eu-2", "eu-3")
    assert shown["actor"].startswith(shown["node"] + ".")
    (entry,) = shown["entries"]
    assert entry["outbox_seq"] > 0
    assert (entry["bucket"], entry["type"], entry["key"]) == ("default", "register", "user:2")
    assert entry["values"] == [{"name": "Grace", "tags": ["navy", 1906]}]
    assert entry["tombstone"] is False
    assert shown["node"] in entry["context"]


async def test_decode_shows_every_type_and_what_json_lacks(cluster: LocalCluster, log: Heard, eu: Client) -> None:
    async def shown_after(write: Any) -> dict[str, Any]:
        await write
        return (await decoded(cluster, (await log.next()).data))["entries"][0]

    counter = await shown_after(eu.counter("decoded").increment(7))
    assert (counter["type"], counter["values"]) == ("counter", [7])
    lww = await shown_after(eu.lww().put(b"\xff", b"\0\x01"))
    assert (lww["type"], lww["key"], lww["values"]) == ("lww", "0xff", [{"bytes": "0001"}])
    deleted = await shown_after(eu.bucket("carts").delete("gone"))
    assert (deleted["bucket"], deleted["values"], deleted["tombstone"]) == ("carts", [], True)


async def test_decode_refuses_what_is_no_message_in_one_line(cluster: LocalCluster) -> None:
    for payload in (b"", b"hello", b"\xff" * 1000):
        outcome = await program.run("decode", cwd=cluster.directory, stdin=payload)
        assert outcome.code in (2, 3)
        assert outcome.out == ""
        assert "not valid CBOR" in outcome.complaint


async def test_decode_reads_a_file_too(cluster: LocalCluster, log: Heard, eu: Client) -> None:
    await eu.put("from a file", 1)
    file = cluster.directory / "payload"
    file.write_bytes((await log.next()).data)
    outcome = await program.run("decode", file, cwd=cluster.directory)
    assert outcome.json["entries"][0]["key"] == "from a file"
