"""Calls that are wrong: each has its own error, which says so before anything is written."""

import asyncio
import contextlib
import datetime as dt
import math
from collections.abc import Awaitable, Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import crdtkv
from crdtkv import (
    Client,
    CrdtkvError,
    InvalidKey,
    InvalidRequest,
    NoNodeReachable,
    Quorum,
    UnknownBucket,
    ValueTooLarge,
)
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import free_ports

from .conftest import addresses
from .waiting import nothing_lags

pytestmark = pytest.mark.asyncio(loop_scope="session")

Act = Callable[[Client], Awaitable[Any]]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


#: Together more than a frame may have.
LARGE = [bytes([number]) * 500_000 for number in range(40)]


async def scan_all(bucket: crdtkv.Bucket) -> list[Any]:
    return [key async for key, _ in bucket.scan()]


WRONG: dict[str, tuple[type[CrdtkvError], str, Act]] = {
    "empty key": (InvalidKey, "1 to 1024 bytes", lambda kv: kv.put("", 1)),
    "empty bytes key": (InvalidKey, "1 to 1024 bytes", lambda kv: kv.get(b"")),
    "key of 1025 bytes": (InvalidKey, "this one has 1025", lambda kv: kv.put("x" * 1025, 1)),
    "key of 1026 bytes in 513 letters": (InvalidKey, "this one has 1026", lambda kv: kv.put("é" * 513, 1)),
    "key that is a number": (InvalidKey, "not int", lambda kv: kv.put(7, 1)),  # type: ignore[type-var]
    "counter key too long": (InvalidKey, "this one has 2000", lambda kv: kv.counter("x" * 2000).increment()),
    "value too large": (ValueTooLarge, "the limit is 524288", lambda kv: kv.put("wrong", b"x" * (512 * 1024))),
    "value far too large": (ValueTooLarge, "split it", lambda kv: kv.put("wrong", "x" * 9_000_000)),
    "value nested too deeply": (InvalidRequest, "at most 16 deep", lambda kv: kv.put("wrong", nested(17))),
    "value nested absurdly": (InvalidRequest, "at most 16 deep", lambda kv: kv.put("wrong", nested(100_000))),
    "value no CBOR knows": (InvalidRequest, "type object", lambda kv: kv.put("wrong", object())),
    "value with a function inside": (InvalidRequest, "cannot be stored", lambda kv: kv.put("wrong", [print])),
    "unknown bucket, put": (UnknownBucket, "'nobody'", lambda kv: kv.bucket("nobody").put("wrong", 1)),
    "unknown bucket, get": (UnknownBucket, "'nobody'", lambda kv: kv.bucket("nobody").get("wrong")),
    "unknown bucket, delete": (UnknownBucket, "'nobody'", lambda kv: kv.bucket("nobody").delete("wrong")),
    "unknown bucket, counter": (UnknownBucket, "'nobody'", lambda kv: kv.bucket("nobody").counter("w").increment()),
    "unknown bucket, scan": (UnknownBucket, "'nobody'", lambda kv: scan_all(kv.bucket("nobody"))),
    "unknown level, put": (InvalidRequest, "one of ANY", lambda kv: kv.put("wrong", 1, consistency="MOST")),
    "unknown level, get": (InvalidRequest, "one of ANY", lambda kv: kv.get("wrong", consistency="")),
    "level of a wrong type": (InvalidRequest, "level", lambda kv: kv.get("wrong", consistency=3)),  # type: ignore[arg-type]
    "more replicas than there are, put": (
        InvalidRequest,
        "than the 3 there are",
        lambda kv: kv.put("wrong", 1, consistency=Quorum(r=1, w=4)),
    ),
    "more replicas than there are, get": (
        InvalidRequest,
        "than the 3 there are",
        lambda kv: kv.get("wrong", consistency=Quorum(r=4, w=1)),
    ),
    "increment by a fraction": (InvalidRequest, "whole number", lambda kv: kv.counter("wrong").increment(1.5)),  # type: ignore[arg-type]
    "increment by text": (InvalidRequest, "whole number", lambda kv: kv.counter("wrong").increment("1")),  # type: ignore[arg-type]
    "increment by a truth": (InvalidRequest, "whole number", lambda kv: kv.counter("wrong").increment(True)),
    "increment by too much": (InvalidRequest, "2**63", lambda kv: kv.counter("wrong").increment(2**63)),
    "context that is none": (InvalidRequest, "`.context` of an entry", lambda kv: kv.put("wrong", 1, context="c")),  # type: ignore[arg-type]
    "time to live that is none": (InvalidRequest, "time to live", lambda kv: kv.put("wrong", 1, ttl=math.nan)),
    "time to live of text": (InvalidRequest, "time to live", lambda kv: kv.counter("wrong").increment(ttl="5")),  # type: ignore[arg-type]
    "prefix that is no text": (InvalidRequest, "a prefix is", lambda kv: nothing(kv.scan(7))),  # type: ignore[arg-type]
    "scan behind no key": (InvalidKey, "1 to 1024 bytes", lambda kv: nothing(kv.scan(after=""))),
    "scan of no keys": (InvalidRequest, "a limit is", lambda kv: nothing(kv.scan(limit=0))),
    "watched prefix that is no text": (InvalidRequest, "a prefix is", lambda kv: nothing(kv.watch(7))),  # type: ignore[arg-type]
    "watched type that is none": (InvalidRequest, "unknown type", lambda kv: nothing(kv.watch(of_type=[]))),  # type: ignore[arg-type]
    "token of a watch that is none": (InvalidRequest, "not a watch token", lambda kv: nothing(kv.watch(token=7))),  # type: ignore[arg-type]
    "token of a session that is none": (InvalidRequest, "not the token", lambda kv: kv.session("x").get("wrong")),
    "name of a field that is none": (InvalidKey, "not int", lambda kv: kv.map("m").counter(7).increment()),  # type: ignore[arg-type]
    "key that is no UTF-8": (InvalidKey, "UTF-8", lambda kv: kv.put("caf\udce9", 1)),
    "codec that is a type": (InvalidRequest, "of= takes a codec", lambda kv: kv.set("wrong", of=str).add("x")),  # type: ignore[arg-type]
    "no members": (InvalidRequest, "one or more", lambda kv: kv.set("wrong").add()),
    "members of more than an entry": (ValueTooLarge, "the limit is 524288", lambda kv: kv.set("wrong").add(*LARGE[:2])),
    "members of more than a frame": (ValueTooLarge, "the limit is 524288", lambda kv: kv.gset("wrong").add(*LARGE)),
    "removes of more than a frame": (ValueTooLarge, "the limit is 8388608", lambda kv: kv.set("w").remove(*LARGE)),
    "elements of more than a frame": (ValueTooLarge, "the limit is 8388608", lambda kv: kv.hll("wrong").add(*LARGE)),
    "too many elements": (InvalidRequest, "at most 10,000", lambda kv: kv.hll("wrong").add(*range(10_001))),
    "partition that there is not": (InvalidRequest, "are numbered from 0", lambda kv: kv.repair(partition=2**70)),
    "identity that is text": (InvalidRequest, "an identity is bytes", lambda kv: kv.inspect("text")),  # type: ignore[arg-type]
    "many keys that are one": (InvalidRequest, "several keys", lambda kv: kv.get_many("wrong")),
    "many values that are a list": (InvalidRequest, "a dictionary", lambda kv: kv.put_many([1])),  # type: ignore[arg-type]
    "level that was made up": (
        InvalidRequest,
        "no such level",
        lambda kv: kv.get("wrong", consistency=crdtkv.ConsistencyLevel(7)),  # type: ignore[arg-type]
    ),
}


