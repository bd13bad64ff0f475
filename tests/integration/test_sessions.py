"""Sessions: a session sees what it has read or written, also at other nodes, or gets an error."""

import asyncio

import pytest

from crdtkv import ONE, Client, InvalidRequest, StaleReplica
from crdtkv.local.cluster import LocalCluster

from .waiting import nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]


async def test_a_session_that_goes_on_in_another_data_center_waits_for_what_it_has_written(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    await nothing_lags(eu, us)
    cluster.cut("eu", "us")
    here = eu.session()
    await here.put("session:name", "Ada")
    await here.counter("session:visits").increment(3)
    await here.map("session:profile").register("city").put("Zürich")
    there = us.session(here.token)
    for read in (
        there.get("session:name", timeout=0.2),
        there.counter("session:visits").value(timeout=0.2),
        there.map("session:profile").value(timeout=0.2),
        _scanned(there, timeout=0.2),
    ):
        with pytest.raises(StaleReplica, match="this data center has not received"):
            await read
    assert await us.get("session:name") is None, "who has no session is told what is there"
    waiting = asyncio.create_task(there.get("session:name", timeout=30, consistency=ONE))
    cluster.heal("eu", "us")
    assert await waiting == "Ada"
    assert await there.counter("session:visits").value(timeout=30) == 3
    assert await there.map("session:profile").value(timeout=30) == {"city": "Zürich"}
    assert await _scanned(there, timeout=30) == {"session:name": "Ada"}


async def _scanned(kv: Client, timeout: float) -> dict[str | bytes, object]:
    return {key: entry.value async for key, entry in kv.scan("session:name", timeout=timeout)}


async def test_a_session_does_not_go_back_in_time_when_it_moves(cluster: LocalCluster, eu: Client, us: Client) -> None:
    await eu.put("session:step", 1)
    await nothing_lags(eu, us)
    cluster.cut("eu", "us")
    await eu.put("session:step", 2)
    reader = eu.session()
    assert await reader.get("session:step") == 2
    moved = us.session(reader.token)
    with pytest.raises(StaleReplica):
        await moved.get("session:step", timeout=0.2)
    cluster.heal("eu", "us")
    assert await moved.get("session:step", timeout=30) == 2


async def test_sessions_are_joined_and_a_write_comes_after_all_that_was_seen(eu: Client, us: Client) -> None:
    first, second = eu.session(), us.session()
    await first.lww().put("session:theme", "dark")
    await second.put("session:other", 1)
    second.take(first.token)
    await second.lww().put("session:theme", "light")
    first.take(second.token)
    assert await first.lww().get("session:theme", timeout=30) == "light"
    assert await first.get("session:other", timeout=30) == 1


async def test_what_a_session_has_deleted_stays_deleted_for_it(eu: Client, us: Client) -> None:
    session = eu.session()
    await session.put("session:gone", "x")
    await session.delete("session:gone")
    there = us.session(session.token)
    assert await there.get("session:gone", timeout=30) is None
    assert {key async for key, _ in there.scan("session:gone")} == set()


async def test_other_buckets_and_many_keys_are_in_the_session(eu: Client, us: Client) -> None:
    session = eu.session()
    other = session.bucket("carts")
    await other.put("session:a", 1)
    await session.put_many({f"session:many:{number}": number for number in range(20)})
    there = us.session(session.token)
    assert await there.bucket("carts").get("session:a", timeout=30) == 1
    assert await there.get_many([f"session:many:{number}" for number in range(20)], timeout=30) == {
        f"session:many:{number}": number for number in range(20)
    }


@pytest.mark.parametrize("token", ["", "no token", "AAAA", "ö"])
async def test_what_is_no_token_is_refused(eu: Client, token: str) -> None:
    with pytest.raises(InvalidRequest, match="not the token of a session"):
        eu.session(token)
