"""What a node shows over HTTP: health, readiness, status and metrics."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from crdtkv import LOCAL_ALL, Client, InvalidKey, InvalidRequest, UnknownBucket
from crdtkv.local.cluster import LocalCluster

from .conftest import FIRST_EPOCH
from .metrics import figure, page, samples
from .waiting import eventually, nothing_lags

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("mended_in_the_end")]
NEEDS_OWN_CLUSTER = True

NODES = ["eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3"]


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def some_work(cluster: LocalCluster, eu: Client, us: Client) -> AsyncIterator[None]:
    """Let every kind of request happen, some of it wrong."""
    assert set((await eu.put_many({f"work:{number}": number for number in range(200)})).values()) == {None}
    await eu.get_many([f"work:{number}" for number in range(200)])
    for number in range(30):
        await eu.get(f"work:{number}", consistency="ONE")
        await eu.counter(f"work:{number}").increment()
        await eu.delete(f"work:{number}", consistency=LOCAL_ALL)
    assert len([key async for key, _ in eu.scan("work:")]) == 170
    with pytest.raises(UnknownBucket):
        await eu.bucket("nobody").put("k", 1)
    await nothing_lags(eu, us)
    yield


@pytest.mark.parametrize("node", NODES)
async def test_a_node_that_serves_is_healthy_and_ready(cluster: LocalCluster, node: str) -> None:
    assert await page(cluster, node, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert await page(cluster, node, "/readyz") == (200, "text/plain; charset=utf-8", "ready\n")


async def test_other_paths_and_methods_are_refused(cluster: LocalCluster) -> None:
    status, _, _ = await page(cluster, "eu-1", "/")
    assert status == 404
    status, _, _ = await page(cluster, "eu-1", "/metrics/../../etc/passwd")
    assert status == 404


async def test_the_status_page_tells_what_the_client_is_told(cluster: LocalCluster, eu: Client) -> None:
    status, kind, body = await page(cluster, "eu-1", "/status")
    assert (status, kind) == (200, "application/json")
    shown = json.loads(body)
    told = (await eu.status())["eu-1"]
    assert told is not None
    assert set(shown) - {"figures"} == set(told)
    for name in ("node", "datacenter", "actor", "epoch", "peers_up", "bus_up", "disk_space", "comparing_elsewhere"):
        assert shown[name] == told[name]
    assert shown["peers_up"] == ["eu-2", "eu-3"]
    assert shown["figures"]["cpu_seconds"] > 0


async def test_metrics_are_in_prometheus_text_format(cluster: LocalCluster) -> None:
    status, kind, body = await page(cluster, "us-3", "/metrics")
    assert status == 200
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    for line in body.splitlines():
        if not line.startswith("#"):
            assert line.startswith("crdtkv_")


async def test_requests_are_counted_by_kind_level_and_outcome(cluster: LocalCluster) -> None:
    async def counted(kind: str, level: str, outcome: str) -> float:
        return await figure(cluster, "eu", "crdtkv_request_seconds_count", kind=kind, level=level, outcome=outcome)

    assert await counted("put", "LOCAL_QUORUM", "ok") >= 200
    assert await counted("get", "LOCAL_QUORUM", "ok") >= 200
    assert await counted("get", "ONE", "ok") == 30
    assert await counted("increment", "LOCAL_QUORUM", "ok") == 30
    assert await counted("delete", "LOCAL_ALL", "ok") == 30
    assert await counted("scan", "LOCAL_QUORUM", "ok") >= 256
    assert await counted("put", "LOCAL_QUORUM", "unknown_bucket") == 1


async def test_histograms_are_cumulative_and_end_with_their_count(cluster: LocalCluster) -> None:
    shown = await samples(cluster, "eu-1")
    for base in ("crdtkv_request_seconds", "crdtkv_replica_rpc_seconds", "crdtkv_commit_seconds"):
        series: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
        for (name, labels), value in shown.items():
            if name == f"{base}_bucket":
                bound = float(dict(labels)["le"])
                rest = frozenset(item for item in labels if item[0] != "le")
                series.setdefault(rest, []).append((bound, value))
        assert series
        for labels, buckets in series.items():
            counts = [count for _, count in sorted(buckets)]
            assert counts == sorted(counts)
            assert counts[-1] == shown[f"{base}_count", labels] > 0
            assert shown[f"{base}_sum", labels] >= 0


async def test_requests_to_other_replicas_are_timed_by_kind(cluster: LocalCluster) -> None:
    for kind in ("read", "write"):
        assert await figure(cluster, "eu", "crdtkv_replica_rpc_seconds_count", kind=kind) > 0


async def test_commits_are_timed(cluster: LocalCluster) -> None:
    for node in NODES:
        shown = await samples(cluster, node)
        assert shown["crdtkv_commit_seconds_count", frozenset()] > 0


async def test_lag_is_shown_for_the_other_data_center(cluster: LocalCluster) -> None:
    for node in NODES:
        shown = await samples(cluster, node)
        other = frozenset({("datacenter", "us" if node.startswith("eu") else "eu")})
        assert shown["crdtkv_lag_rows", other] == 0
        assert shown["crdtkv_lag_seconds", other] == 0
        assert shown["crdtkv_outbox_rows", frozenset()] == 0


async def test_replicated_rows_are_counted_where_they_leave_and_where_they_arrive(cluster: LocalCluster) -> None:
    assert await figure(cluster, "eu", "crdtkv_geo_published_rows_total") >= 230
    assert await figure(cluster, "us", "crdtkv_geo_applied_rows_total") >= 230


async def test_the_state_of_a_node_is_shown(cluster: LocalCluster) -> None:
    for node in NODES:
        shown = {name: value for (name, labels), value in (await samples(cluster, node)).items() if not labels}
        assert shown["crdtkv_peers_up"] == 2
        assert shown["crdtkv_bus_up"] == 1
        assert shown["crdtkv_ring_epoch"] == FIRST_EPOCH
        assert shown["crdtkv_disk_space_sufficient"] == 1
        assert shown["crdtkv_comparing_datacenters"] == 0
        assert shown["crdtkv_cpu_seconds"] > 0
        for quiet in ("dead_letters", "incarnations_renewed", "clock_ahead", "outbox_rows_without_entry"):
            assert shown[f"crdtkv_{quiet}_total"] == 0


async def test_the_disk_is_shown(cluster: LocalCluster) -> None:
    shown = {name: value for (name, labels), value in (await samples(cluster, "eu-1")).items() if not labels}
    assert shown["crdtkv_storage_estimated_rows"] > 0
    assert shown["crdtkv_storage_memtable_bytes"] > 0
    for name in ("sst_bytes", "block_cache_bytes", "pending_compaction_bytes"):
        assert shown[f"crdtkv_storage_{name}"] >= 0


async def test_connected_clients_are_counted(cluster: LocalCluster, eu: Client) -> None:
    assert (await samples(cluster, "eu-2"))["crdtkv_client_links", frozenset()] == 1


async def test_calls_that_never_reach_a_node_are_not_counted(cluster: LocalCluster, eu: Client) -> None:
    before = await figure(cluster, "eu", "crdtkv_request_seconds_count", kind="put", level="ONE", outcome="ok")
    with pytest.raises(InvalidKey):
        await eu.put("", 1, consistency="ONE")
    with pytest.raises(InvalidRequest):
        await eu.put("k", 1, consistency="NONE")
    assert before == await figure(cluster, "eu", "crdtkv_request_seconds_count", kind="put", level="ONE", outcome="ok")


async def test_a_node_cut_off_from_its_peers_is_healthy_and_not_ready(cluster: LocalCluster) -> None:
    for name in ("us-2", "us-3"):
        await cluster.nodes[name].kill()
    lonely = "not ready: linked to 0 other nodes, a quorum of every key needs 1\n"
    await eventually(lambda: page(cluster, "us-1", "/readyz"), lambda shown: (shown[0], shown[2]) == (503, lonely))
    assert (await page(cluster, "us-1", "/healthz"))[0] == 200
    assert (await samples(cluster, "us-1"))["crdtkv_peers_up", frozenset()] == 0
    await asyncio.gather(cluster.start_node("us-2"), cluster.start_node("us-3"))
    assert (await eventually(lambda: page(cluster, "us-1", "/readyz"), lambda shown: shown[0] == 200))[2] == "ready\n"
