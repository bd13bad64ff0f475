"""The watchers of a run: their data centers, the types that they watch, and their knowledge of learners."""

from random import Random

from crdtkv.sim.actors.watcher import SimWatcher
from crdtkv.sim.world.sim_world import SimWorld

#: The share of watchers that know which nodes are learners. Learners refuse the others.
KNOW_LEARNERS = 0.6


def watchers_of(world: SimWorld) -> list[SimWatcher]:
    """Return the watchers of the plan; none of them has begun."""
    return [_watcher(world, f"watcher-{number}") for number in range(world.plan.shape.watchers)]


def _watcher(world: SimWorld, name: str) -> SimWatcher:
    plan = world.plan
    random = Random(f"{name} {plan.seed}")
    datacenter = random.choice(plan.datacenters)
    types = sorted({type_tag for type_tag, _ in plan.keys}) or ["register"]
    watched = random.sample(types, random.choice((1, len(types), len(types), len(types))))
    watcher = SimWatcher(name, watched, datacenter, world, random)
    watcher.host.hides_learners = Random(f"{name} learners {plan.seed}").random() >= KNOW_LEARNERS
    return watcher
