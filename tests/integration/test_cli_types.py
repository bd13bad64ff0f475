"""The verbs of `crdtkv` for every type, and `inspect`: what they print, with and without `--json`, how they exit."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from crdtkv import Client, ValueEntry
from crdtkv.local.cluster import LocalCluster

from . import program
from .program import Outcome
from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

Run = Callable[..., Awaitable[Outcome]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(cluster: LocalCluster) -> Run:
    """Run `crdtkv` beside the cluster's datacenters.yaml."""
    return partial(program.run, cwd=cluster.directory)


@pytest.mark.parametrize("type_tag", ["set", "rwset"])
async def test_members_are_added_removed_and_printed_one_a_line(run: Run, eu: Client, type_tag: str) -> None:
    of_type = ("--type", type_tag)
    assert await run("add", "cli:cart", "lamp", "book", "10", "9", '"9"', *of_type) == Outcome(
        0, "added 5 to cli:cart\n", ""
    )
    assert (await run("members", "cli:cart", *of_type)).out.splitlines() == ["9", "10", '"9"', "book", "lamp"]
    assert await run("remove", "cli:cart", "book", "9", *of_type) == Outcome(0, "removed 2 from cli:cart\n", "")
    get = await run("get", "cli:cart", *of_type)
    assert get == Outcome(0, '10\n"9"\nlamp\n', "")
    told = (await run("members", "cli:cart", "--json", *of_type)).json
    assert told == {"key": "cli:cart", "members": [10, "9", "lamp"]}
    assert (await run("get", "cli:cart", "--json", *of_type)).json["value"] == [10, "9", "lamp"]
    assert (await run("add", "cli:cart", "1", "--text", "--json", *of_type)).json == {"key": "cli:cart", "ok": True}
    handle = eu.set("cli:cart") if type_tag == "set" else eu.rwset("cli:cart")
    assert await handle.members() == {10, "9", "lamp", "1"}


async def test_members_that_are_one_to_python_are_all_printed(run: Run) -> None:
    assert (await run("add", "cli:one", "1", "true", "1.0", "--type", "gset")).code == 0
    assert (await run("members", "cli:one", "--type", "gset")).out == "1\n1.0\ntrue\n"


async def test_a_set_without_members_exits_with_1(run: Run) -> None:
    empty = await run("members", "cli:nobody")
    assert (empty.code, empty.out) == (1, "")
    assert empty.complaint == "crdtkv: cli:nobody has no members"
    as_json = await run("members", "cli:nobody", "--json")
    assert (as_json.code, as_json.json) == (1, {"key": "cli:nobody", "members": []})


async def test_distinct_elements_are_counted(run: Run) -> None:
    assert await run("add", "cli:visitors", "ada", "bob", "--type", "hll") == Outcome(
        0, "added 2 to cli:visitors\n", ""
    )
    assert (await run("add", "cli:visitors", "ada", "eve", "--type", "hll")).code == 0
    assert await run("get", "cli:visitors", "--type", "hll") == Outcome(0, "3\n", "")
    assert (await run("get", "cli:visitors", "--type", "hll", "--json")).json["value"] == 3


@pytest.mark.parametrize("type_tag", ["flag", "dwflag"])
async def test_a_flag_that_is_off_exits_with_1(run: Run, type_tag: str) -> None:
    of_type = ("--type", type_tag)
    assert await run("enable", "cli:beta", *of_type) == Outcome(0, "cli:beta is on\n", "")
    assert await run("get", "cli:beta", *of_type) == Outcome(0, "on\n", "")
    assert (await run("get", "cli:beta", "--json", *of_type)).json["value"] is True
    assert (await run("disable", "cli:beta", "--json", *of_type)).json == {"key": "cli:beta", "ok": True}
    assert await run("get", "cli:beta", *of_type) == Outcome(1, "off\n", "")
    off = await run("get", "cli:beta", "--json", *of_type)
    assert (off.code, off.json["value"], off.json["exists"]) == (1, False, False)


