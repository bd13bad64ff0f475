"""The verbs of the client on a healthy cluster: every type, every level, every kind of key and value."""

import asyncio
import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest

import crdtkv
from crdtkv import ANY, LOCAL_ALL, LOCAL_QUORUM, ONE, Client, ConsistencyLevel, InvalidKey, Quorum
from crdtkv.local.cluster import LocalCluster

from .conftest import addresses
from .waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEVELS: list[ConsistencyLevel | str] = [
    ANY,
    ONE,
    LOCAL_QUORUM,
    LOCAL_ALL,
    Quorum(r=2, w=2),
    Quorum(r=1, w=3),
    "ANY",
    "one",
    "local_quorum",
    "LOCAL_ALL",
]


def named(level: ConsistencyLevel | str) -> str:
    return f"name {level}" if isinstance(level, str) else repr(level)


# Levels.


@pytest.mark.parametrize("level", LEVELS, ids=named)
async def test_what_is_written_at_a_level_is_read_at_all_replicas(eu: Client, level: ConsistencyLevel | str) -> None:
    key = f"written at {level!r}"
    await eu.put(key, 1, consistency=level)
    assert await eu.get(key, consistency=LOCAL_ALL) == 1
    await eu.delete(key, consistency=level)
    assert await eu.get(key, consistency=LOCAL_ALL) is None


@pytest.mark.parametrize("level", LEVELS, ids=named)
async def test_what_all_replicas_have_is_read_at_every_level(eu: Client, level: ConsistencyLevel | str) -> None:
    key = f"read at {level!r}"
    await eu.put(key, 1, consistency=LOCAL_ALL)
    await eu.counter(key).increment(2, consistency=LOCAL_ALL)
    await eu.lww().put(key, 3, consistency=LOCAL_ALL)
    assert await eu.get(key, consistency=level) == 1
    assert await eu.counter(key).value(consistency=level) == 2
    assert await eu.lww().get(key, consistency=level) == 3
    assert [(found, entry.value) async for found, entry in eu.scan(key, consistency=level)] == [(key, 1)]


async def test_the_level_may_be_set_on_the_client_and_on_a_bucket(cluster: LocalCluster) -> None:
    async with crdtkv.connect(cluster.config, datacenter="eu", consistency="LOCAL_ALL") as kv:
        await kv.put("client level", 1)
        assert await kv.get("client level") == 1
        one = kv.bucket("carts", consistency=ONE)
        await one.put("bucket level", 2)
        assert await one.get("bucket level") == 2


# Keys.


@pytest.mark.parametrize(
    "key",
    [
        "k",
        "user:1",
        "with spaces and / and . and *",
        "grüße 漢字 🚲",
        "nul\0inside",
        "\n",
        "x" * 1024,
        "é" * 512,
        b"bytes",
        b"\0",
        b"\xff\xfe\0\x80",
        bytes(range(256)) * 4,
    ],
    ids=lambda key: repr(key)[:24],
)
async def test_any_key_of_1_to_1024_bytes_is_kept(eu: Client, key: str | bytes) -> None:
    await eu.put(key, "value")
    assert await eu.get(key) == "value"
    assert await eu.get_many([key]) == {key: "value"}


async def test_a_text_key_and_its_utf_8_bytes_are_one_key(eu: Client) -> None:
    await eu.put("grüße", 1)
    assert await eu.get("grüße".encode()) == 1


async def test_a_scan_gives_text_for_utf_8_keys_and_bytes_for_others(eu: Client) -> None:
    await eu.put(b"kinds:text", 1)
    await eu.put(b"kinds:\xff", 2)
    found = {key: entry.value async for key, entry in eu.scan(b"kinds:")}
    assert found == {"kinds:text": 1, b"kinds:\xff": 2}


# Values.


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63,
        -(2**64),
        10**40,
        1.5,
        1e-300,
        math.inf,
        "",
        "grüße 漢字 🚲",
        b"",
        bytes(range(256)),
        [],
        [1, [2, [3, None]], "x"],
        {},
        {"a": {"b": [1, 2, {"c": b"\0"}]}, "grüße": None},
        {1: "int key", "1": "text key", b"1": "bytes key"},
        dt.datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=dt.UTC),
        Decimal("3.14159265358979323846"),
        uuid.UUID("12345678-1234-5678-1234-567812345678"),
        {1, 2, 3},
        "x" * 400_000,
        list(range(50_000)),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_a_value_is_read_as_it_was_written(eu: Client, value: Any) -> None:
    await eu.put("value", value)
    read = await eu.get("value")
    assert read == value
    assert type(read) is type(value)


async def test_a_tuple_is_read_as_a_list(eu: Client) -> None:
    await eu.put("tuple", (1, (2, 3)))
    assert await eu.get("tuple") == [1, [2, 3]]