async def nothing(_: object) -> None:
    """Stand for a call that is refused before there is anything to wait for."""


NO_NUMBERS: list[Any] = [
    2**63,
    -(2**63),
    2**64,
    "1",
    True,
    None,
    Decimal(3),
    Fraction(1, 3),
    dt.date(2024, 2, 29),
    object,
]
NO_NUMBERS += [math.nan, math.inf]
SET_TO: dict[str, Callable[[Client, Any], Awaitable[Any]]] = {
    "maxreg": lambda kv, number: kv.maxreg("wrong").set(number),
    "minreg": lambda kv, number: kv.minreg("wrong").set(number),
    "score": lambda kv, number: kv.board("wrong").set("m", number),
    "score of a field": lambda kv, number: kv.map("wrong").board("b").set("m", number),
    "increment of a score": lambda kv, number: kv.board("wrong").increment("m", number),
    "increment": lambda kv, number: kv.counter("wrong").increment(number),
    "decrement": lambda kv, number: kv.counter("wrong").decrement(number),
    "increment of a bcounter": lambda kv, number: kv.bcounter("wrong").increment(number),
    "decrement of a bcounter": lambda kv, number: kv.bcounter("wrong").decrement(number),
}


@pytest.mark.parametrize("number", NO_NUMBERS, ids=repr)
async def test_what_is_no_number_is_refused_at_once_and_nobody_beside_it_notices(eu: Client, number: Any) -> None:
    links = links_of(eu)
    for act in SET_TO.values():
        wrong, *right = await asyncio.gather(
            act(eu, number), *(eu.put(f"innocent {n}", n) for n in range(20)), return_exceptions=True
        )
        assert type(wrong) is InvalidRequest
        assert set(map(type, right)) == {crdtkv.Written}
    assert links_of(eu) == links, "a link that broke would be another one now"


