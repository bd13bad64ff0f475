"""`crdtkv import` and `crdtkv export`: everything comes back exactly, and doing it twice changes nothing."""

import datetime as dt
import json
import os
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from crdtkv import Bucket, Client
from crdtkv.cli.records import record_of
from crdtkv.crdt.registry import TYPES
from crdtkv.local.cluster import LocalCluster

from . import program
from .load import Load
from .program import Outcome
from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

Run = Callable[..., Awaitable[Outcome]]

VALUES: dict[str | bytes, Any] = {
    "trip:null": None,
    "trip:true": True,
    "trip:int": 2**60,
    "trip:big": -(10**30),
    "trip:float": 0.1,
    "trip:infinite": float("inf"),
    "trip:text": 'grüße \u2028 漢字 🚲 "quoted" \\ \n',
    "trip:list": [1, [2, None], {"a": []}],
    "trip:bytes": b"\0\xff",
    "trip:nested bytes": {"a": [b"x", 1]},
    "trip:int keys": {1: "one", "1": "text one"},
    "trip:time": dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC),
    "trip:decimal": Decimal("1.10"),
    "trip:uuid": uuid.UUID(int=7),
    "trip:set": {1, 2, 3},
    "trip:large": "x" * 300_000,
    "trip:key \u2028 grüße \n": "odd key",
    b"trip:\xff\0": "bytes key",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(cluster: LocalCluster) -> Run:
    """Run `crdtkv` beside the cluster's datacenters.yaml."""
    return partial(program.run, cwd=cluster.directory)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def counts(outcome: Outcome) -> tuple[int, int, int]:
    assert outcome.code == 0, outcome.err
    return outcome.json["written"], outcome.json["unchanged"], outcome.json["failed"]


async def fill(bucket: Bucket[Any]) -> None:
    """Write every kind of value, siblings, and every type."""
    assert set((await bucket.put_many(VALUES)).values()) == {None}
    for key, siblings in {"trip:siblings": ["one", b"two", 3], "trip:two": [{"a": 1}, None]}.items():
        before = (await bucket.entry(key)).context
        for value in siblings:
            await bucket.put(key, value, context=before)
    await bucket.lww().put("trip:lww", {"theme": b"\0"})
    await bucket.lww().put(b"trip:\xfe", "bytes key")
    await bucket.counter("trip:counter").increment(40)
    await bucket.counter("trip:counter").decrement(-2)
    await bucket.counter("trip:negative").decrement(7)
    await bucket.counter("trip:zero").increment(0)
    await bucket.bcounter("trip:bounded").increment(7)
    await bucket.bcounter("trip:bounded").decrement(2)
    for members in (bucket.set("trip:set"), bucket.rwset("trip:rwset"), bucket.gset("trip:gset")):
        await members.add(1, True, 1.0, "x", b"y", (1, "a"), frozenset({2, 3}))
    await bucket.flag("trip:flag").enable()
    await bucket.dwflag("trip:dwflag").enable()
    await bucket.maxreg("trip:max").set(2.5)
    await bucket.minreg("trip:min").set(-(2**62))
    board = bucket.board("trip:board")
    await board.set("ada", 3)
    await board.increment(b"bob", 4.5)
    profile = bucket.map("trip:map")
    await profile.register("name").put(b"Ada")
    await profile.counter("logins").increment(4)
    await profile.map("inner").set(b"\xff").add("x")
    await profile.map("inner").board("scores").set((1, 2), 0.1)
    await profile.flag("on").enable()
    await bucket.put("trip:deleted", 1)
    await bucket.delete("trip:deleted")


async def content(bucket: Bucket[Any]) -> dict[tuple[str, str | bytes], Any]:
    """Return what every key of a bucket under the prefix holds, by type: a record, which has all of it."""
    return {
        (type_tag, key): record_of(key, entry.state)
        for type_tag in TYPES
        async for key, entry in bucket.keys_of(type_tag).scan("trip:")
        if entry.state is not None
    }


