"""What a node tells of itself: the content of `StatusReply`, of `/status`, and of most metrics; and its health."""

from typing import TYPE_CHECKING, Any, NamedTuple

from crdtkv.config.model import ClusterConfig
from crdtkv.ids import parse_identity
from crdtkv.ring.agreement import differences
from crdtkv.ring.token import identity_in

if TYPE_CHECKING:
    from crdtkv.node.core import NodeCore


class Health(NamedTuple):
    """What decides whether a node should be sent requests.

    `standing` is `member` if the node counts, `linked` is how many other nodes it can send to, `learners` are the nodes
    of its ring that do not count yet, sorted.
    """

    standing: str
    linked: int
    learners: tuple[str, ...]
    has_disk_space: bool


def health_of(core: "NodeCore") -> Health:
    """Return the health of a node."""
    step = core.step
    return Health(core.standing.word, len(step.alive), tuple(sorted(step.ring.learners)), step.has_disk_space)


def status_of(core: "NodeCore", config: ClusterConfig) -> dict[str, Any]:
    """Return what a node knows of itself; `config` is what it was started with."""
    now_s, datacenter = core.step.now.monotonic_s, core.step.datacenter
    lags = {peer: core.outbox.lag(peer, now_s) for peer in config.peers_of(datacenter)}
    return {
        "node": core.step.node,
        "datacenter": datacenter,
        "actor": core.replica.actor,
        "standing": core.standing.word,
        "epoch": core.step.epoch,
        "config_differs": differences(core.topology, config.first_topology(datacenter)),
        "uptime_s": round(now_s - core.started_s, 3),
        "peers_up": sorted(core.step.alive),
        "members": core.membership.told(),
        "latencies": core.preference.told(),
        "bus_up": core.geo.bus_is_up,
        "disk_space": core.step.has_disk_space,
        "calls_in_flight": len(core.step.calls),
        "requests_waiting": len(core.admission),
        "watches_waiting": len(core.watching),
        "hints": {
            target: {"rows": kept.rows, "bytes": kept.size_bytes, "age_s": round(now_s - kept.since, 3)}
            for target in core.handoff.hints.targets
            for kept in [core.handoff.hints.waiting_for(target)]
        },
        "needing_repair": core.handoff.hints.needing_repair,
        "tombstones": core.collection.told,
        "outbox_rows": len(core.outbox),
        "outbox_dropped": core.outbox.has_dropped,
        "outbox_too_large": [repr(parse_identity(identity_in(key))) for key in core.outbox.set_aside_keys[:10]],
        "comparing": core.anti_entropy.passes,
        "merkle_built": core.anti_entropy.is_built,
        "lag": {
            # Without all rows in the outbox nobody knows what a data center lacks.
            peer: {"rows": count, "age_s": round(age_s, 3), "is_complete": not core.outbox.has_dropped}
            for peer, (count, age_s) in lags.items()
        },
        "unfilled": config.peers_of(datacenter) if core.standing.may_lack_data else core.filling.unfilled,
        "counters": dict(sorted(core.step.stats.counters.items())),
    }
