"""`Monitor`: the base of all monitors: an observer that reads the world through a `WorldView`.

A monitor checks one group of invariants. It overrides the events that it needs (`WorldObserver`), reads what else it
needs from the view, and reports a broken invariant with `stored.violated`. It never changes the world: a run has the
same trace with and without it.
"""

from crdtkv.sim.world.observer import WorldObserver
from crdtkv.sim.world.view import WorldView


class Monitor(WorldObserver):
    """A monitor of one run."""

    def __init__(self, world: WorldView) -> None:
        self._world = world
        self._loses_data = world.plan.loses_data