async def test_a_value_may_take_exactly_512_kib(eu: Client) -> None:
    value = b"x" * (512 * 1024 - 5)  # five bytes of CBOR go in front
    await eu.put("largest", value)
    assert await eu.get("largest") == value


async def test_a_value_may_be_nested_16_deep(eu: Client) -> None:
    value: Any = 1
    for _ in range(16):
        value = [value]
    await eu.put("deep", value)
    assert await eu.get("deep") == value


async def test_none_is_a_value_and_not_absence(eu: Client) -> None:
    await eu.put("none", None)
    entry = await eu.entry("none")
    assert entry.exists
    assert await eu.get("none", default="absent") is None


# Registers.


async def test_a_key_that_was_never_written_has_no_value(eu: Client) -> None:
    assert await eu.get("never") is None
    assert await eu.get("never", default=7) == 7
    entry = await eu.entry("never")
    assert not entry.exists
    assert entry.siblings == []
    assert repr(entry) == "ValueEntry(absent)"


async def test_a_later_put_replaces_the_earlier_one(eu: Client) -> None:
    for number in range(10):
        await eu.put("replaced", number)
        assert await eu.get("replaced") == number
    assert (await eu.entry("replaced")).siblings == [9]


async def test_a_deleted_key_has_no_value_until_it_is_written_again(eu: Client) -> None:
    await eu.put("deleted", 1)
    await eu.delete("deleted")
    assert not (await eu.entry("deleted")).exists
    assert await eu.get("deleted", default="gone") == "gone"
    await eu.put("deleted", 2)
    assert await eu.get("deleted") == 2


async def test_deleting_a_key_that_was_never_written_is_no_error(eu: Client) -> None:
    await eu.delete("never written")
    assert await eu.get("never written") is None


async def test_an_entry_tells_value_siblings_context_and_time(eu: Client) -> None:
    before_s = dt.datetime.now(dt.UTC).timestamp() - 1
    await eu.put("entry", {"a": 1})
    entry = await eu.entry("entry")
    assert entry.exists
    assert entry.value == {"a": 1}
    assert entry.siblings == [{"a": 1}]
    assert entry.context
    assert before_s < entry.written_at_s < before_s + 3600


async def test_a_put_with_the_context_that_was_read_replaces_what_was_read(eu: Client) -> None:
    await eu.put("checked", 1)
    entry = await eu.entry("checked")
    await eu.put("checked", 2, context=entry.context)
    assert (await eu.entry("checked")).siblings == [2]


async def test_a_put_with_an_outdated_context_keeps_what_it_had_not_seen(eu: Client) -> None:
    await eu.put("outdated", "seen")
    entry = await eu.entry("outdated")
    await eu.put("outdated", "unseen")
    await eu.put("outdated", "mine", context=entry.context)
    found = await eu.entry("outdated")
    assert sorted(found.siblings) == ["mine", "unseen"]
    assert found.value == "mine"
    await eu.put("outdated", "resolved", context=found.context)
    assert (await eu.entry("outdated")).siblings == ["resolved"]


async def test_a_delete_with_an_outdated_context_keeps_what_it_had_not_seen(eu: Client) -> None:
    await eu.put("kept", "seen")
    entry = await eu.entry("kept")
    await eu.put("kept", "unseen")
    await eu.delete("kept", context=entry.context)
    assert (await eu.entry("kept")).siblings == ["unseen"]


# Counters and last-writer-wins values.


async def test_a_counter_nobody_used_is_zero(eu: Client) -> None:
    assert await eu.counter("unused").value() == 0
    assert not (await eu.counter("unused").entry()).exists


async def test_increments_and_decrements_add_up(eu: Client) -> None:
    counter = eu.counter("views")
    await counter.increment()
    await counter.increment(41)
    await counter.decrement(2)
    await counter.increment(-10)
    assert await counter.value() == 30
    assert (await counter.entry()).value == 30


async def test_an_increment_returns_what_it_made(eu: Client) -> None:
    assert await eu.counter("told").increment() == 1
    assert await eu.counter("told").increment(41) == 42
    assert await eu.counter("told").decrement(2) == 40
    assert await eu.bcounter("told").increment(10) == 10
    assert await eu.bcounter("told").decrement(4) == 6
    assert await eu.board("told").increment("ada", 2) == 2
    assert await eu.board("told").increment("ada", 0.5) == 2.5
    profile = eu.map("told")
    assert await profile.counter("logins").increment() == 1
    assert await profile.map("inner").counter("logins").decrement(3) == -3


async def test_concurrent_increments_all_count(eu: Client) -> None:
    counter = eu.counter("busy")
    await asyncio.gather(*(counter.increment(amount) for amount in range(1, 101)))
    assert await counter.value() == 5050