def links_of(kv: Client) -> dict[str, object]:
    """Return the links of a client by node."""
    connections = kv._host._connections
    return {name: connections[link.number]._link for name, link in kv._routing.views[0].links.items()}


NO_TIMEOUTS: list[Any] = [math.inf, math.nan, 0, -1, 1e17, "5", True, Decimal(5)]
WITH_TIMEOUT: dict[str, Callable[[Client, Any], Awaitable[Any]]] = {
    "get": lambda kv, timeout: kv.get("wrong", timeout=timeout),
    "entry": lambda kv, timeout: kv.entry("wrong", timeout=timeout),
    "put": lambda kv, timeout: kv.put("wrong", 1, timeout=timeout),
    "delete": lambda kv, timeout: kv.delete("wrong", timeout=timeout),
    "update": lambda kv, timeout: kv.update("wrong", lambda value: 1, timeout=timeout),
    "put_many": lambda kv, timeout: kv.put_many({"wrong": 1}, timeout=timeout),
    "get_many": lambda kv, timeout: kv.get_many(["wrong"], timeout=timeout),
    "counter": lambda kv, timeout: kv.counter("wrong").increment(timeout=timeout),
    "members": lambda kv, timeout: kv.set("wrong").members(timeout=timeout),
    "map": lambda kv, timeout: kv.map("wrong").keys(timeout=timeout),
    "session": lambda kv, timeout: kv.session().get("wrong", timeout=timeout),
    "scan": lambda kv, timeout: nothing(kv.scan(timeout=timeout)),
    "status": lambda kv, timeout: kv.status(timeout=timeout),
    "repair": lambda kv, timeout: kv.repair(timeout=timeout),
    "inspect": lambda kv, timeout: kv.inspect(b"default\0register\0wrong", timeout=timeout),
    "connect": lambda kv, timeout: nothing(crdtkv.connect("127.0.0.1:7401", timeout=timeout)),
}


@pytest.mark.parametrize("timeout", NO_TIMEOUTS, ids=repr)
async def test_a_timeout_that_is_none_is_refused_at_once_by_every_call(eu: Client, timeout: Any) -> None:
    for act in WITH_TIMEOUT.values():
        with pytest.raises(InvalidRequest, match="a timeout is in seconds, above 0"):
            await act(eu, timeout)
    assert not (await eu.entry("wrong")).exists


@pytest.mark.parametrize("name", sorted(WRONG))
async def test_a_wrong_call_has_its_own_error_and_writes_nothing(eu: Client, name: str) -> None:
    kind, message, act = WRONG[name]
    with pytest.raises(CrdtkvError) as caught:
        await act(eu)
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert not caught.value.maybe_applied
    assert not (await eu.entry("wrong")).exists
    assert not (await eu.counter("wrong").entry()).exists


