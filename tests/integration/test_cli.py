"""The verbs of `crdtkv` on a running cluster: what they print, with and without `--json`, and how they exit."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import pytest_asyncio

from crdtkv import Client
from crdtkv.local.cluster import LocalCluster

from . import program
from .conftest import FIRST_EPOCH
from .program import Outcome
from .waiting import nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]

Run = Callable[..., Awaitable[Outcome]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(cluster: LocalCluster) -> Run:
    """Run `crdtkv` beside the cluster's datacenters.yaml."""
    return partial(program.run, cwd=cluster.directory)


async def test_a_value_is_written_and_read(run: Run) -> None:
    put = await run("put", "user:1", '{"name": "Ada", "born": 1815}')
    assert put == Outcome(0, "wrote user:1\n", "")
    get = await run("get", "user:1")
    assert get == Outcome(0, '{"born": 1815, "name": "Ada"}\n', "")


async def test_json_output_is_one_document_for_programs(run: Run) -> None:
    put = await run("put", "user:2", "[1, 2]", "--json")
    assert (put.code, put.json, put.err) == (0, {"key": "user:2", "ok": True}, "")
    get = await run("get", "user:2", "--json")
    assert get.code == 0
    shown = get.json
    assert (shown["key"], shown["exists"], shown["value"], shown["siblings"]) == ("user:2", True, [1, 2], [[1, 2]])
    assert shown["timestamp_ms"] > 1_700_000_000_000


async def test_what_is_no_json_is_text(run: Run, eu: Client) -> None:
    await run("put", "cli:text", "plain text")
    assert await eu.get("cli:text") == "plain text"
    await run("put", "cli:number", "17")
    assert await eu.get("cli:number") == 17
    await run("put", "cli:digits", "17", "--text")
    assert await eu.get("cli:digits") == "17"


async def test_text_is_printed_as_it_is_and_other_values_as_json(run: Run, eu: Client) -> None:
    await eu.put("cli:letters", "grüße 漢字")
    assert (await run("get", "cli:letters")).out == "grüße 漢字\n"
    await eu.put("cli:nothing", None)
    assert (await run("get", "cli:nothing")).out == "null\n"
    await eu.put("cli:bytes", b"\0\xff")
    assert (await run("get", "cli:bytes")).out == '{"bytes": "00ff"}\n'


async def test_an_absent_key_exits_with_1(run: Run) -> None:
    absent = await run("get", "cli:absent")
    assert (absent.code, absent.out) == (1, "")
    assert absent.complaint == "crdtkv: cli:absent has no value"
    as_json = await run("get", "cli:absent", "--json")
    assert (as_json.code, as_json.err) == (1, "")
    assert as_json.json["exists"] is False
    assert as_json.json["siblings"] == []


async def test_a_deleted_key_is_absent(run: Run) -> None:
    await run("put", "cli:deleted", "1")
    assert await run("delete", "cli:deleted") == Outcome(0, "deleted cli:deleted\n", "")
    assert (await run("get", "cli:deleted")).code == 1


async def test_siblings_are_told(run: Run, eu: Client) -> None:
    before = (await eu.entry("cli:cart")).context
    await eu.put("cli:cart", "book", context=before)
    await eu.put("cli:cart", "lamp", context=before)
    get = await run("get", "cli:cart")
    assert (get.code, get.out) == (0, "lamp\n")
    assert get.err.splitlines() == ["crdtkv: 2 concurrent values; the others:", "crdtkv:   book"]
    assert (await run("get", "cli:cart", "--json")).json["siblings"] == ["lamp", "book"]


async def test_counters_count(run: Run) -> None:
    assert await run("incr", "cli:views") == Outcome(0, "1\n", "")
    assert (await run("incr", "cli:views", "41")).out == "42\n"
    assert (await run("incr", "cli:views", "--json", "--", "-2")).json == {"key": "cli:views", "value": 40}
    assert (await run("get", "cli:views", "--type", "counter")).out == "40\n"
    assert (await run("delete", "cli:views", "--type", "counter")).code == 0


