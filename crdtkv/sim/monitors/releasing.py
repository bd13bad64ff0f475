"""`Releasing`: the held effects of a step are released once, in the order of the steps, after its commit is durable.

`durability` reads the messages. This monitor reads none: it notes after every step how many commits the disk has, and
compares that with the durable commits when the host releases the held effects of the step. It uses neither commit
numbers nor the state of `GroupCommit`.
"""

from collections import deque

from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.stored import violated
from crdtkv.sim.world.view import NodeView, WorldView


class Releasing(Monitor):
    """The steps of all nodes whose held effects have not been released."""

    def __init__(self, world: WorldView) -> None:
        super().__init__(world)
        #: By node and process: the effects of each step, and how many commits the disk had at its end.
        self._waiting: dict[tuple[str, int], deque[tuple[Effects, int]]] = {}

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """Note how many commits the disk has after a step."""
        waiting = self._waiting.setdefault((node.place.node, node.process), deque())
        waiting.append((effects, node.disk.commits))

    def releasing(self, node: NodeView, effects: Effects) -> None:
        """Check that the effects are those of the oldest waiting step, and that its commit is durable."""
        name, waiting = node.place.node, self._waiting[node.place.node, node.process]
        if not waiting or waiting[0][0] is not effects:
            violated("order", f"{name} lets a step's effects go twice, or before those of an earlier step: {effects}")
        _, commits = waiting.popleft()
        durable = node.disk.commits - node.disk.unsynced
        if durable < commits:
            violated("durability", f"{name} lets go what waits for commit {commits} of its disk, {durable} are durable")