async def test_the_greatest_and_the_smallest_number_count(run: Run) -> None:
    assert await run("set", "cli:high", "3.5", "--type", "maxreg") == Outcome(0, "3.5\n", "")
    assert (await run("set", "cli:high", "2", "--type", "maxreg", "--json")).json == {"key": "cli:high", "value": 3.5}
    assert (await run("set", "cli:low", "--type", "minreg", "--", "-4")).out == "-4\n"
    assert (await run("get", "cli:low", "--type", "minreg")).out == "-4\n"


async def test_boards_are_scored_and_ranked(run: Run) -> None:
    assert await run("score", "cli:board", "ada", "3") == Outcome(0, "3\n", "")
    assert (await run("score", "cli:board", "bob", "10", "--json")).json == {
        "key": "cli:board",
        "member": "bob",
        "score": 10,
    }
    assert (await run("score", "cli:board", "ada", "4", "--add")).out == "7\n"
    assert (await run("score", "cli:board", "eve", "--", "-1")).out == "-1\n"
    header, *rows = (await run("ranking", "cli:board")).out.splitlines()
    assert header.split() == ["rank", "member", "score"]
    assert [row.split() for row in rows] == [["0", "bob", "10"], ["1", "ada", "7"], ["2", "eve", "-1"]]
    assert (await run("get", "cli:board", "--type", "board")).out.splitlines() == [header, *rows]
    ada = [{"rank": 1, "member": "ada", "score": 7}]
    assert (await run("ranking", "cli:board", "--from", "1", "--to", "2", "--json")).json == ada
    assert (await run("ranking", "cli:board", "--low", "0", "--high", "7", "--json")).json == ada
    assert (await run("members", "cli:board", "--type", "board")).out == "ada\nbob\neve\n"
    assert (await run("remove", "cli:board", "bob", "eve", "--type", "board")).code == 0
    assert (await run("get", "cli:board", "--type", "board", "--json")).json["value"] == [{**ada[0], "rank": 0}]
    empty = await run("ranking", "cli:board", "--low", "8")
    assert (empty.code, empty.complaint) == (1, "crdtkv: cli:board has no members there")


async def test_a_bounded_counter_refuses_what_it_has_not(run: Run) -> None:
    of_type = ("--type", "bcounter")
    assert await run("incr", "cli:stock", "5", *of_type) == Outcome(0, "5\n", "")
    assert (await run("incr", "cli:stock", *of_type, "--json", "--", "-2")).json == {"key": "cli:stock", "value": 3}
    refused = await run("incr", "cli:stock", *of_type, "--", "-9")
    assert (refused.code, refused.out) == (1, "")
    assert refused.complaint == "crdtkv: 9 were requested, only 3 are left"
    assert (await run("get", "cli:stock", *of_type)).out == "3\n"


async def test_fields_of_maps_are_read_and_written(run: Run, eu: Client) -> None:
    street = "map:address/register:street"
    assert await run("field", "cli:ada", "register:name", "put", "Ada") == Outcome(
        0, "wrote register:name of cli:ada\n", ""
    )
    assert (await run("field", "cli:ada", street, "put", "St James", "--json")).json == {
        "key": "cli:ada",
        "field": street,
        "ok": True,
    }
    assert (await run("field", "cli:ada", "counter:logins", "increment", "4")).code == 0
    assert (await run("field", "cli:ada", "counter:logins", "decrement")).code == 0
    assert (await run("field", "cli:ada", "set:tags", "add", "poet", "count")).code == 0
    assert (await run("field", "cli:ada", "board:games", "set", "chess", "1200")).code == 0
    assert (await run("field", "cli:ada", "flag:beta", "enable")).code == 0
    shown = {
        "address": {"street": "St James"},
        "beta": True,
        "games": {"chess": 1200},
        "logins": 3,
        "name": "Ada",
        "tags": ["count", "poet"],
    }
    assert json.loads((await run("get", "cli:ada", "--type", "map")).out) == shown
    assert (await run("get", "cli:ada", "--type", "map", "--json")).json["value"] == shown
    assert (await run("field", "cli:ada", street, "get")).out == "St James\n"
    assert (await run("field", "cli:ada", "set:tags", "get", "--json")).json["value"] == ["count", "poet"]
    assert await run("field", "cli:ada", "map:address", "delete") == Outcome(0, "deleted map:address of cli:ada\n", "")
    assert "address" not in await eu.map("cli:ada").value()