async def test_an_export_comes_back_exactly_in_another_bucket(run: Run, tmp_path: Path, eu: Client) -> None:
    await fill(eu.bucket("carts"))
    before = await content(eu.bucket("carts"))
    assert len(before) == len(VALUES) + 2 + 2 + 3 + 10
    file, again = tmp_path / "exported", tmp_path / "exported again"
    exported = await run("export", file, "--bucket", "carts", "--prefix", "trip:", "--json")
    assert (exported.code, exported.json["exported"]) == (0, len(before))
    assert counts(await run("import", file, "--bucket", "packages", "--json")) == (len(before), 0, 0)
    assert await content(eu.bucket("packages")) == before
    assert (await run("export", again, "--bucket", "packages", "--prefix", "trip:")).code == 0
    assert sorted(again.read_bytes().split(b"\n")) == sorted(file.read_bytes().split(b"\n"))


async def test_importing_twice_changes_nothing(run: Run, tmp_path: Path, eu: Client, us: Client) -> None:
    file = tmp_path / "records"
    file.write_text("".join(json.dumps({"key": f"twice:{n}", "value": {"n": n}}) + "\n" for n in range(500)))
    assert counts(await run("import", file, "--json")) == (500, 0, 0)
    await nothing_lags(eu, us)
    entries = {key: (entry.siblings, entry.context) async for key, entry in eu.scan("twice:")}
    assert counts(await run("import", file, "--json")) == (0, 500, 0)
    assert {key: (entry.siblings, entry.context) async for key, entry in eu.scan("twice:")} == entries
    assert sum(node["outbox_rows"] for node in (await eu.status()).values() if node) == 0


async def test_of_a_key_that_comes_twice_the_last_line_is_imported_and_a_second_import_changes_nothing(
    run: Run, tmp_path: Path, eu: Client
) -> None:
    def lines_of(number: int) -> list[dict[str, Any]]:
        member = {"value": number}
        return [
            {"key": "again", "value": number},
            {"key": "again", "type": "lww", "value": number},
            {"key": "again", "type": "counter", "value": 10 - number},
            {"key": "again", "type": "bcounter", "value": 10 - number},
            {"key": "again", "type": "set", "members": [member]},
            {"key": "again", "type": "rwset", "members": [member]},
            {"key": "again", "type": "gset", "members": [member]},
            {"key": "again", "type": "flag", "value": number % 2 == 0},
            {"key": "again", "type": "dwflag", "value": number % 2 == 0},
            {"key": "again", "type": "maxreg", "value": -number},
            {"key": "again", "type": "minreg", "value": number},
            {"key": "again", "type": "board", "scores": [{"value": "ada", "score": number}]},
            {
                "key": "again",
                "type": "map",
                "fields": [
                    {"field": "c", "type": "counter", "value": 10 - number},
                    {"field": "g", "type": "gset", "members": [member]},
                ],
            },
        ]

    async def found() -> dict[str, Any]:
        packages = eu.bucket("packages")
        entries = {tag: await packages.of_type(tag, "again").entry() for tag in TYPES if tag != "hll"}
        return {tag: (entry.siblings, entry.context) for tag, entry in entries.items()}

    file = tmp_path / "records"
    file.write_text("".join(json.dumps(line) + "\n" for number in range(3) for line in lines_of(number)))
    first = await run("import", file, "--bucket", "packages", "--json")
    assert (first.code, first.json["replaced"], first.json["failed"]) == (0, 20, 0)
    before = await found()
    assert {tag: siblings for tag, (siblings, _) in before.items()} == {
        "register": [2],
        "lww": [2],
        "counter": [8],
        "bcounter": [8],
        "set": [{2}],
        "rwset": [{2}],
        "gset": [{0, 1, 2}],
        "flag": [True],
        "dwflag": [True],
        "maxreg": [0],
        "minreg": [0],
        "board": [{"ada": 2}],
        "map": [{"c": 8, "g": {0, 1, 2}}],
    }
    piped = await run("import", "--bucket", "packages", "--json", stdin=file.read_bytes())
    assert (piped.code, piped.json["written"], piped.json["replaced"]) == (0, 0, 20)
    assert await found() == before


async def test_an_export_that_fails_leaves_the_last_one(
    run: Run, tmp_path: Path, cluster: LocalCluster, eu: Client
) -> None:
    await eu.put("backed up", 1)
    file = tmp_path / "backup"
    assert (await run("export", file)).code == 0
    before = file.read_bytes()
    for name in ("eu-1", "eu-2"):
        await cluster.nodes[name].kill()
    failed = await run("export", file, "--timeout", "2")
    assert failed.code == 3
    assert failed.complaint
    assert (file.read_bytes(), os.listdir(tmp_path)) == (before, ["backup"])