async def test_buckets_types_levels_and_data_centers_are_chosen_by_options(run: Run, eu: Client, us: Client) -> None:
    assert (await run("put", "cli:k", "1", "--bucket", "carts", "--type", "lww", "--level", "LOCAL_ALL")).code == 0
    assert await eu.bucket("carts").lww().get("cli:k") == 1
    assert (await run("get", "cli:k", "-b", "carts", "-t", "lww", "-l", "2,2")).out == "1\n"
    assert (await run("get", "cli:k")).code == 1
    assert (await run("put", "cli:there", "2", "--dc", "us", "--level", "one")).code == 0
    assert await us.get("cli:there", consistency="LOCAL_ALL") == 2


async def test_a_scan_lists_keys_and_values(run: Run, eu: Client) -> None:
    await eu.put_many({f"scan:{number}": number for number in range(20)})
    await eu.put(b"scan:\xff", 20)
    table = await run("scan", "scan:")
    assert table.code == 0
    header, *rows = table.out.splitlines()
    assert header.split() == ["key", "value", "siblings"]
    assert sorted(row.split()[0] for row in rows) == sorted([*(f"scan:{n}" for n in range(20)), "0x7363616e3aff"])
    lines = (await run("scan", "scan:", "--json")).out.splitlines()
    documents = [Outcome(0, line, "").json for line in lines]
    assert sorted(document["value"] for document in documents) == list(range(21))
    assert len((await run("scan", "scan:", "--json", "--limit", "5")).out.splitlines()) == 5
    assert (await run("scan", "no such prefix", "--json")) == Outcome(0, "", "")


async def test_a_scan_of_counters_shows_their_values(run: Run, eu: Client) -> None:
    await eu.counter("hits:a").increment(3)
    shown = await run("scan", "hits:", "--type", "counter", "--json")
    assert shown.json["value"] == 3


async def test_the_status_shows_every_node(run: Run) -> None:
    status = await run("status")
    assert status.code == 0
    for name in ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3"):
        (row,) = [line.split() for line in status.out.splitlines() if line.split()[1] == name]
        assert row[:3] == [name.partition("-")[0], name, "up"]
    told = (await run("status", "--json")).json
    assert {dc: sorted(nodes) for dc, nodes in told.items()} == {
        "eu": ["eu-1", "eu-2", "eu-3"],
        "us": ["us-1", "us-2", "us-3"],
    }
    assert told["eu"]["eu-1"]["peers_up"] == ["eu-2", "eu-3"]


async def test_the_ring_shows_nodes_and_shares(run: Run) -> None:
    assert (await run("ring")).code == 0
    told = (await run("ring", "--json", "--dc", "us")).json
    assert told["epoch"] == FIRST_EPOCH
    assert [node["node"] for node in told["nodes"]] == ["us-1", "us-2", "us-3"]
    assert sum(node["share"] for node in told["nodes"]) == pytest.approx(1)


async def test_the_ring_shows_where_a_key_lives(run: Run, eu: Client) -> None:
    told = (await run("ring", "--key", "user:1", "--json")).json
    assert told["key"] == "user:1"
    assert 0 <= told["partition"] < 256
    assert int(told["token"], 16) >> 56 == told["partition"]
    assert sorted(told["replicas"]) == ["eu-1", "eu-2", "eu-3"]
    assert told["fallbacks"] == []
    table = await run("ring", "--key", "user:1")
    assert told["token"] in table.out
    assert table.out.count("replica") >= 3


async def test_the_lag_is_shown_and_waited_for(run: Run, eu: Client, us: Client) -> None:
    await eu.put_many({f"lag:{number}": number for number in range(200)})
    lag = await run("lag", "--wait", "30", "--json")
    assert lag.code == 0
    assert [(row["from"], row["to"], row["rows"]) for row in lag.json] == [("eu", "us", 0), ("us", "eu", 0)]
    assert (await run("lag")).code == 0


async def test_a_lag_that_stays_exits_with_1(run: Run, cluster: LocalCluster, eu: Client, us: Client) -> None:
    await nothing_lags(eu, us)
    cluster.cut("eu", "us")
    await eu.put("behind", 1)
    lag = await run("lag", "--json")
    assert lag.code == 1
    assert lag.json[0]["rows"] == 1
    assert (await run("lag", "--wait", "0.2")).code == 1
    cluster.heal("eu", "us")
    assert (await run("lag", "--wait", "30")).code == 0


