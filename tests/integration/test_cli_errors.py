"""Errors of the command line: a wrong call is one line and exit code 2, a cluster's error 3; never a traceback."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from crdtkv import Client
from crdtkv.config.loader import dump, load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import free_ports, on_free_ports

from . import program
from .conftest import DATACENTERS
from .program import Outcome

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

Run = Callable[..., Awaitable[Outcome]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(cluster: LocalCluster) -> Run:
    """Run `crdtkv` beside the cluster's datacenters.yaml."""
    return partial(program.run, cwd=cluster.directory)


def lines(path: Path, *content: str | bytes) -> Path:
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in content) + b"\n")
    return path


# The configuration. What can be wrong in it is the loader's matter, and tested there.


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("cluster: shop", "cluster: shop\ncolour: red", "colour is not a known field"),
        ("port: 7401", "port: 99999", "datacenters.eu.nodes[0].port must be <= 65535"),
        ("cluster: shop", "cluster: [", "not valid YAML"),
    ],
    ids=["unknown field", "port out of range", "no YAML"],
)
async def test_a_mistake_in_the_configuration_is_told_in_one_line(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    text = DATACENTERS.read_text()
    assert before in text
    (tmp_path / "datacenters.yaml").write_text(text.replace(before, after, 1))
    outcome = await program.run("get", "k", cwd=tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.complaint.startswith("crdtkv: datacenters.yaml: ")
    assert message in outcome.complaint


async def test_two_mistakes_in_the_configuration_are_told_in_two_lines(tmp_path: Path) -> None:
    text = DATACENTERS.read_text().replace("port: 7401", "port: 0").replace("weight: 1 }", "weight: -1 }", 1)
    (tmp_path / "datacenters.yaml").write_text(text)
    outcome = await program.run("status", cwd=tmp_path)
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        "crdtkv: datacenters.yaml: datacenters.eu.nodes[0].port must be >= 1",
        "crdtkv: datacenters.yaml: datacenters.eu.nodes[0].weight must be > 0",
    ]


async def test_a_configuration_that_is_missing_or_binary_is_refused(tmp_path: Path) -> None:
    missing = await program.run("get", "k", cwd=tmp_path)
    assert missing.code == 2
    assert "datacenters.yaml: cannot be read" in missing.complaint
    (tmp_path / "datacenters.yaml").write_bytes(b"\xff\xfe\0\0")
    binary = await program.run("get", "k", cwd=tmp_path)
    assert binary.code == 2
    assert "datacenters.yaml: cannot be read" in binary.complaint


# The call.

CALLS: dict[str, tuple[list[str], str]] = {
    "empty key": (["get", ""], "a key has 1 to 1024 bytes"),
    "key too long": (["put", "x" * 1025, "1"], "this one has 1025"),
    "unknown bucket, get": (["get", "k", "--bucket", "nobody"], "unknown bucket 'nobody'"),
    "unknown bucket, put": (["put", "k", "1", "--bucket", "nobody"], "unknown bucket 'nobody'"),
    "unknown bucket, scan": (["scan", "--bucket", "nobody"], "unknown bucket 'nobody'"),
    "unknown bucket, export": (["export", "--bucket", "nobody"], "unknown bucket 'nobody'"),
    "impossible bucket": (["get", "k", "--bucket", "no body"], "a bucket name matches"),
    "unknown type": (["put", "k", "1", "--type", "rope"], "unknown type 'rope'"),
    "unknown type, inspect": (["inspect", "k", "--type", "rope"], "unknown type 'rope'"),
    "unknown bucket, inspect": (["inspect", "k", "--bucket", "nobody"], "unknown bucket 'nobody'"),
    "put of a set": (["put", "k", "1", "--type", "set"], "put is for register or lww, not for set"),
    "add to a map": (["add", "k", "x", "--type", "map"], "add is for set, rwset, gset or hll, not for map"),
    "remove from a gset": (["remove", "k", "x", "--type", "gset"], "remove is for set, rwset or board, not for gset"),
    "members of a counter": (["members", "k", "--type", "counter"], "members is for set, rwset, gset or board"),
    "enable a set": (["enable", "k", "--type", "set"], "enable is for flag or dwflag, not for set"),
    "incr a register": (["incr", "k", "--type", "register"], "incr is for counter or bcounter, not for register"),
    "set a set": (["set", "k", "1", "--type", "set"], "set is for maxreg or minreg, not for set"),
    "set a word": (["set", "k", "x", "--type", "maxreg"], "a number is"),
    "score a word": (["score", "k", "ada", "x"], "a number is"),
    "member that is an object": (["add", "k", '{"a": 1}'], "a JSON object cannot be a member"),
    "rank and score": (["ranking", "k", "--from", "1", "--low", "2"], "by rank (--from, --to) or by score"),
    "path without type": (["field", "k", "name", "get"], "a path is type:name"),
    "operation of another type": (["field", "k", "gset:s", "remove", "x"], "a gset knows get, add or delete"),
    "operation without arguments": (["field", "k", "board:b", "set", "ada"], "takes MEMBER NUMBER"),
    "ttl of a delete": (["field", "k", "set:s", "delete", "--ttl", "1"], "delete takes no --ttl"),
    "ttl of a bcounter": (["incr", "k", "--type", "bcounter", "--ttl", "1"], "a bcounter does not expire"),
    "ttl that is negative": (["put", "k", "1", "--ttl", "-1"], "a time to live is in seconds"),
    "unknown level": (["get", "k", "--level", "MOST"], "unknown consistency level 'MOST'"),
    "level of too many": (["get", "k", "--level", "4,4"], "than the 3 there are"),
    "level of none": (["get", "k", "--level", "0,1"], "whole numbers from 1"),
    "unknown data center": (["get", "k", "--dc", "mars"], "no data center 'mars' in the configuration: one of eu, us"),
    "counter, fraction": (["incr", "k", str(2**63)], "below 2**63"),
    "bench of nothing": (["bench", "--op", "dance"], "--op takes put, get and incr"),
    "bench of no workload": (["bench", "--workload", "a,g"], "--workload takes a to f"),
    "bench of two kinds": (["bench", "--workload", "a", "--op", "put"], "--op and --workload exclude each other"),
    "bench with words": (["bench", "--workers", "many", "--seconds", "1"], "workers"),
    **{
        f"{verb} --timeout {number}": ([verb, *arguments, "--timeout", number], "--timeout takes seconds, above 0")
        for verb, arguments, number in [("get", ["k"], "inf"), ("put", ["k", "1"], "nan"), ("watch", [], "1e17")]
    },
    "lag --wait inf": (["lag", "--wait", "inf"], "--wait takes seconds"),
    "repair --wait -1": (["repair", "--wait", "-1"], "--wait takes seconds"),
    "repair of an unknown data center": (["repair", "--between", "eu", "mars"], "no data center 'mars'"),
    "repair of one data center": (["repair", "--between", "eu", "eu"], "name two data centers"),
    "repair of too much": (["repair", "--between", "eu", "us", "--partition", "1"], "leave out --partition"),
    "bench --seconds nan": (["bench", "--seconds", "nan"], "--seconds takes seconds"),
    "put --ttl inf": (["put", "k", "1", "--ttl", "inf"], "a time to live is"),
    "ranking from nan": (["ranking", "k", "--low", "nan"], "a bound is a number"),
    "put of a name twice": (["put", "k", '{"a": 1, "a": 2}'], 'the name "a" is there twice in one object'),
    "put of a large number": (["put", "k", "1e400"], "the number 1e400 is too large"),
    "put of deep JSON": (["put", "k", "[" * 60_000], "it is nested too deeply"),
    "put of text that is not UTF-8": (["put", "k", os.fsdecode(b"\xff")], "cannot be stored"),
    "add of a name twice": (["add", "k", '[{"a": 1, "a": 2}]'], "there twice"),
    "field of a large number": (["field", "k", "register:f", "put", "1e400"], "too large"),
    "watch from nowhere": (["watch", "--token", "x"], "this is not a watch token"),
    "export to a directory": (["export", "."], "cannot be written: Is a directory"),
    "export nowhere": (["export", "/nowhere/file"], "/nowhere/file"),
    "import from nowhere": (["import", "/nowhere/file"], "/nowhere/file"),
    "decode from nowhere": (["decode", "/nowhere/file"], "/nowhere/file"),
    "node that is not there": (["node", "eu-9", "--insecure"], "no node 'eu-9' in the configuration: one of eu-1"),
    "log format": (["node", "eu-1", "--insecure", "--log-format", "xml"], "--log-format"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wrong_calls(cluster: LocalCluster) -> dict[str, Outcome]:
    calls = {name: arguments for name, (arguments, _) in CALLS.items()}
    return await program.run_all(calls, cwd=cluster.directory)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_wrong_call_is_told_in_one_line_and_exits_with_2(wrong_calls: dict[str, Outcome], name: str) -> None:
    outcome = wrong_calls[name]
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert CALLS[name][1] in outcome.complaint


async def test_a_call_the_program_does_not_know_exits_with_2(run: Run) -> None:
    for arguments in (["dance"], ["put", "k"], ["incr", "k", "1.5"]):
        outcome = await run(*arguments)
        assert outcome.code == 2
        assert "Traceback" not in outcome.err
        assert "Usage:" in outcome.err


async def test_keys_and_prefixes_need_not_be_utf_8(run: Run, eu: Client) -> None:
    typed = os.fsdecode(b"odd:\xff\x1b")
    assert (await run("put", typed, "1")).out == "wrote 0x6f64643aff1b\n"
    assert await eu.get(b"odd:\xff\x1b") == 1
    for arguments in (["get", typed], ["scan", typed], ["scan", os.fsdecode(b"odd:\xff")]):
        shown = (await run(*arguments, "--json")).json
        assert (shown["key"], shown["key_hex"], shown["value"]) == ("0x6f64643aff1b", "6f64643aff1b", 1)
    assert (await run("export", "--prefix", typed)).out == '{"key_hex": "6f64643aff1b", "value": 1}\n'
    assert (await run("inspect", typed)).code in (0, 1)
    assert "default/register/0x6f64643aff1b: token" in (await run("ring", "--key", typed)).out


async def test_what_is_stored_is_shown_as_text_and_nothing_else(run: Run, eu: Client) -> None:
    await eu.put("[/x]:key:", "[red]v[/red] \x1b[2J\n:heart:")
    await eu.board("[/x]:key:").set("[/b]", 5)
    scanned = (await run("scan", "[/x]")).out.splitlines()
    assert scanned[1].split("  ")[:2] == ["[/x]:key:", "[red]v[/red] \\x1b[2J\\n:heart:"]
    assert "[/b]" in (await run("ranking", "[/x]:key:")).out
    assert "[red]v[/red] \\x1b[2J\\n:heart:" in (await run("inspect", "[/x]:key:")).out
    assert "default/register/[/x]:key:: token" in (await run("ring", "--key", "[/x]:key:")).out


async def test_output_that_nobody_takes_is_one_line_or_none(cluster: LocalCluster, eu: Client) -> None:
    await eu.put("taken", "grüße")
    arguments = [
        sys.executable,
        "-m",
        "crdtkv.cli",
        "get",
        "taken",
        "--config",
        str(cluster.directory / "datacenters.yaml"),
    ]
    with open("/dev/full", "w") as full:  # noqa: ASYNC230
        process = await asyncio.create_subprocess_exec(*arguments, stdout=full, stderr=PIPE)
        _, err = await process.communicate()
    assert (process.returncode, err) == (2, b"crdtkv: standard output: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(*arguments, stdout=writing, stderr=PIPE)
    os.close(writing)
    _, err = await process.communicate()
    assert err == b""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for more, told in ([], b"gr\\xfc\\xdfe\n"), (["--json"], b'{"key": "taken", "exists": true, "value": "gr\\u00fc'):
        process = await asyncio.create_subprocess_exec(*arguments, *more, env=environment, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate()
        assert (out[: len(told)], err) == (told, b"")


# Records that are none.

RECORDS: dict[str, tuple[str | bytes, str]] = {
    "no json": ("{oops", "line 2: not JSON"),
    "no object": ("[1, 2]", "line 2: a record is an object"),
    "no utf-8": (b'{"key": "\xff", "value": 1}', "UTF-8"),
    "nan": ('{"key": "k", "value": NaN}', "line 2: not JSON"),
    "name twice": (
        '{"key": "a", "key": "b", "value": 1}',
        'line 2: not JSON that can be kept: the name "key" is there',
    ),
    "deep": ('{"key": "k", "value": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2: not JSON that can be kept"),
}


@pytest.mark.parametrize("name", sorted(RECORDS))
async def test_a_line_that_is_no_record_ends_the_import_with_2(run: Run, tmp_path: Path, name: str) -> None:
    line, message = RECORDS[name]
    outcome = await run("import", lines(tmp_path / "records", '{"key": "before", "value": 1}', line))
    assert outcome.code == 2
    assert message in outcome.complaint
    # Nothing is written of a file that has such a line, also not by standard input.
    piped = await run("import", stdin=(tmp_path / "records").read_bytes())
    assert (piped.code, piped.out) == (2, "")
    assert message in piped.complaint
    assert (await run("get", "before")).code == 1


FAILING: dict[str, tuple[str, str]] = {
    "value too large": ('{"key": "k", "value": "' + "x" * 600_000 + '"}', "the limit is 524288"),
    "no key": ('{"value": 1}', "key"),
    "no value": ('{"key": "k"}', "value"),
    "empty key": ('{"key": "", "value": 1}', "1 to 1024 bytes"),
    "key that is a number": ('{"key": 7, "value": 1}', "key"),
    "key in wrong digits": ('{"key_hex": "xy", "value": 1}', "not hexadecimal"),
    "value in wrong digits": ('{"key": "k", "cbor": "xy"}', "not hexadecimal"),
    "value that is no cbor": ('{"key": "k", "cbor": "ff"}', "not a valid value"),
    "value cut off": ('{"key": "k", "cbor": "7f61"}', "not a valid value"),
    "unknown type": ('{"key": "k", "type": "rope", "value": 1}', "unknown type 'rope'"),
    "set without members": ('{"key": "k", "type": "set", "value": 1}', '"members" is a list'),
    "bcounter in a map": (
        '{"key": "k", "type": "map", "fields": [{"field": "b", "type": "bcounter", "value": 1}]}',
        "a field has one of the types",
    ),
    "type that is a list": ('{"key": "k", "type": ["lww"], "value": 1}', "type"),
    "counter that is text": ('{"key": "k", "type": "counter", "value": "1"}', "whole number"),
    "siblings that are numbers": ('{"key": "k", "siblings": [1, 2]}', "value"),
    "field that is unknown": ('{"key": "k", "value": 1, "colour": "red"}', 'a record has no "colour"'),
    "field of a map that is unknown": (
        '{"key": "k", "type": "map", "fields": [{"field": "f", "value": 1, "ttl": 1}]}',
        'a record has no "ttl"',
    ),
    "siblings that are a number": ('{"key": "k", "siblings": 3}', "value"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def failing_imports(cluster: LocalCluster) -> dict[str, Outcome]:
    """Import each bad record, followed by a good one."""
    calls = {}
    for name, (line, _) in FAILING.items():
        good = json.dumps({"key": f"good:{name}", "value": name})
        calls[name] = ["import", lines(cluster.directory / f"records {name}", line, good), "--json"]
    return await program.run_all(calls, cwd=cluster.directory)


@pytest.mark.parametrize("name", sorted(FAILING))
async def test_a_record_that_cannot_be_written_is_counted_and_the_others_are_written(
    failing_imports: dict[str, Outcome], eu: Client, name: str
) -> None:
    outcome = failing_imports[name]
    assert outcome.code == 1, outcome.err
    assert (outcome.json["failed"], outcome.json["written"]) == (1, 1)
    assert "1 records were not written" in outcome.complaint
    assert FAILING[name][1] in outcome.complaint
    assert await eu.get(f"good:{name}") == name


async def test_an_import_into_an_unknown_bucket_is_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    records = lines(tmp_path / "records", '{"key": "k", "value": 1}')
    outcome = await run("import", records, "--bucket", "nobody", longest_s=20)
    assert outcome.code == 2
    assert "unknown bucket 'nobody'" in outcome.complaint


# The cluster.


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the configuration of a cluster that does not run."""
    directory = tmp_path_factory.mktemp("nobody")
    (directory / "datacenters.yaml").write_text(dump(on_free_ports(load(DATACENTERS))))
    (directory / "records").write_text('{"key": "k", "value": 1}\n')
    return directory


UNREACHABLE = {
    "get": ["get", "k"],
    "put": ["put", "k", "1"],
    "delete": ["delete", "k"],
    "incr": ["incr", "k"],
    "add": ["add", "k", "x"],
    "field": ["field", "k", "register:f", "get"],
    "scan": ["scan"],
    "export": ["export"],
    "import": ["import", "records"],
}


async def test_a_cluster_that_does_not_run_is_told_in_one_line_and_exits_with_3(nobody: Path) -> None:
    calls = {verb: [*arguments, "--timeout", "1"] for verb, arguments in UNREACHABLE.items()}
    for outcome in (await program.run_all(calls, cwd=nobody)).values():
        assert (outcome.code, outcome.out) == (3, ""), outcome.err
        assert "no node answers at 127.0.0.1:" in outcome.complaint
        assert "is the cluster running?" in outcome.complaint


async def test_a_data_center_that_running_nodes_do_not_know_is_told_with_what_to_do(
    run: Run, cluster: LocalCluster, tmp_path: Path
) -> None:
    document = load(cluster.directory / "datacenters.yaml").model_dump(mode="json")
    *ports, nats = free_ports(3)
    added = {
        "nats": {"url": f"nats://127.0.0.1:{nats}"},
        "nodes": [{"name": "ap-1", "port": ports[0], "http_port": ports[1]}],
    }
    document["datacenters"]["ap"] = added
    file = tmp_path / "more.yaml"
    file.write_text(dump(ClusterConfig.model_validate(document)))
    lag = await run("lag", "--config", file)
    assert lag.code == 1
    assert lag.complaint == (
        "crdtkv: eu-1, eu-2, eu-3, us-1, us-2, us-3 do not know the data center 'ap', and send it nothing: "
        "give them this configuration, and restart them one after the other"
    )
    rows = {
        (row["from"], row["to"]): row["silent_nodes"] for row in (await run("lag", "--config", file, "--json")).json
    }
    assert (rows["eu", "ap"], rows["ap", "eu"]) == (3, 1)
    for verb, code in ("status", 1), ("hints", 0):
        outcome = await run(verb, "--config", file)
        assert (outcome.code, outcome.err) == (code, "")


async def test_the_status_of_a_cluster_that_does_not_run_exits_with_1(nobody: Path) -> None:
    calls: dict[str, list[str | Path]] = {"status": ["status", "--json"], "lag": ["lag"], "inspect": ["inspect", "k"]}
    told = await program.run_all(calls, cwd=nobody)
    assert told["status"].code == told["lag"].code == told["inspect"].code == 1
    assert told["inspect"].out.splitlines()[-1] == "no answer from eu-1, eu-2, eu-3, us-1, us-2, us-3"
    assert told["status"].json["eu"] == {"eu-1": None, "eu-2": None, "eu-3": None}


async def test_a_level_the_cluster_cannot_meet_exits_with_3(run: Run, cluster: LocalCluster) -> None:
    await cluster.nodes["us-3"].kill()
    outcome = await run("put", "k", "1", "--dc", "us", "--level", "LOCAL_ALL")
    await cluster.start_node("us-3")
    assert outcome.code == 3
    assert outcome.complaint == (
        "crdtkv: 3 replicas are required, 2 are alive: use a lower consistency level or wait until nodes are back"
    )
