"""Data centers that are cut apart: both go on, and when the cut heals neither side's writes are lost.

Healing takes a moment, so one cut serves most stories: `after_a_cut` writes them, each test looks at one.
"""

import asyncio

import pytest
import pytest_asyncio

from crdtkv import LOCAL_ALL, Client
from crdtkv.local.cluster import LocalCluster

from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

CONTESTED = [f"contested:{number}" for number in range(100)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def after_a_cut(cluster: LocalCluster, eu: Client, us: Client) -> None:
    """Write on both sides of a cut, and return when it has healed and nothing lags."""
    for key in ("apart:replaced", "apart:deleted there", "apart:deleted on both"):
        await eu.put(key, "old")
    await eu.counter("apart:views").increment(1)
    await eu.counter("apart:reset").increment(100)
    await nothing_lags(eu, us)

    cluster.cut("eu", "us")
    await asyncio.gather(eu.put("apart:cart", ["book"]), us.put("apart:cart", ["lamp"]))
    await asyncio.gather(eu.put("apart:to resolve", "one"), us.put("apart:to resolve", "other"))
    await us.put("apart:replaced", "new")
    await eu.put("apart:deleted there", "new")
    await us.delete("apart:deleted there")
    await asyncio.gather(eu.delete("apart:deleted on both"), us.delete("apart:deleted on both"))
    await asyncio.gather(*(eu.counter("apart:views").increment(2) for _ in range(10)))
    await asyncio.gather(*(us.counter("apart:views").decrement(1) for _ in range(5)))
    await eu.counter("apart:reset").delete()
    await us.counter("apart:reset").increment(3)
    await eu.lww().put("apart:theme", "dark")
    await us.lww().put("apart:theme", "light")
    for client in (eu, us):
        told = await client.put_many(dict.fromkeys(CONTESTED, client.datacenter))
        assert set(told.values()) == {None}

    assert await eu.get("apart:cart") == ["book"]
    assert await us.get("apart:cart") == ["lamp"]
    assert await eu.get("apart:replaced") == "old"
    assert await us.get("apart:deleted there") is None
    assert await eu.counter("apart:views").value() == 21
    assert await us.counter("apart:views").value() == -4
    cluster.heal("eu", "us")
    await nothing_lags(eu, us)


async def siblings(eu: Client, us: Client, key: str) -> list[object]:
    """Return the siblings of a key, which must be the same on both sides."""
    here, there = await asyncio.gather(eu.entry(key), us.entry(key))
    assert here.siblings == there.siblings
    assert here.context == there.context
    return here.siblings


async def test_concurrent_puts_are_kept_as_siblings_on_both_sides(after_a_cut: None, eu: Client, us: Client) -> None:
    assert sorted(await siblings(eu, us, "apart:cart")) == [["book"], ["lamp"]]


async def test_of_many_contested_keys_both_sides_have_the_same_siblings(
    after_a_cut: None, eu: Client, us: Client
) -> None:
    for key in CONTESTED:
        assert sorted(await siblings(eu, us, key)) == ["eu", "us"]


async def test_a_scan_shows_the_siblings(after_a_cut: None, eu: Client) -> None:
    found = {key: sorted(entry.siblings) async for key, entry in eu.scan("contested:")}
    assert found == {key: ["eu", "us"] for key in CONTESTED}


async def test_resolving_with_the_context_leaves_one_value_on_both_sides(
    after_a_cut: None, eu: Client, us: Client
) -> None:
    entry = await us.entry("apart:to resolve")
    assert sorted(entry.siblings) == ["one", "other"]
    await us.put("apart:to resolve", "both", context=entry.context)
    await eventually(lambda: eu.entry("apart:to resolve"), lambda entry: entry.siblings == ["both"])
    assert await siblings(eu, us, "apart:to resolve") == ["both"]


async def test_what_one_side_replaced_does_not_come_back(after_a_cut: None, eu: Client, us: Client) -> None:
    assert await siblings(eu, us, "apart:replaced") == ["new"]


async def test_a_put_survives_a_concurrent_delete(after_a_cut: None, eu: Client, us: Client) -> None:
    assert await siblings(eu, us, "apart:deleted there") == ["new"]


async def test_what_both_sides_deleted_stays_away(after_a_cut: None, eu: Client, us: Client) -> None:
    assert await siblings(eu, us, "apart:deleted on both") == []


async def test_counters_add_up_what_both_sides_counted(after_a_cut: None, eu: Client, us: Client) -> None:
    assert await eu.counter("apart:views").value() == 16
    assert await us.counter("apart:views").value() == 16


async def test_a_reset_counter_keeps_what_the_other_side_counted_meanwhile(
    after_a_cut: None, eu: Client, us: Client
) -> None:
    assert await eu.counter("apart:reset").value() == 3
    assert await us.counter("apart:reset").value() == 3


async def test_of_last_writer_wins_values_both_sides_keep_the_later_one(
    after_a_cut: None, eu: Client, us: Client
) -> None:
    assert (await eu.lww().entry("apart:theme")).siblings == ["light"]
    assert (await us.lww().entry("apart:theme")).siblings == ["light"]


async def test_both_sides_serve_every_local_level_while_they_are_cut(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    cluster.cut("eu", "us")
    for client in (eu, us):
        values = {f"cut:{number}": client.datacenter for number in range(100)}
        assert set((await client.put_many(values, consistency=LOCAL_ALL)).values()) == {None}
        assert await client.get_many(values, consistency=LOCAL_ALL) == values
        assert len([key async for key, _ in client.scan("cut:", consistency=LOCAL_ALL)]) == 100


async def test_what_was_written_during_a_cut_waits_in_the_outbox_and_crosses_when_it_heals(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    await nothing_lags(eu, us)
    cluster.cut("eu", "us")
    values = {f"waiting:{number}": number for number in range(300)}
    assert set((await eu.put_many(values)).values()) == {None}
    lags = [node["lag"]["us"]["rows"] for node in (await eu.status()).values() if node]
    assert sum(lags) >= 300
    assert set((await us.get_many(values)).values()) == {None}
    cluster.heal("eu", "us")
    await nothing_lags(eu, us)
    assert await us.get_many(values) == values