async def test_importing_an_export_over_itself_writes_nothing(run: Run, tmp_path: Path, eu: Client) -> None:
    await fill(eu)
    file = tmp_path / "exported"
    assert (await run("export", file, "--prefix", "trip:")).code == 0
    written, unchanged, failed = counts(await run("import", file, "--json"))
    assert (written, failed) == (0, 0)
    assert unchanged == len(records(file))


async def test_two_exports_of_the_same_content_are_the_same(run: Run, tmp_path: Path, eu: Client) -> None:
    await eu.put_many({f"same:{number}": number for number in range(300)})
    assert (await run("export", tmp_path / "one", "--prefix", "same:")).code == 0
    assert (await run("export", tmp_path / "two", "--prefix", "same:")).code == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len(records(tmp_path / "one")) == 300


async def test_records_say_only_what_is_needed(run: Run, eu: Client) -> None:
    await eu.bucket("carts").put("plain:1", {"a": 1})
    await eu.bucket("carts").put(b"plain:\xff", b"\0")
    await eu.bucket("carts").lww().put("plain:2", "x")
    await eu.bucket("carts").counter("plain:3").increment(3)
    exported = await run("export", "--bucket", "carts", "--prefix", "plain:")
    assert exported.code == 0
    assert exported.err == ""
    assert sorted(exported.out.splitlines()) == [
        '{"cbor": "4100", "key_hex": "706c61696e3aff"}',
        '{"key": "plain:1", "value": {"a": 1}}',
        '{"key": "plain:2", "type": "lww", "value": "x"}',
        '{"key": "plain:3", "type": "counter", "value": 3}',
    ]


async def test_records_are_read_from_standard_input(run: Run, eu: Client) -> None:
    piped = b'{"key": "piped:1", "value": 1}\n\n   \n{"key": "piped:2", "value": [2]}\n{"key": "piped:3", "value": 3}'
    assert counts(await run("import", "--json", stdin=piped)) == (3, 0, 0)
    assert await eu.get_many(["piped:1", "piped:2", "piped:3"]) == {"piped:1": 1, "piped:2": [2], "piped:3": 3}


async def test_an_import_replaces_what_is_there(run: Run, eu: Client) -> None:
    before = (await eu.entry("import:siblings")).context
    for value in ("one", "two"):
        await eu.put("import:siblings", value, context=before)
    await eu.put("import:value", "old")
    await eu.counter("import:counter").increment(100)
    await eu.lww().put("import:lww", "old")
    piped = (
        b'{"key": "import:siblings", "value": "resolved"}\n'
        b'{"key": "import:value", "value": "new"}\n'
        b'{"key": "import:counter", "type": "counter", "value": 60}\n'
        b'{"key": "import:lww", "type": "lww", "value": "new"}\n'
    )
    assert counts(await run("import", "--json", stdin=piped)) == (4, 0, 0)
    assert (await eu.entry("import:siblings")).siblings == ["resolved"]
    assert (await eu.entry("import:value")).siblings == ["new"]
    assert await eu.counter("import:counter").value() == 60
    assert await eu.lww().get("import:lww") == "new"


async def test_an_import_takes_away_what_the_record_has_not_but_never_shrinks_what_only_grows(
    run: Run, eu: Client
) -> None:
    carts = eu.bucket("carts")
    await carts.set("less:set").add("old", "kept")
    await carts.gset("less:gset").add("old")
    await carts.maxreg("less:max").set(9)
    await carts.board("less:board").set("old", 1)
    await carts.map("less:map").counter("old").increment(1)
    await carts.map("less:map").register("kept").put("old")
    piped = (
        b'{"key": "less:set", "type": "set", "members": [{"value": "kept"}, {"value": "new"}]}\n'
        b'{"key": "less:gset", "type": "gset", "members": [{"value": "new"}]}\n'
        b'{"key": "less:max", "type": "maxreg", "value": 3}\n'
        b'{"key": "less:board", "type": "board", "scores": [{"value": "new", "score": 2}]}\n'
        b'{"key": "less:map", "type": "map", "fields": [{"field": "kept", "value": "new"}]}\n'
    )
    assert counts(await run("import", "--bucket", "carts", "--json", stdin=piped)) == (4, 1, 0)
    assert await carts.set("less:set").members() == {"kept", "new"}
    assert await carts.gset("less:gset").members() == {"old", "new"}
    assert await carts.maxreg("less:max").value() == 9
    assert await carts.board("less:board").ranking() == [("new", 2)]
    assert await carts.map("less:map").value() == {"kept": "new"}
    assert counts(await run("import", "--bucket", "carts", "--json", stdin=piped)) == (0, 5, 0)


