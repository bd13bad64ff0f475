"""What is wrong with a call is told in one line, exit code 2; what the cluster cannot do, 3; never a traceback."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from crdtkv import Client
from crdtkv.config.loader import dump, load
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports

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
    "bench with words": (["bench", "--workers", "many", "--seconds", "1"], "workers"),
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


# Records that are none.

RECORDS: dict[str, tuple[str | bytes, str]] = {
    "no json": ("{oops", "line 2: not JSON"),
    "no object": ("[1, 2]", "line 2: a record is an object"),
    "no utf-8": (b'{"key": "\xff", "value": 1}', "UTF-8"),
}


@pytest.mark.parametrize("name", sorted(RECORDS))
async def test_a_line_that_is_no_record_ends_the_import_with_2(run: Run, tmp_path: Path, name: str) -> None:
    line, message = RECORDS[name]
    outcome = await run("import", lines(tmp_path / "records", '{"key": "before", "value": 1}', line))
    assert outcome.code == 2
    assert message in outcome.complaint


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