async def test_wrong_calls_leave_nothing_to_replicate(eu: Client) -> None:
    await nothing_lags(eu)
    for _, _, act in WRONG.values():
        with contextlib.suppress(Exception):  # which error it is has a test of its own
            await act(eu)
    assert [node["outbox_rows"] for node in (await eu.status()).values() if node] == [0, 0, 0]


async def test_a_value_too_large_brings_its_figures(eu: Client) -> None:
    with pytest.raises(ValueTooLarge) as caught:
        await eu.put("wrong", b"x" * 600_000)
    assert caught.value.size_bytes == 600_005
    assert caught.value.limit_bytes == 524_288


async def test_a_quorum_of_less_than_one_cannot_be_made() -> None:
    for read, write in ((0, 1), (1, 0), (-1, 1), (1.5, 1)):
        with pytest.raises(InvalidRequest):
            Quorum(r=read, w=write)  # type: ignore[arg-type]


async def test_a_last_writer_wins_value_takes_no_context(eu: Client) -> None:
    await eu.lww().put("stamped", 1)
    entry = await eu.lww().entry("stamped")
    with pytest.raises(InvalidRequest, match="takes no context"):
        await eu.lww().put("stamped", 2, context=entry.context)
    with pytest.raises(InvalidRequest, match="takes no context"):
        await eu.lww().delete("stamped", context=entry.context)
    assert await eu.lww().get("stamped") == 1


async def test_a_context_that_was_read_from_another_key_is_refused(eu: Client) -> None:
    await eu.put("one", 1)
    await eu.put("other", 1)
    context = (await eu.entry("one")).context
    for act in (eu.put("other", 2, context=context), eu.delete("other", context=context)):
        with pytest.raises(InvalidRequest, match=r"was read from default/register/one"):
            await act
    with pytest.raises(InvalidRequest, match=r"was read from default/register/one"):
        await eu.bucket("carts").put("one", 2, context=context)
    assert await eu.get("other") == 1


async def test_siblings_that_would_make_an_entry_too_large_are_refused(eu: Client) -> None:
    before = (await eu.entry("swollen")).context
    for number in range(4):
        await eu.put("swollen", bytes([number]) * 120_000, context=before)
    with pytest.raises(ValueTooLarge):
        await eu.put("swollen", b"\xff" * 120_000, context=before)
    entry = await eu.entry("swollen")
    assert sorted(value[0] for value in entry.siblings) == [0, 1, 2, 3]
    await eu.put("swollen", "resolved", context=entry.context)
    assert (await eu.entry("swollen")).siblings == ["resolved"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "grüße", "a.b", 7])
async def test_a_bucket_with_an_impossible_name_is_refused_at_once(eu: Client, name: Any) -> None:
    with pytest.raises(InvalidKey):
        eu.bucket(name)


async def test_connecting_to_nobody_says_where_it_tried() -> None:
    port = free_ports(1)[0]
    with pytest.raises(NoNodeReachable, match=f"no node answers at 127.0.0.1:{port}: is the cluster running"):
        await crdtkv.connect(f"127.0.0.1:{port}", timeout=0.5)


@pytest.mark.parametrize("target", ["nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", ":7401"])
async def test_a_malformed_address_is_refused(target: str) -> None:
    with pytest.raises(InvalidRequest, match="host:port"):
        await crdtkv.connect(target)


async def test_connecting_to_another_cluster_is_refused_with_both_names(cluster: LocalCluster) -> None:
    other = cluster.config.model_copy(update={"cluster": "bank"})
    with pytest.raises(CrdtkvError, match=r"'bank'.*'shop'|'shop'.*'bank'"):
        await crdtkv.connect(other, timeout=2)


async def test_connecting_to_an_unknown_data_center_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(InvalidRequest, match="no data center 'mars' in the configuration: one of eu, us"):
        await crdtkv.connect(cluster.config, datacenter="mars")


async def test_one_good_address_among_dead_ones_is_found(cluster: LocalCluster) -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    async with crdtkv.connect(dead, addresses(cluster.config, "eu")[1]) as kv:
        await kv.put("found", 1)
        assert await kv.get("found") == 1