async def test_a_field_that_is_not_there_exits_with_1(run: Run, eu: Client) -> None:
    await eu.map("cli:bob").register("name").put("Bob")
    absent = await run("field", "cli:bob", "register:born", "get")
    assert (absent.code, absent.out) == (1, "")
    assert absent.complaint == "crdtkv: register:born of cli:bob has no value"
    assert await run("field", "cli:bob", "flag:beta", "get") == Outcome(1, "off\n", "")
    as_json = await run("field", "cli:bob", "register:born", "get", "--json")
    assert (as_json.code, as_json.json["exists"], as_json.json["siblings"]) == (1, False, [])


def _exists_as(is_there: bool, entry: ValueEntry[Any]) -> bool:
    return entry.exists == is_there


async def test_what_is_written_with_a_ttl_expires(run: Run, cluster: LocalCluster, eu: Client) -> None:
    def writes(key: str) -> dict[str, list[str | Path]]:
        return {
            "register": ["put", key, "1"],
            "set": ["add", key, "x"],
            "counter": ["incr", key],
            "maxreg": ["set", key, "3", "--type", "maxreg"],
            "flag": ["enable", key],
            "board": ["score", key, "ada", "3"],
            "map": ["field", key, "register:name", "put", "Ada"],
        }

    for ttl, is_there in (("1000", True), ("0.1", False)):
        key = f"cli:for {ttl} s"
        calls = {type_tag: [*arguments, "--ttl", ttl] for type_tag, arguments in writes(key).items()}
        assert {outcome.code for outcome in (await program.run_all(calls, cwd=cluster.directory)).values()} == {0}
        for type_tag in calls:
            handle = eu.of_type(type_tag, key)
            assert await eventually(handle.entry, partial(_exists_as, is_there))
    assert (await run("put", "cli:later", "1", "--ttl", "1000")).code == 0
    now_s = time.time()
    assert now_s < (await run("get", "cli:later", "--json")).json["expires_at_s"] <= now_s + 1001


async def test_every_type_is_scanned_and_deleted(run: Run, cluster: LocalCluster, eu: Client) -> None:
    await asyncio.gather(
        eu.put("all:k", "v"),
        eu.lww().put("all:k", "v"),
        eu.counter("all:k").increment(3),
        eu.bcounter("all:k").increment(3),
        eu.set("all:k").add("y", "x"),
        eu.rwset("all:k").add("y", "x"),
        eu.gset("all:k").add("y", "x"),
        eu.flag("all:k").enable(),
        eu.dwflag("all:k").enable(),
        eu.maxreg("all:k").set(3),
        eu.minreg("all:k").set(3),
        eu.hll("all:k").add("x"),
        eu.board("all:k").set("x", 3),
        eu.map("all:k").register("f").put("v"),
    )
    shown = {
        **dict.fromkeys(("register", "lww"), "v"),
        **dict.fromkeys(("counter", "bcounter", "maxreg", "minreg"), "3"),
        **dict.fromkeys(("set", "rwset", "gset"), "x, y"),
        **dict.fromkeys(("flag", "dwflag"), "on"),
        "hll": "1",
        "board": "x 3",
        "map": '{"f": "v"}',
    }
    scans: dict[str, list[str | Path]] = {tag: ["scan", "all:", "--type", tag] for tag in shown}
    for type_tag, outcome in (await program.run_all(scans, cwd=cluster.directory)).items():
        header, row = (re.split("  +", line.strip()) for line in outcome.out.splitlines())
        has_siblings = type_tag in ("register", "lww")
        assert header == (["key", "value", "siblings"] if has_siblings else ["key", "value"])
        assert row == ["all:k", shown[type_tag], *(["1"] if has_siblings else [])]
    as_json = {"set": ["x", "y"], "flag": True, "board": [{"rank": 0, "member": "x", "score": 3}]}
    for type_tag, value in as_json.items():
        assert (await run("scan", "all:", "--type", type_tag, "--json")).json["value"] == value
    deletes: dict[str, list[str | Path]] = {tag: ["delete", "all:k", "--type", tag] for tag in shown}
    deleted = await program.run_all(deletes, cwd=cluster.directory)
    refused = deleted.pop("bcounter")
    assert refused.code == 2
    assert "a bcounter cannot be deleted" in refused.complaint
    assert set(deleted.values()) == {Outcome(0, "deleted all:k\n", "")}
    assert [tag for tag in shown if (await eu.of_type(tag, "all:k").entry()).exists] == ["bcounter"]


