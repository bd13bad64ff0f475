"""A data center of five nodes loses some of them, in every way a machine can fail; nothing acknowledged is lost."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import crdtkv
from crdtkv import ANY, LINEARIZABLE, LOCAL_ALL, ONE, SLOPPY_QUORUM, Client, InvalidRequest, Unavailable
from crdtkv.checking.verdict import judge
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import InsufficientStorage
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import free_ports, on_free_ports
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import storage_key_of

from . import program
from .conftest import DATACENTERS, addresses
from .program import Outcome
from .recording import Recorder
from .test_anti_entropy import held_by
from .waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("whole_in_the_end")]
CUT_OFF = "eu-5"
ON_SMALL_DISK = "eu-4"
FLOOR_MIB = 16


def five_nodes() -> ClusterConfig:
    """One data center; gossip and repair as by default."""
    config = on_free_ports(load(DATACENTERS))
    fields = config.model_dump(mode="json")
    eu = fields["datacenters"]["eu"]
    ports = free_ports(4)
    for number in (4, 5):
        node = {"name": f"eu-{number}", "port": ports.pop(), "http_port": ports.pop(), "zone": f"z{number}"}
        eu["nodes"].append(node)
    fields["datacenters"] = {"eu": eu}
    fields["storage"]["free_space_floor_mib"] = FLOOR_MIB
    return ClusterConfig.model_validate(fields)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The directory of the cluster, in which one node's disk is a small tmpfs if this machine allows that."""
    directory = tmp_path_factory.mktemp("five")
    disk = directory / ON_SMALL_DISK
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    yield disk if mounted else None
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def five(small_disk: Path | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    directory = small_disk.parent if small_disk is not None else tmp_path_factory.mktemp("five")
    async with LocalCluster(five_nodes(), directory, fronted=CUT_OFF) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kv(five: LocalCluster) -> AsyncIterator[Client]:
    async with crdtkv.connect(*addresses(five.config, "eu"), datacenter="eu") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def whole_in_the_end(five: LocalCluster, kv: Client) -> AsyncIterator[None]:
    """Have everybody run and count again, whatever the test did."""
    yield
    five.join_again()
    for node in five.nodes.values():
        if node.is_running:
            os.kill(node.pid, signal.SIGCONT)
    down = [name for name, node in five.nodes.items() if not node.is_running]
    await asyncio.gather(*(five.start_node(name) for name in down))
    await all_are_members(kv)


def homes(five: LocalCluster, key: str) -> tuple[str, ...]:
    """Return the home replicas of a register."""
    ring = HashRing(five.config.first_topology("eu"))
    return ring.preference_list(storage_key_of(identity_of("default", "register", key)))


async def told(kv: Client, field: str) -> dict[str, Any]:
    return {name: node[field] if node else None for name, node in (await kv.status()).items()}


async def all_are_members(kv: Client) -> None:
    await eventually(lambda: told(kv, "standing"), lambda standing: set(standing.values()) == {"member"})


async def nobody_keeps_hints(kv: Client) -> None:
    await eventually(lambda: told(kv, "hints"), lambda hints: all(kept == {} for kept in hints.values()))


async def judged(recorder: Recorder, kv: Client) -> None:
    """Let all come to rest, read everything, and judge the history."""
    await all_are_members(kv)
    await nobody_keeps_hints(kv)
    await recorder.read_everything()
    assert [str(violation) for violation in judge(recorder.history)] == []


async def test_with_all_home_replicas_down_fallback_replicas_take_writes_and_hand_them_over(
    five: LocalCluster, kv: Client
) -> None:
    names = homes(five, "handed over")
    await asyncio.gather(*(five.nodes[name].kill() for name in names))
    key = "handed over"
    await eventually(lambda: outcome(kv.put(key, "any", consistency=ANY)), lambda error: error is None)
    await kv.put(key, "sloppy", consistency=SLOPPY_QUORUM)
    assert await kv.get(key, consistency=ANY) == "sloppy"
    with pytest.raises(Unavailable):
        await kv.put(key, "strict", consistency=crdtkv.LOCAL_QUORUM)
    kept = [for_whom for for_whom in (await told(kv, "hints")).values() if for_whom]
    assert {target for hints in kept for target in hints} == set(names)
    await asyncio.gather(*(five.start_node(name, ready=False) for name in names))
    await nobody_keeps_hints(kv)
    assert await eventually(lambda: kv.get(key, consistency=LOCAL_ALL), bool) == "sloppy"
    assert await held_by(five, names[2], [key]) == {key}


async def outcome(call: Any) -> Exception | None:
    try:
        await call
    except crdtkv.CrdtkvError as error:
        return error
    return None


async def test_a_node_that_was_killed_is_given_what_it_missed(five: LocalCluster, kv: Client) -> None:
    async with Recorder(kv, "killed", 1) as recorder:
        await recorder.more(100)
        await five.nodes["eu-2"].kill()
        await recorder.more(200)
        await five.start_node("eu-2")
        await recorder.more(100)
    await judged(recorder, kv)


async def test_a_node_that_hangs_for_ten_seconds_goes_on_where_it_was(five: LocalCluster, kv: Client) -> None:
    async def said_of_eu_3() -> set[str]:
        members = await told(kv, "members")
        return {seen["eu-3"]["state"] for name, seen in members.items() if seen and name != "eu-3"}

    async with Recorder(kv, "paused", 2) as recorder:
        await recorder.more(100)
        os.kill(five.nodes["eu-3"].pid, signal.SIGSTOP)
        paused_at = asyncio.get_running_loop().time()
        await eventually(said_of_eu_3, lambda said: said == {"down"})
        await recorder.more(100)
        await asyncio.sleep(max(0.0, paused_at + 10 - asyncio.get_running_loop().time()))
        os.kill(five.nodes["eu-3"].pid, signal.SIGCONT)
        await eventually(said_of_eu_3, lambda said: said == {"alive"})
        await recorder.more(100)
    await judged(recorder, kv)


async def test_a_node_that_was_cut_off_catches_up(five: LocalCluster, kv: Client) -> None:
    async with Recorder(kv, "cut off", 3) as recorder:
        await recorder.more(100)
        five.cut_off()
        await recorder.more(300)
        five.join_again()
        await recorder.more(100)
    await judged(recorder, kv)


@pytest.mark.parametrize("loss", ["wiped", "damaged", "restored"])
async def test_a_node_whose_disk_forgot_is_a_learner_until_it_holds_everything(
    five: LocalCluster, kv: Client, loss: str
) -> None:
    values = {f"{loss}:{number}": number for number in range(300)}
    assert set((await kv.put_many(values, consistency=LOCAL_ALL)).values()) == {None}
    mine = {key for key in values if "eu-2" in homes(five, key)}
    before = (await told(kv, "actor"))["eu-2"]
    home = five.directory / "eu-2"
    await five.nodes["eu-2"].stop()
    if loss == "restored":
        # A copy of everything, identity file included, from before the last start.
        shutil.copytree(home, home.with_name("copy"))
        await five.start_node("eu-2")
        more = {f"after the copy:{number}": number for number in range(100)}
        assert set((await kv.put_many(more, consistency=LOCAL_ALL)).values()) == {None}
        await five.nodes["eu-2"].kill()
        shutil.rmtree(home)
        home.with_name("copy").rename(home)
        mine |= {key for key in more if "eu-2" in homes(five, key)}
    elif loss == "wiped":
        five.wipe_node("eu-2")
    else:
        damage(home / "db")
    await five.start_node("eu-2", ready=False)
    await all_are_members(kv)
    after = await eventually(lambda: told(kv, "actor"), lambda actors: actors["eu-2"] is not None)
    assert after["eu-2"] != before
    assert await held_by(five, "eu-2", mine) == mine
    status = (await kv.status())["eu-2"]
    assert status is not None
    assert status["counters"]["learners_promoted"] == 1
    assert len(list(home.glob("db.damaged-*"))) == (loss != "wiped")


def damage(store: Path) -> None:
    """Flip bytes in the middle of everything the store has written."""
    for path in [*store.glob("*.log"), *store.glob("*.sst")]:
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
        path.write_bytes(content)


async def test_a_linearizable_register_is_one_while_nodes_are_killed_and_hang(five: LocalCluster, kv: Client) -> None:
    names = homes(five, "strict:0")
    async with Recorder(kv, "strict", 5, workers=6, keys=1, levels=["LINEARIZABLE"], types=["register"]) as recorder:
        await recorder.more(150)
        await five.nodes[names[0]].kill()
        await recorder.more(150)
        await five.start_node(names[0])
        os.kill(five.nodes[names[1]].pid, signal.SIGSTOP)
        await recorder.more(100)
        os.kill(five.nodes[names[1]].pid, signal.SIGCONT)
        await recorder.more(100)
    assert sum(op.outcome == "ok" and op.kind == "put" for op in recorder.history) > 100
    await judged(recorder, kv)


async def test_linearizable_is_refused_for_other_types_and_without_a_majority(five: LocalCluster, kv: Client) -> None:
    with pytest.raises(InvalidRequest, match="LINEARIZABLE is for registers"):
        await kv.counter("views").increment(consistency=LINEARIZABLE)
    names = homes(five, "lonely")
    await kv.put("lonely", 1, consistency=LINEARIZABLE)
    await asyncio.gather(*(five.nodes[name].kill() for name in names[:2]))
    with pytest.raises(Unavailable):
        await eventually(lambda: kv.put("lonely", 2, consistency=LINEARIZABLE), lambda _: False)
    assert await kv.get("lonely", consistency=ONE) == 1


async def test_a_full_disk_refuses_writes_and_takes_them_again(
    five: LocalCluster, kv: Client, small_disk: Path | None
) -> None:
    if small_disk is None:
        pytest.skip("this machine lets nobody mount a tmpfs")
    filler = small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    key = next(f"full:{number}" for number in range(1000) if homes(five, f"full:{number}")[0] == ON_SMALL_DISK)
    filler.write_bytes(b"\0" * (free - FLOOR_MIB * 1024 * 1024 // 2))
    try:
        await eventually(lambda: told(kv, "disk_space"), lambda space: space[ON_SMALL_DISK] is False)
        async with crdtkv.connect(addresses(five.config, "eu")[3]) as there:
            await eventually(
                lambda: outcome(there.put(key, "refused", consistency=LOCAL_ALL)),
                lambda error: isinstance(error, (InsufficientStorage, crdtkv.WriteTimeout)),
            )
        await kv.put(key, "taken", consistency=ANY)
    finally:
        filler.unlink()
    await eventually(lambda: told(kv, "disk_space"), lambda space: space[ON_SMALL_DISK] is True)
    await eventually(lambda: outcome(kv.put(key, "again", consistency=LOCAL_ALL)), lambda error: error is None)


async def test_what_waits_and_what_is_compared_is_shown_by_the_program(five: LocalCluster, kv: Client) -> None:
    def run(*words: str) -> Awaitable[Outcome]:
        return program.run(*words, "--config", "datacenters.yaml", cwd=five.directory)

    await five.nodes["eu-1"].kill()
    values = {f"shown:{number}": number for number in range(100)}
    await eventually(lambda: kv.put_many(values), lambda done: set(done.values()) == {None})
    shown = await run("hints")
    assert shown.code == 1, shown.err
    assert "eu-1" in shown.out
    await five.start_node("eu-1")
    await nobody_keeps_hints(kv)
    shown = await run("hints")
    assert (shown.code, "no hints" in shown.out) == (0, True)
    repaired = await run("repair")
    assert repaired.code == 0, repaired.out + repaired.err
    assert "compared everything" in repaired.out
    wrong = await run("repair", "--partition", "1000000")
    assert wrong.code == 2
    assert "partitions count from 0" in wrong.err