async def test_sketches_that_are_not_there_already_are_left_out_and_told(run: Run, tmp_path: Path, eu: Client) -> None:
    carts = eu.bucket("carts")
    await carts.hll("sketch:1").add("a", "b")
    await carts.map("sketch:2").hll("inner").add("c")
    file = tmp_path / "exported"
    assert (await run("export", file, "--bucket", "carts", "--prefix", "sketch:")).code == 0
    assert counts(await run("import", file, "--bucket", "carts", "--json")) == (0, 2, 0)
    elsewhere = await run("import", file, "--bucket", "packages", "--json")
    assert (elsewhere.code, elsewhere.json["left_out"], elsewhere.json["written"]) == (1, 2, 0)
    assert "2 sketches (hll) were left out" in elsewhere.complaint


async def test_what_expires_is_imported_with_what_is_left_of_its_time(run: Run, tmp_path: Path, eu: Client) -> None:
    carts = eu.bucket("carts")
    await carts.put("expiring:1", "v", ttl=1000)
    await carts.set("expiring:2").add("x", ttl=1000)
    file = tmp_path / "exported"
    assert (await run("export", file, "--bucket", "carts", "--prefix", "expiring:")).code == 0
    past = {"key": "expiring:3", "value": "v", "expires_at_s": 1.5}
    file.write_text(file.read_text() + json.dumps(past) + "\n")
    assert counts(await run("import", file, "--bucket", "packages", "--json")) == (2, 1, 0)
    packages = eu.bucket("packages")
    for there, here in (("expiring:1", carts.register("expiring:1")), ("expiring:2", carts.set("expiring:2"))):
        original = await here.entry()
        copy = await packages.of_type(original.state.type_tag, there).entry()
        assert copy.expires_at_s == pytest.approx(original.expires_at_s, abs=60)
    assert await packages.get("expiring:3") is None


async def test_what_was_imported_in_one_data_center_is_exported_in_the_other(
    run: Run, tmp_path: Path, eu: Client, us: Client
) -> None:
    file = tmp_path / "records"
    file.write_text("".join(json.dumps({"key": f"crosses:{n}", "value": n}) + "\n" for n in range(200)))
    assert counts(await run("import", file, "--dc", "eu", "--json")) == (200, 0, 0)
    await nothing_lags(eu, us)
    assert (await run("export", tmp_path / "there", "--dc", "us", "--prefix", "crosses:")).code == 0
    assert sorted(records(tmp_path / "there"), key=lambda record: record["value"]) == records(file)


async def test_an_import_goes_on_while_a_node_is_killed_and_restarted(
    cluster: LocalCluster, tmp_path: Path, eu: Client, us: Client
) -> None:
    values = {f"bumpy:{number}": number for number in range(8_000)}
    file = tmp_path / "records"
    file.write_text("".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in values.items()))
    process = await program.start("import", file, "--json", cwd=cluster.directory)
    await eventually(lambda: eu.get("bumpy:1000"), lambda value: value == 1000)
    await cluster.nodes["eu-2"].kill()
    await cluster.start_node("eu-2")
    out, err = await process.communicate()
    written, unchanged, failed = counts(Outcome(process.returncode, out.decode(), err.decode()))
    assert (written + unchanged, failed) == (len(values), 0)
    assert await eu.get_many(values) == values
    # A write that was told as of unknown fate is written again, so a value may be there twice, but no other one.
    met = {key: set(entry.siblings) async for key, entry in eu.scan("bumpy:")}
    assert met == {key: {value} for key, value in values.items()}
    await nothing_lags(eu, us)
    assert await us.get_many(values) == values


async def test_an_export_under_load_holds_every_key_that_was_there_before(run: Run, tmp_path: Path, eu: Client) -> None:
    await eu.put_many({f"steady:{number}": number for number in range(1_000)})
    async with Load(eu, workers=4):
        exported = await run("export", tmp_path / "file", "--prefix", "steady:")
    assert exported.code == 0
    assert sorted(record["value"] for record in records(tmp_path / "file")) == list(range(1_000))
