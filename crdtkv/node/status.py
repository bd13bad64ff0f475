"""The status of a node: the content of `StatusReply`, of `/status`, and of most metrics; and its health."""

from typing import Any, NamedTuple

from crdtkv.config.model import ClusterConfig
from crdtkv.ids import parse_identity
from crdtkv.node.assembly import Parts
from crdtkv.ring.agreement import differences
from crdtkv.ring.token import identity_in
from crdtkv.version import BUILD, VERSION


class Health(NamedTuple):
    """Whether a node should be sent requests.

    `standing` is `member` if the node counts in quorums. `linked` is the number of other nodes it can send to.
    `learners` are the learners of its ring, sorted.
    """

    standing: str
    linked: int
    learners: tuple[str, ...]
    has_disk_space: bool


def health_of(parts: Parts) -> Health:
    """Return the health of a node."""
    cluster = parts.kernel.cluster
    learners = tuple(sorted(cluster.ring.learners))
    return Health(parts.enrollment.state, len(cluster.alive), learners, parts.replica.has_disk_space)


def status_of(parts: Parts, config: ClusterConfig, requests_waiting: int, started_s: float) -> dict[str, Any]:
    """Return the status of a node, which started with `config` at `started_s`, monotonic."""
    cluster, step = parts.kernel.cluster, parts.kernel.step
    now_s, datacenter = step.now.monotonic_s, cluster.datacenter
    lags = {peer: parts.outbox.lag(peer, now_s) for peer in config.peers_of(datacenter)}
    return {
        "node": cluster.node,
        "datacenter": datacenter,
        "version": VERSION,
        "build": BUILD,
        "actor": parts.replica.actor,
        "standing": parts.enrollment.state,
        "epoch": cluster.epoch,
        "config_differs": differences(cluster.ring.topology, config.first_topology(datacenter)),
        "uptime_s": round(now_s - started_s, 3),
        "peers_up": sorted(cluster.alive),
        "members": parts.membership.snapshot(),
        "latencies": parts.selector.snapshot(),
        "bus_up": parts.geo.bus_is_up,
        "disk_space": parts.replica.has_disk_space,
        "calls_in_flight": len(parts.kernel.calls),
        "requests_waiting": requests_waiting,
        "watches_waiting": len(parts.watching),
        "hints": {
            target: {"rows": kept.rows, "bytes": kept.size_bytes, "age_s": round(now_s - kept.since, 3)}
            for target in parts.hints.targets
            for kept in [parts.hints.waiting_for(target)]
        },
        "needing_repair": parts.hints.needing_repair,
        "tombstones": parts.collection.snapshot,
        "outbox_rows": len(parts.outbox),
        "outbox_too_large": [repr(parse_identity(identity_in(key))) for key in parts.outbox.set_aside_keys[:10]],
        "comparing": parts.anti_entropy.full_comparisons,
        "comparing_elsewhere": parts.geo_anti_entropy.snapshot,
        "merkle_built": parts.anti_entropy.is_built,
        "lag": {
            # While a data center is marked for a comparison, the lag is a lower bound.
            peer: {"rows": count, "age_s": round(age_s, 3), "is_complete": parts.marks.kind(peer) is None}
            for peer, (count, age_s) in lags.items()
        },
        "unfilled": config.peers_of(datacenter) if parts.enrollment.may_lack_data else parts.geo_anti_entropy.unfilled,
        "counters": dict(sorted(step.stats.counters.items())),
    }
