"""The watchers of a life: where they are, what they look for, and how they reach the nodes."""

from random import Random
from typing import TYPE_CHECKING

from crdtkv.ring.hash_ring import HashRing
from crdtkv.sim.watcher import SimWatcher

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster


def watchers_of(cluster: "SimCluster") -> list[SimWatcher]:
    """Return as many watchers as the plan says, none of which has begun."""
    return [_watcher(cluster, f"watcher-{number}") for number in range(cluster.plan.shape.watchers)]


def _watcher(cluster: "SimCluster", name: str) -> SimWatcher:
    plan = cluster.plan
    random = Random(f"{name} {plan.seed}")
    datacenter = random.choice(plan.datacenters)
    types = sorted({type_tag for type_tag, _ in plan.keys}) or ["register"]

    def send(watcher: str, node_name: str, frame: bytes) -> None:
        node = cluster.nodes[node_name]
        if node.is_up:
            cluster.trace(watcher, node_name, frame)
            cluster.network.send(watcher, node_name, frame, node.receive, may_double=True)

    def hang_up(watcher: str, node_name: str) -> None:
        cluster.network.reset(watcher, node_name)
        cluster.nodes[node_name].client_gone(watcher)

    return SimWatcher(
        name,
        random.sample(types, random.choice((1, len(types), len(types), len(types)))),
        plan.shape.partitions,
        cluster.scheduler,
        random,
        lambda: _some_ring(cluster, datacenter, random),
        lambda node_name: cluster.nodes[node_name].is_up,
        send,
        hang_up,
        cluster.coverage.count,
        knows_learners=Random(f"{name} learners {plan.seed}").random() < 0.6,
    )


def _some_ring(cluster: "SimCluster", datacenter: str, random: Random) -> HashRing | None:
    """Return the ring as some running node of a data center knows it, which may not be the newest."""
    cores = [node.core for node in cluster.nodes.values() if node.place.datacenter == datacenter]
    rings = [core.parts.kernel.cluster.ring for core in cores if core is not None]
    return random.choice(rings) if rings else None
