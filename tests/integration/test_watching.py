"""Watches of a real cluster: the current values, a mark, then changes; no key is skipped, whatever fails."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import crdtkv
from crdtkv import CAUGHT_UP, LOCAL_ALL, Change, Client, Watch
from crdtkv.client.core import subscription
from crdtkv.local.cluster import LocalCluster

from .conftest import addresses
from .load import Load
from .metrics import figure
from .waiting import PATIENCE_S, eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

Mirror = dict[tuple[str, str | bytes], Any]


async def take(watch: Watch[Any], mirror: Mirror) -> Change[Any] | None:
    """Take what comes next into the mirror; return it, None for the mark."""
    async with asyncio.timeout(PATIENCE_S):
        change = await anext(watch)
    if change is CAUGHT_UP:
        return None
    if change.is_deleted:
        mirror.pop((change.type_tag, change.key), None)
    else:
        mirror[change.type_tag, change.key] = change.value
    return change


async def initial(watch: Watch[Any], mirror: Mirror) -> int:
    """Take everything up to the mark; return how much that was."""
    count = 0
    while await take(watch, mirror) is not None:
        count += 1
    return count


async def until(watch: Watch[Any], mirror: Mirror, is_right: Callable[[Mirror], bool]) -> None:
    while not is_right(mirror):
        await take(watch, mirror)


def has_all(load: Load, mirror: Mirror) -> bool:
    return registers(load.acknowledged).items() <= mirror.items()


def registers(values: dict[str, Any]) -> Mirror:
    return {("register", key): value for key, value in values.items()}


async def test_a_watch_tells_what_is_there_then_a_mark_then_what_changes(eu: Client) -> None:
    values = {f"w1:{number}": number for number in range(200)}
    await eu.put_many(values, consistency=LOCAL_ALL)
    await eu.put("other", 1, consistency=LOCAL_ALL)
    async with eu.watch("w1:") as watch:
        mirror: Mirror = {}
        assert await initial(watch, mirror) == 200
        assert mirror == registers(values)
        await eu.put("other", 2)
        await eu.put("w1:3", "new")
        change = await take(watch, mirror)
        assert change is not None
        assert (change.type_tag, change.key, change.value, change.is_deleted) == ("register", "w1:3", "new", False)
        await eu.put("w1:3", "newer", context=change.context)
        await until(watch, mirror, lambda seen: seen["register", "w1:3"] == "newer")
        await eu.delete("w1:3")
        await until(watch, mirror, lambda seen: ("register", "w1:3") not in seen)


async def test_all_types_are_watched_or_one(eu: Client) -> None:
    await eu.counter("w2:hits").increment(3, consistency=LOCAL_ALL)
    await eu.set("w2:cart").add("book", consistency=LOCAL_ALL)
    await eu.map("w2:user").register("name").put("Ada", consistency=LOCAL_ALL)
    await eu.lww().put("w2:theme", "dark", consistency=LOCAL_ALL)
    async with eu.watch("w2:") as everything, eu.watch("w2:", of_type="counter") as counters:
        mirror: Mirror = {}
        hits: Mirror = {}
        await initial(everything, mirror)
        await initial(counters, hits)
        assert hits == {("counter", "w2:hits"): 3}
        assert mirror == hits | {
            ("set", "w2:cart"): {"book"},
            ("map", "w2:user"): {"name": "Ada"},
            ("lww", "w2:theme"): "dark",
        }
        await eu.set("w2:cart").add("lamp")
        await eu.counter("w2:hits").increment()
        await until(counters, hits, lambda seen: seen["counter", "w2:hits"] == 4)
        await until(everything, mirror, lambda seen: seen["counter", "w2:hits"] == 4)
        await until(everything, mirror, lambda seen: seen["set", "w2:cart"] == {"book", "lamp"})


async def test_values_come_through_the_codec_of_the_bucket_and_a_wrong_one_does_not_end_the_watch(eu: Client) -> None:
    await eu.bucket("carts").put("w3:wrong", 17, consistency=LOCAL_ALL)
    async with eu.bucket("carts", of=crdtkv.TEXT).watch("w3:") as watch:
        wrong = await anext(watch)
        assert wrong is not CAUGHT_UP
        assert not wrong.is_deleted
        with pytest.raises(crdtkv.InvalidRequest, match="str is expected"):
            wrong.value  # noqa: B018
        assert await anext(watch) is CAUGHT_UP
        await eu.bucket("carts").put("w3:right", "text")
        assert (await take(watch, {})).value == "text"  # type: ignore[union-attr]


async def test_a_watch_of_nothing_is_marked_at_once(eu: Client) -> None:
    async with eu.watch("w4: nothing") as watch:
        assert await initial(watch, {}) == 0


async def test_writes_of_another_data_center_are_told_also_those_made_during_a_cut(
    cluster: LocalCluster, eu: Client, us: Client
) -> None:
    async with eu.watch("w5:") as watch:
        mirror: Mirror = {}
        await initial(watch, mirror)
        await us.put("w5:far", "from us")
        await until(watch, mirror, lambda seen: seen == registers({"w5:far": "from us"}))
        cluster.cut("eu", "us")
        during = {f"w5:cut:{number}": number for number in range(50)}
        await us.put_many(during)
        await us.delete("w5:far")
        await eu.put("w5:near", 1)
        await until(watch, mirror, lambda seen: ("register", "w5:near") in seen)
        assert mirror == registers({"w5:far": "from us", "w5:near": 1})
        cluster.heal("eu", "us")
        await until(watch, mirror, lambda seen: seen == registers({**during, "w5:near": 1}))


async def test_another_client_goes_on_from_a_token(cluster: LocalCluster, eu: Client) -> None:
    values = {f"w6:{number}": number for number in range(300)}
    await eu.put_many(values, consistency=LOCAL_ALL)
    mirror: Mirror = {}
    async with eu.watch("w6:") as watch:
        await initial(watch, mirror)
        token = watch.token
    assert token.isascii()
    assert token.isprintable()
    await eu.put("w6:7", "meanwhile", consistency=LOCAL_ALL)
    await eu.delete("w6:8", consistency=LOCAL_ALL)
    async with crdtkv.connect(*addresses(cluster.config, "eu")) as kv, kv.watch("w6:", token=token) as watch:
        assert watch.token == token  # nothing was told yet
        assert await initial(watch, mirror) == 2
        assert mirror == registers(
            {key: value for key, value in values.items() if key != "w6:8"} | {"w6:7": "meanwhile"}
        )
        again = watch.token
    async with eu.watch("w6:", token=again) as watch:
        assert await initial(watch, {}) == 0


async def test_a_token_begins_with_the_whole_state_in_another_data_center(eu: Client, us: Client) -> None:
    await eu.put_many({f"w19:{number}": number for number in range(30)}, consistency=LOCAL_ALL)
    mirror: Mirror = {}
    async with eu.watch("w19:") as watch:
        await initial(watch, mirror)
        token = watch.token
    await nothing_lags(eu)
    there: Mirror = {}
    async with us.watch("w19:", token=token) as watch:
        await initial(watch, there)
        await until(watch, there, lambda seen: seen == mirror)
    assert len(there) == 30


async def test_a_token_taken_in_the_middle_of_the_initial_state_skips_nothing(
    eu: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PAGE_ROWS", 10)
    values = {f"w7:{number}": number for number in range(200)}
    await eu.put_many(values, consistency=LOCAL_ALL)
    mirror: Mirror = {}
    token = None
    rounds = 0
    is_marked = False
    while not is_marked:
        rounds += 1
        async with eu.watch("w7:", token=token) as watch:
            for _ in range(45):
                if await take(watch, mirror) is None:
                    is_marked = True
                    break
            token = watch.token
    assert mirror == registers(values)
    assert rounds > 3


async def test_the_mark_comes_when_everything_that_was_missed_is_told(
    eu: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PAGE_ROWS", 10)
    values = {f"w16:{number}": number for number in range(150)}
    await eu.put_many(values, consistency=LOCAL_ALL)
    mirror: Mirror = {}
    async with eu.watch("w16:") as watch:
        await initial(watch, mirror)
        token = watch.token
    later = {key: f"missed {value}" for key, value in values.items()}
    await eu.put_many(later, consistency=LOCAL_ALL)
    async with eu.watch("w16:", token=token) as watch:
        assert await initial(watch, mirror) == 150
        assert mirror == registers(later)


async def test_a_token_of_another_watch_and_what_is_none_are_refused(eu: Client) -> None:
    async with eu.watch("w8:") as watch:
        await initial(watch, {})
        token = watch.token
    for start in (
        lambda: eu.watch("w8", token=token),
        lambda: eu.watch("w8:", of_type="counter", token=token),
        lambda: eu.bucket("carts").watch("w8:", token=token),
        lambda: eu.watch("w8:", token="no token"),
        lambda: eu.watch("w8:", token=""),
        lambda: eu.watch("w8:", token=token[:-4]),
        lambda: eu.watch("w8:", token="é"),
        lambda: eu.watch("w8:", of_type="no type"),
    ):
        with pytest.raises(crdtkv.InvalidRequest):
            start()


async def test_what_cannot_be_watched_is_an_error(eu: Client) -> None:
    watch = eu.bucket("undeclared").watch()
    with pytest.raises(crdtkv.UnknownBucket):
        await anext(watch)
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_no_key_is_skipped_when_nodes_are_killed_one_after_the_other(cluster: LocalCluster, eu: Client) -> None:
    async with eu.watch("load:") as watch:
        mirror: Mirror = {}
        await initial(watch, mirror)
        async with Load(eu) as load:
            is_over = asyncio.Event()
            reading = asyncio.create_task(until(watch, mirror, lambda seen: is_over.is_set() and has_all(load, seen)))
            for name in ("eu-2", "eu-1"):
                await cluster.nodes[name].kill()
                await load.more(100)
                await cluster.start_node(name)
        is_over.set()
        await eu.put("load:end", 1)  # so that there is something more to take, if it has all
        await reading


async def test_a_watch_outlives_a_restart_of_the_whole_data_center(cluster: LocalCluster, eu: Client) -> None:
    names = ["eu-1", "eu-2", "eu-3"]
    async with eu.watch("w10:") as watch:
        mirror: Mirror = {}
        await initial(watch, mirror)
        await asyncio.gather(*(cluster.nodes[name].kill() for name in names))
        waiting = asyncio.create_task(take(watch, mirror))
        await asyncio.gather(*(cluster.start_node(name) for name in names))
        assert not waiting.done()
        await eventually(lambda: told(eu.put("w10:after", 1)), bool)
        await waiting
        await until(watch, mirror, lambda seen: seen == registers({"w10:after": 1}))


async def test_a_slow_reader_holds_a_few_pages_and_is_told_the_newest_in_the_end(
    eu: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PAGE_ROWS", 20)
    keys = [f"w11:{number}" for number in range(600)]
    await eu.put_many(dict.fromkeys(keys, 0), consistency=LOCAL_ALL)
    async with eu.watch("w11:") as watch:
        mirror: Mirror = {}
        await take(watch, mirror)
        for number in range(1, 6):
            await eu.put_many(dict.fromkeys(keys, number), consistency=LOCAL_ALL)
        counted = 0
        while mirror != registers(dict.fromkeys(keys, 5)):
            await take(watch, mirror)
            counted += 1
        # What was written five times over was not kept for it five times.
        assert counted < 2 * len(keys) + 10 * 20


async def test_a_session_does_not_take_what_a_watch_tells_for_read(eu: Client) -> None:
    await eu.put_many({f"w20:{number}": number for number in range(30)}, consistency=LOCAL_ALL)
    session = eu.session()
    async with session.watch("w20:") as watch:
        mirror: Mirror = {}
        assert await initial(watch, mirror) == 30
        assert session._seen.contexts == {}
        await session.put("w20:mine", 1)
        await until(watch, mirror, lambda seen: ("register", "w20:mine") in seen)


async def test_a_cancelled_wait_loses_nothing(eu: Client) -> None:
    async with eu.watch("w12:") as watch:
        mirror: Mirror = {}
        await initial(watch, mirror)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(watch)
        await eu.put("w12:k", 1)
        await until(watch, mirror, lambda seen: seen == registers({"w12:k": 1}))


async def test_a_watch_ends_when_it_is_closed_and_when_the_client_is(cluster: LocalCluster, eu: Client) -> None:
    watch = eu.watch("w13:")
    await initial(watch, {})
    waiting = asyncio.create_task(_rest(watch))
    await asyncio.sleep(0)
    await watch.aclose()
    assert await waiting == []
    assert watch.token
    unused = eu.watch("w13:")
    await unused.aclose()
    assert await _rest(unused) == []
    assert unused._end is None
    kv = await crdtkv.connect(*addresses(cluster.config, "eu"))
    watch = kv.watch("w13:")
    await initial(watch, {})
    waiting = asyncio.create_task(_rest(watch))
    await asyncio.sleep(0)
    await kv.close()
    with pytest.raises(crdtkv.ClosedError):
        await waiting


async def test_a_node_that_only_owes_a_watcher_its_next_change_is_not_suspected(eu: Client) -> None:
    async with eu.watch("w14:") as watch:
        await initial(watch, {})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * 0.25):
                await anext(watch)
        assert all(link.is_responsive for link in eu._routing.views[0].links.values())


async def test_the_nodes_count_watches(eu: Client) -> None:
    async def waiting() -> int:
        told = await eu.status()
        return sum(node["watches_waiting"] for node in told.values() if node)

    async with eu.watch("w15:") as watch:
        await initial(watch, {})
        next_change = asyncio.create_task(_rest(watch))
        await eventually(waiting, lambda count: count >= 3)
    assert await next_change == []


async def test_metrics_tell_of_watches(cluster: LocalCluster, eu: Client) -> None:
    await eu.put_many({f"w17:{number}": number for number in range(20)}, consistency=LOCAL_ALL)
    names = ("crdtkv_watch_changes_sent_total", "crdtkv_watch_scans_begun_total", "crdtkv_watches_waiting")
    before = [await figure(cluster, "eu", name) for name in names]
    async with eu.watch("w17:") as watch:
        assert await initial(watch, {}) == 20
        waiting = asyncio.create_task(_rest(watch))
        await eventually(lambda: figure(cluster, "eu", names[2]), lambda count: count >= before[2] + 3)
    await waiting
    told, begun = [await figure(cluster, "eu", name) for name in names[:2]]
    assert told == before[0] + 20
    assert begun == before[1] + 3


async def test_what_is_written_while_a_replica_hangs_is_told_by_others(
    cluster: LocalCluster, eu: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What comes from the node that hangs joins what the others are followed for already.
    monkeypatch.setattr(subscription, "GROUPS_MAX", 1)
    async with eu.watch("w18:") as watch:
        mirror: Mirror = {}
        await initial(watch, mirror)
        cluster.nodes["eu-2"].send_signal(signal.SIGSTOP)
        try:
            values = {f"w18:{number}": number for number in range(100)}
            await eventually(lambda: eu.put_many(values), lambda told: set(told.values()) == {None})
            await until(watch, mirror, lambda seen: seen == registers(values))
            parts = watch._subscription.delivered_parts
            assert sorted(part.node for part in parts) == ["eu-1", "eu-3"]
            assert parts[0].mask | parts[1].mask == (1 << eu.topology.partitions) - 1
        finally:
            cluster.nodes["eu-2"].send_signal(signal.SIGCONT)


async def told(write: Awaitable[None]) -> bool:
    """Tell whether a write was acknowledged."""
    try:
        await write
    except crdtkv.CrdtkvError:
        return False
    return True


async def _rest(watch: Watch[Any]) -> list[Any]:
    return [change async for change in watch]
