"""A node's metrics in Prometheus's exposition format.

The core counts in plain integers (`node.kernel.stats`); this module turns a snapshot of them into metric families at
the time of a request, so nothing on the request path depends on Prometheus. All times are in seconds, all sizes in
bytes.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.stats import BUCKETS_S, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: The counters of a core by name, and their help texts.
COUNTERS = {
    "requests_refused": "Requests of clients refused on arrival, because they would have waited too long",
    "reads_in_full": "Quorum reads that a comparison of digests did not end",
    "read_repairs": "Replicas written back to by blocking read repair",
    "read_repairs_refused": "Replicas that could not store a read repair, and were replaced by others",
    "hedged_reads": "Additional replicas asked because others were late",
    "hedges_withheld": "Times a late read asked no further replica because too many other reads did",
    "explored_reads": "Reads that asked a slower replica, to measure whether it still is slower",
    "background_reads": "Reads of all replicas in the background, after one replica had answered alone",
    "superseded_by_replicas": "Older versions a replica dropped on its own for a blind write",
    "merkle_exchanges": "Anti-entropy exchanges that this node began with another replica",
    "merkle_repaired": "Entries that anti-entropy sent or merged because two replicas differed",
    "merkle_trees_corrected": "Merkle trees that did not match the disk",
    "hints_kept": "Hints stored for replicas that were down",
    "hints_delivered": "Hints delivered to their targets",
    "hints_dropped": "Hints dropped for lack of room; their targets are repaired by an anti-entropy session",
    "fallback_writes": "Writes coordinated by this node as a fallback, because no home replica was alive",
    "learners_began": "Times this node became a learner",
    "learners_promoted": "Times this node became a member after it had learned",
    "collection_rounds": "Times all nodes were asked to agree to the collection of tombstones",
    "tombstones_collected": "Tombstones this node has collected",
    "watch_changes_sent": "Entries sent to watching clients, initial states included",
    "watch_scans_begun": "Times the initial state was read for a watching client, for the first time or again",
    "members_down": "Times this node detected that another one is down",
    "junk_messages": "Messages dropped because they were malformed or not allowed",
    "unsendable_messages": "Messages too large for any frame; their requesters got an error",
    "messages_held_back": "Messages dropped because a link had too much to send; their requesters got an error",
    "client_requests_over_budget": "Requests of clients refused because one step would have read too much for them",
    "refusals_received": "Requests that another replica refused",
    "epoch_refusals": "Requests refused because they had another ring epoch",
    "geo_published_rows": "Outbox rows that the stream has stored",
    "geo_republished_rows": "Outbox rows sent again because they were lost on the way",
    "geo_applied_rows": "Rows from other data centers that a majority has made durable",
    "geo_exchanges": "Anti-entropy exchanges that this node began with nodes of other data centers",
    "geo_sessions": "Times this node began to compare all its entries with another data center",
    "geo_repaired": "Entries that such exchanges sent or brought because two data centers differed",
    "geo_writes": "Writes of other data centers that waited for this one",
    "geo_reads": "Reads of other data centers that asked this one",
    "outboxes_lost": "Times another replica had lost its disk, and its outbox with it",
    "dead_letters": "Messages from other data centers that could not be decoded",
    "outbox_rows_too_large": "Outbox rows set aside because no message to other data centers can carry their entry",
    "topologies_contradicted": "Topology documents refused because a disk would count that has not learned",
    "outbox_rows_without_entry": "Outbox rows whose entry was missing",
    "operations_retried": "Writes that clients tried again here, because they may have been carried out",
    "operations_found": "Retried writes that had been carried out before, and were completed",
    "rights_requested": "Times another node was asked for rights to decrement a bounded counter",
    "rights_given": "Times rights to decrement a bounded counter were given to another node",
    "incarnations_renewed": "Times this node detected that it had lost writes",
    "actors_renewed": "Times this node took a new actor so that tombstones with its dots can be collected",
    "deltas_refused": "Changes of large entries refused because this replica lacked their basis",
    "clock_ahead": "Timestamps refused because they were too far in the future",
}


class NodeCollector(Collector):
    """Collects the metrics of one node. `figures` are the host's own gauges."""

    def __init__(self, core: NodeCore, figures: Iterable[tuple[str, str, float]]) -> None:
        self._core = core
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families."""
        stats = self._core.stats
        for name, help_text in COUNTERS.items():
            yield CounterMetricFamily(f"crdtkv_{name}", help_text, value=stats.counters.get(name, 0))
        requests = HistogramMetricFamily(
            "crdtkv_request_seconds",
            "Client requests by kind, level and outcome: from arrival to answer, before the answer's fsync",
            labels=["kind", "level", "outcome"],
        )
        for labels, histogram in sorted(stats.requests.items()):
            _add(requests, list(labels), histogram)
        yield requests
        rpcs = HistogramMetricFamily(
            "crdtkv_replica_rpc_seconds", "Requests to other replicas, by kind", labels=["kind"]
        )
        for kind, histogram in sorted(stats.replica_rpcs.items()):
            _add(rpcs, [kind], histogram)
        yield rpcs
        commits = HistogramMetricFamily("crdtkv_commit_seconds", "Group commits: write and fsync")
        _add(commits, [], stats.commits)
        yield commits
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        status = self._core.status()
        rows = GaugeMetricFamily("crdtkv_lag_rows", "Rows a data center has not confirmed", labels=["datacenter"])
        age = GaugeMetricFamily("crdtkv_lag_seconds", "Age of the oldest such row", labels=["datacenter"])
        for datacenter, lag in status["lag"].items():
            rows.add_metric([datacenter], lag["rows"])
            age.add_metric([datacenter], lag["age_s"])
        yield rows
        yield age
        waiting = GaugeMetricFamily(
            "crdtkv_tombstones_waiting", "Tombstones of the last round to which a node did not agree", labels=["node"]
        )
        for node, count in status["tombstones"]["waiting_for"].items():
            waiting.add_metric([node], count)
        yield waiting
        usual = GaugeMetricFamily(
            "crdtkv_replica_usual_seconds", "How long another node usually takes to answer a read", labels=["node"]
        )
        for node, latency in status["latencies"].items():
            usual.add_metric([node], latency["usual_ms"] / 1e3)
        yield usual
        incomplete = sum(not lag["is_complete"] for lag in status["lag"].values())
        for name, help_text, value in (
            ("outbox_rows", "Rows in the outbox", status["outbox_rows"]),
            ("comparing_datacenters", "Data centers this node has to compare all its entries with", incomplete),
            ("unfilled_datacenters", "Data centers that may hold what this one has lost", len(status["unfilled"])),
            ("tombstones", "Deleted keys whose tombstone this node stores", status["tombstones"]["rows"]),
            ("calls_in_flight", "Requests waiting for other replicas", status["calls_in_flight"]),
            ("requests_waiting", "Requests of clients that wait to begin", status["requests_waiting"]),
            ("watches_waiting", "Watching clients that wait for a change", status["watches_waiting"]),
            ("peers_up", "Nodes of this data center this node is linked to", len(status["peers_up"])),
            ("bus_up", "1 while this data center's NATS accepts messages", status["bus_up"]),
            ("ring_epoch", "Epoch of the ring in use", status["epoch"]),
            ("disk_space_sufficient", "0 while writes are refused for lack of disk space", status["disk_space"]),
            *self._figures,
        ):
            yield GaugeMetricFamily(f"crdtkv_{name}", help_text, value=float(value))
        build = {"version": status["version"], "build": status["build"]}
        yield InfoMetricFamily("crdtkv_build", "Version and build of the node", value=build)


def exposition(core: NodeCore, figures: Iterable[tuple[str, str, float]]) -> bytes:
    """Return all metrics of a node as text."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(core, figures))
    return generate_latest(registry)


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    cumulative = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), histogram.counts, strict=True):
        cumulative += count
        buckets.append((bound, cumulative))
    family.add_metric(labels, buckets, histogram.sum_s)