async def test_inspect_shows_what_every_node_holds(run: Run, eu: Client, us: Client) -> None:
    await eu.put("cli:seen", "value")
    await nothing_lags(eu, us)
    seen = await eventually(lambda: run("inspect", "cli:seen"), lambda got: got.code == 0)
    header, *rest = seen.out.splitlines()
    assert header.split() == ["datacenter", "node", "role", "value", "tombstone", "expires", "bytes", "digest"]
    rows = [line.split() for line in rest[:6]]
    assert [row[:5] for row in rows] == [
        [name[:2], name, "replica", "value", "no"] for name in ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3")
    ]
    assert len({row[-1] for row in rows}) == 1
    assert rest[7].startswith(f"{rows[0][-1]} has seen {{eu-")
    assert rest[8].endswith(": value")
    assert rest[-1] == "all 6 home replicas hold the same"
    told = (await run("inspect", "cli:seen", "--json")).json
    assert (told["key"], told["agree"], told["silent"]) == ("cli:seen", True, [])
    for node in told["nodes"]:
        assert (node["role"], node["value"], node["tombstone"]) == ("replica", "value", False)
        assert [sibling["value"] for sibling in node["siblings"]] == ["value"]
    await eu.delete("cli:seen")
    await nothing_lags(eu, us)
    gone = await eventually(lambda: run("inspect", "cli:seen"), lambda got: got.code == 0)
    assert gone.out.count("deleted") == 6
    nothing = await run("inspect", "cli:never", "--type", "map")
    assert (nothing.code, nothing.out.splitlines()[-1]) == (0, "all 6 home replicas hold nothing")


async def test_inspect_tells_a_difference_and_who_does_not_answer(
    run: Run, cluster: LocalCluster, eu: Client, us: Client
) -> None:
    await nothing_lags(eu, us)
    cluster.cut("eu", "us")
    await eu.set("cli:apart").add("x", consistency="LOCAL_ALL")
    apart = await run("inspect", "cli:apart", "--type", "set")
    assert apart.code == 1
    assert apart.out.splitlines()[-1].endswith("; nothing on us-1, us-2, us-3")
    cluster.heal("eu", "us")
    await eventually(lambda: run("inspect", "cli:apart", "--type", "set"), lambda got: got.code == 0)
    await cluster.nodes["us-2"].kill()
    silent = await run("inspect", "cli:apart", "--type", "set", "--json")
    await cluster.start_node("us-2")
    assert (silent.code, silent.json["agree"], silent.json["silent"]) == (1, False, ["us-2"])
    assert [node["answers"] for node in silent.json["nodes"]] == [True, True, True, True, False, True]