async def test_a_node_that_does_not_answer_is_shown_and_exits_with_1(run: Run, cluster: LocalCluster) -> None:
    await cluster.nodes["us-1"].kill()
    status = await run("status", "--json")
    assert status.code == 1
    assert status.json["us"]["us-1"] is None
    assert status.json["us"]["us-2"] is not None
    table = await run("status")
    assert table.code == 1
    assert "no answer" in table.out
    lag = await run("lag", "--json")
    assert lag.code == 1
    assert lag.json[1]["silent_nodes"] == 1
    await cluster.start_node("us-1")
    assert (await run("lag", "--wait", "30")).code == 0


async def test_bench_measures_and_leaves_no_error(run: Run) -> None:
    bench = await run("bench", "--seconds", "1", "--workers", "4", "--keys", "50", "--op", "put,get,incr", "--json")
    assert bench.code == 0
    results = bench.json
    assert [result["operation"] for result in results] == ["put", "get", "incr"]
    for result in results:
        assert result["workers"] == 4
        assert result["operations_per_s"] > 0
        assert 0 < result["p50_ms"] <= result["p99_ms"]
        assert result["errors"] == 0


KINDS = {
    "a": ["read", "update", "all"],
    "b": ["read", "update", "all"],
    "c": ["read"],
    "d": ["read", "insert", "all"],
    "e": ["scan", "insert", "all"],
    "f": ["read", "read-modify-write", "all"],
}


async def test_bench_runs_the_workloads_of_ycsb(run: Run, eu: Client) -> None:
    bench = await run(
        "bench", "--workload", ",".join(KINDS), "--operations", "200", "--workers", "4", "--records", "300",
        "--value-size", "40", "--json",
    )  # fmt: skip
    assert (bench.code, bench.err) == (0, "")
    told = bench.json
    assert [(one["workload"], one["operation"]) for one in told] == [(w, kind) for w in KINDS for kind in KINDS[w]]
    for one in told:
        assert one["operations_per_s"] > 0
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert (one["errors"], one["level"], one["value_bytes"]) == (0, "LOCAL_QUORUM", 40)
    rates = {(one["workload"], one["operation"]): one["operations_per_s"] for one in told}
    for workload, kinds in KINDS.items():
        if len(kinds) == 3:
            assert sum(rates[workload, kind] for kind in kinds[:2]) == pytest.approx(rates[workload, "all"])
    assert rates["b", "read"] > 5 * rates["b", "update"]
    inserted = await eu.get("bench:300")
    assert isinstance(inserted, bytes)
    assert len(inserted) == 40


async def test_bench_ends_after_so_many_operations(run: Run) -> None:
    bench = await run(
        "bench", "--op", "get", "--operations", "500", "--workers", "8", "--keys", "20", "--seconds", "50"
    )
    assert bench.code == 0
    names, cells = (line.split("  ") for line in bench.out.splitlines())
    assert [name.strip() for name in names if name.strip()][:3] == ["operation", "level", "workers"]
    assert [cell.strip() for cell in cells if cell.strip()][:3] == ["get", "ONE", "8"]


async def test_help_names_every_verb(run: Run) -> None:
    shown = await run("--help")
    assert shown.code == 0
    verbs = {line.split()[0] for line in shown.out.splitlines() if line.startswith("  ") and line.strip()}
    assert {"up", "demo", "node", "get", "put", "delete", "incr", "scan", "watch", "import", "export"} <= verbs
    assert {"set", "add", "remove", "members", "enable", "disable", "score", "ranking", "field"} <= verbs
    assert {"status", "ring", "lag", "inspect", "bench", "decode"} <= verbs


async def test_verbs_find_the_configuration_by_option_and_by_environment(run: Run, cluster: LocalCluster) -> None:
    elsewhere = partial(program.run, cwd=cluster.directory.parent)
    path = cluster.directory / "datacenters.yaml"
    assert (await elsewhere("put", "found", "1", "--config", path)).code == 0
    assert (await elsewhere("get", "found", "-c", path)).out == "1\n"