async def test_concurrent_increments_of_several_clients_all_count(cluster: LocalCluster, eu: Client) -> None:
    async def one_client(address: str) -> None:
        async with crdtkv.connect(address) as kv:
            await asyncio.gather(*(kv.counter("crowd").increment() for _ in range(50)))

    await asyncio.gather(*(one_client(address) for address in addresses(cluster.config, "eu")))
    assert await eu.counter("crowd").value() == 150


async def test_a_deleted_counter_begins_at_zero_again(eu: Client) -> None:
    counter = eu.counter("reset")
    await counter.increment(5)
    await counter.delete()
    assert await counter.value() == 0
    assert not (await counter.entry()).exists
    await counter.increment(2)
    assert await counter.value() == 2


async def test_of_last_writer_wins_values_the_last_one_is_kept(eu: Client) -> None:
    settings = eu.lww()
    for number in range(10):
        await settings.put("theme", number)
    assert (await settings.entry("theme")).siblings == [9]
    await settings.delete("theme")
    assert await settings.get("theme") is None
    await settings.put("theme", "dark")
    assert await settings.get("theme") == "dark"


# What handles tell without being read as a whole.


@pytest.mark.parametrize("kind", ["set", "rwset", "gset"])
async def test_a_set_tells_what_it_contains_and_how_many(eu: Client, kind: str) -> None:
    members: Any = eu.of_type(kind, "asked")
    assert (await members.size(), await members.contains("book")) == (0, False)
    await members.add("book", 1, (1, "two"))
    assert await members.size() == 3
    assert [await members.contains(one) for one in ("book", 1, (1, "two"), 1.0, True, "lamp")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert await members.members() == {"book", 1, (1, "two")}


async def test_a_map_tells_its_names_and_fields(eu: Client) -> None:
    fields = eu.map("asked")
    assert (await fields.keys(), await fields.items(), await fields.size()) == ([], [], 0)
    await fields.register("name").put("Ada")
    await fields.counter("name").increment(2)
    await fields.register("name:counter").put("a name")
    await fields.register(b"\xff").put("bytes")
    await fields.register("0xff").put("text")
    expected = {
        "name:register": "Ada", "name:counter": 2, "name:counter:register": "a name", b"\xff": "bytes", "0xff": "text",
    }  # fmt: skip
    assert await fields.value() == expected
    assert dict(await fields.items()) == expected
    assert set(await fields.keys()) == set(expected)
    assert await fields.size() == len(expected)
    assert await fields.contains("name")
    assert await fields.contains("name", of_type="counter")
    assert not await fields.contains("name", of_type="set")
    assert not await fields.contains("other")
    await fields.counter("name").delete()
    assert not await fields.contains("name", of_type="counter")


async def test_the_union_of_sketches_counts_what_is_in_several_once(eu: Client) -> None:
    await eu.hll("monday").add(*range(1000))
    await eu.hll("tuesday").add(*range(500, 1500))
    await eu.bucket("carts").hll("wednesday").add(*range(1400, 2000))
    monday = eu.hll("monday")
    assert await monday.count_union("tuesday") == pytest.approx(1500, rel=0.05)
    assert await monday.count_union("tuesday", eu.bucket("carts").hll("wednesday")) == pytest.approx(2000, rel=0.05)
    assert await monday.count_union() == await monday.count()
    assert await eu.hll("no day").count_union("nor this") == 0
    fields = eu.map("days")
    await fields.hll("monday").add("a", "b")
    await fields.hll("tuesday").add("b", "c")
    assert await fields.hll("monday").count_union("tuesday") == 3


async def test_types_and_buckets_do_not_share_keys(eu: Client) -> None:
    await eu.put("same", "register")
    await eu.lww().put("same", "lww")
    await eu.counter("same").increment(3)
    await eu.bucket("carts").put("same", "carts")
    assert await eu.get("same") == "register"
    assert await eu.lww().get("same") == "lww"
    assert await eu.counter("same").value() == 3
    assert await eu.bucket("carts").get("same") == "carts"
    assert await eu.bucket("packages").get("same") is None


# Many keys, and scans.


async def test_a_scan_goes_on_where_an_earlier_one_ended(eu: Client) -> None:
    await eu.put_many({f"pages:{number}": number for number in range(300)})
    await eu.delete("pages:7")
    everything = [key async for key, _ in eu.scan("pages:")]
    assert len(everything) == 299
    for limit in (1, 40, 299):
        pages: list[str | bytes] = []
        while page := [key async for key, _ in eu.scan("pages:", after=pages[-1] if pages else None, limit=limit)]:
            assert len(page) <= limit
            pages += page
        assert pages == everything


async def test_a_scan_may_begin_behind_a_key_that_is_not_there(eu: Client) -> None:
    await eu.put_many({f"behind:{number}": number for number in range(30)})
    everything = [key async for key, _ in eu.scan("behind:")]
    await eu.delete(everything[9])
    assert [key async for key, _ in eu.scan("behind:", after=everything[9], limit=5)] == everything[10:15]


async def test_many_keys_are_written_and_read_at_once(eu: Client) -> None:
    values = {f"many:{number}": number for number in range(1_000)}
    assert await eu.put_many(values) == dict.fromkeys(values)
    assert await eu.get_many(values) == values
    assert await eu.get_many(["many:5", "many:absent", "many:5"]) == {"many:5": 5, "many:absent": None}


async def test_of_many_keys_the_wrong_ones_bring_their_error_and_the_others_are_written(eu: Client) -> None:
    told = await eu.put_many({"partly": 1, "": 2, "x" * 1025: 3})
    assert told["partly"] is None
    assert isinstance(told[""], InvalidKey)
    assert isinstance(told["x" * 1025], InvalidKey)
    read = await eu.get_many(["partly", ""])
    assert read["partly"] == 1
    assert isinstance(read[""], InvalidKey)


async def test_a_scan_meets_every_key_of_its_prefix_once_and_no_other(eu: Client) -> None:
    bucket = eu.bucket("packages")
    await bucket.put_many({f"in:{number}": number for number in range(700)})
    await bucket.put_many({f"out:{number}": number for number in range(50)})
    await bucket.lww().put("in:lww", 1)
    await bucket.counter("in:counter").increment()
    await bucket.delete("in:13")
    met = [(key, entry.value) async for key, entry in bucket.scan("in:")]
    assert sorted(met) == sorted((f"in:{number}", number) for number in range(700) if number != 13)
    everything = {key async for key, _ in bucket.scan()}
    assert {key for key, _ in met} | {f"out:{number}" for number in range(50)} <= everything
    assert [key async for key, _ in bucket.scan("nothing")] == []


async def test_large_values_are_scanned_page_by_page(eu: Client) -> None:
    values = {f"big:{number}": bytes([number]) * 300_000 for number in range(20)}
    assert set((await eu.put_many(values)).values()) == {None}
    assert {key: entry.value async for key, entry in eu.scan("big:")} == values


async def test_other_types_are_scanned_through_their_own_handles(eu: Client) -> None:
    await eu.lww().put("typed:lww", 1)
    await eu.counter("typed:counter").increment(2)
    assert [(key, entry.value) async for key, entry in eu.lww().scan("typed:")] == [("typed:lww", 1)]
    assert [(key, entry.value) async for key, entry in eu.keys_of("counter").scan("typed:")] == [("typed:counter", 2)]
    assert [key async for key, _ in eu.scan("typed:")] == []


# Across data centers, and the connection itself.


async def test_a_write_in_one_data_center_is_read_in_the_other(eu: Client, us: Client) -> None:
    await eu.put("travels", {"from": "eu"})
    await us.counter("travels").increment(4)
    await us.lww().put("travels", "from us")
    assert await eventually(lambda: us.get("travels"), lambda value: value is not None) == {"from": "eu"}
    assert await eventually(eu.counter("travels").value, bool) == 4
    assert await eventually(lambda: eu.lww().get("travels"), bool) == "from us"


async def test_a_delete_in_one_data_center_is_seen_in_the_other(eu: Client, us: Client) -> None:
    await eu.put("travels back", 1)
    await eventually(lambda: us.get("travels back"), lambda value: value == 1)
    await us.delete("travels back")
    await eventually(lambda: eu.get("travels back"), lambda value: value is None)
    assert not (await us.entry("travels back")).exists


async def test_a_client_goes_first_to_the_data_center_it_was_told(cluster: LocalCluster) -> None:
    async with crdtkv.connect(cluster.config, datacenter="us") as kv:
        assert kv.datacenter == "us"
        assert [node.name for node in kv.topology.nodes] == ["us-1", "us-2", "us-3"]
        assert kv.buckets == ["carts", "default", "packages"]


async def test_one_address_is_enough_to_find_all_nodes(cluster: LocalCluster) -> None:
    async with crdtkv.connect(addresses(cluster.config, "eu")[2]) as kv:
        told = await eventually(kv.status, lambda told: all(told.values()))
        assert sorted(told) == ["eu-1", "eu-2", "eu-3"]
        assert {node["datacenter"] for node in told.values() if node} == {"eu"}


async def test_a_client_may_be_awaited_and_closed(cluster: LocalCluster) -> None:
    kv = await crdtkv.connect(cluster.directory / "datacenters.yaml")
    await kv.put("awaited", 1)
    await kv.close()
    with pytest.raises(crdtkv.ClosedError):
        await kv.put("awaited", 2)
