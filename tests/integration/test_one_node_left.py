"""One node of three is left: quorums are refused with their figures and write nothing, ONE and ANY still serve."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import ANY, LOCAL_ALL, LOCAL_QUORUM, ONE, Client, CrdtkvError, Quorum, Unavailable
from crdtkv.local.cluster import LocalCluster

from .conftest import addresses
from .waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
NEEDS_OWN_CLUSTER = True


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def last_one(cluster: LocalCluster, eu: Client) -> AsyncIterator[Client]:
    """A client of eu-1, which alone is left of its data center, and knows it."""
    old = {f"before:{number}": "old" for number in range(50)}
    await eventually(lambda: eu.put_many(old, consistency=LOCAL_ALL), lambda told: set(told.values()) == {None})
    async with crdtkv.connect(addresses(cluster.config, "eu")[0]) as kv:
        await asyncio.gather(cluster.nodes["eu-2"].kill(), cluster.nodes["eu-3"].kill())

        async def linked() -> list[str] | None:
            node = (await kv.status())["eu-1"]
            return node["peers_up"] if node else None

        await eventually(linked, lambda names: names == [])
        yield kv


async def test_with_one_node_of_three_left_quorums_are_refused_with_their_figures(last_one: Client) -> None:
    for level, required in ((LOCAL_QUORUM, 2), (LOCAL_ALL, 3), (Quorum(r=2, w=2), 2)):
        for act in (
            last_one.put("before:1", "new", consistency=level),
            last_one.delete("before:1", consistency=level),
            last_one.counter("refused").increment(consistency=level),
            last_one.lww().put("refused", 1, consistency=level),
            last_one.get("before:1", consistency=level),
        ):
            with pytest.raises(Unavailable) as caught:
                await act
            assert (caught.value.required, caught.value.alive) == (required, 1)
            assert not caught.value.maybe_applied
    assert await last_one.get("before:1", consistency=ONE) == "old"
    assert await last_one.counter("refused").value(consistency=ONE) == 0
    assert not (await last_one.lww().entry("refused", consistency=ONE)).exists


async def test_with_one_node_of_three_left_a_scan_at_a_quorum_is_refused(last_one: Client) -> None:
    with pytest.raises(Unavailable) as caught:
        [key async for key, _ in last_one.scan("before:", consistency=LOCAL_QUORUM)]
    assert (caught.value.required, caught.value.alive) == (2, 1)


async def test_with_one_node_of_three_left_one_and_any_still_serve(
    cluster: LocalCluster, last_one: Client, us: Client
) -> None:
    for level in (ONE, ANY, Quorum(r=1, w=1)):
        key = f"alone at {level!r}"
        await last_one.put(key, "written alone", consistency=level)
        assert await last_one.get(key, consistency=level) == "written alone"
        await last_one.counter(key).increment(5, consistency=level)
        assert await last_one.counter(key).value(consistency=level) == 5
    assert await last_one.get("before:1", consistency=ONE) == "old"
    assert len([key async for key, _ in last_one.scan("before:", consistency=ONE)]) == 50
    assert await eventually(lambda: us.get("alone at ONE"), bool) == "written alone"
    assert await eventually(us.counter("alone at ANY").value, bool) == 5


async def test_many_keys_at_a_quorum_are_refused_one_by_one(last_one: Client) -> None:
    told = await last_one.put_many({f"refused:{number}": 1 for number in range(20)})
    assert all(isinstance(error, Unavailable) for error in told.values())
    read = await last_one.get_many(told)
    assert all(isinstance(error, Unavailable) for error in read.values())


async def test_quorums_are_met_again_when_a_second_node_is_back(cluster: LocalCluster, last_one: Client) -> None:
    await last_one.put("alone", "written alone", consistency=ONE)
    await cluster.start_node("eu-2", ready=False)  # it would wait a while for the third one

    async def write() -> CrdtkvError | None:
        try:
            await last_one.put("together", 1, consistency=LOCAL_QUORUM)
        except Unavailable as error:
            return error
        return None

    await eventually(write, lambda error: error is None)
    assert await last_one.get("together", consistency=LOCAL_QUORUM) == 1
    # The node that was away learns by read repair what was written without it.
    assert await last_one.get("alone", consistency=LOCAL_QUORUM) == "written alone"
