"""The watchers of a run: where they are, what they look for, and what they know of the ring."""

from random import Random
from typing import TYPE_CHECKING

from crdtkv.sim.actors.watcher import SimWatcher

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster

#: How many watchers know which nodes are learners. The others are refused by those.
KNOW_LEARNERS = 0.6


def watchers_of(cluster: "SimCluster") -> list[SimWatcher]:
    """Return as many watchers as the plan says, none of which has begun."""
    return [_watcher(cluster, f"watcher-{number}") for number in range(cluster.plan.shape.watchers)]


def _watcher(cluster: "SimCluster", name: str) -> SimWatcher:
    plan = cluster.plan
    random = Random(f"{name} {plan.seed}")
    datacenter = random.choice(plan.datacenters)
    types = sorted({type_tag for type_tag, _ in plan.keys}) or ["register"]
    watched = random.sample(types, random.choice((1, len(types), len(types), len(types))))
    watcher = SimWatcher(name, watched, datacenter, cluster, random)
    watcher.host.hides_learners = Random(f"{name} learners {plan.seed}").random() >= KNOW_LEARNERS
    return watcher
