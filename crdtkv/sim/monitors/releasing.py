"""What a step holds back leaves when a power loss can no longer take its commit: once, in the order of the steps.

`revealing` looks at what messages say, as far as it understands them. This looks at no message: it notes at every step
how many commits the disk has, and compares that with what is durable when the host lets the step's held effects go. It
knows nothing of commit numbers, nor of what `GroupCommit` keeps.
"""

from collections import deque
from typing import TYPE_CHECKING

from crdtkv.node.kernel.effects import Effects
from crdtkv.sim.world.stored import violated

if TYPE_CHECKING:
    from crdtkv.sim.world.host import SimNode


class Releasing:
    """The steps of all nodes that have not left as a whole yet."""

    def __init__(self) -> None:
        #: By node and its life: the effects of each step, and how many commits the disk had at its end.
        self._waiting: dict[tuple[str, int], deque[tuple[Effects, int]]] = {}

    def stepped(self, node: "SimNode", effects: Effects) -> None:
        """Note a step that has committed."""
        waiting = self._waiting.setdefault((node.place.node, node.life), deque())
        waiting.append((effects, node.disk.commits))

    def released(self, node: "SimNode", effects: Effects) -> None:
        """Look at held effects that leave now."""
        name, waiting = node.place.node, self._waiting[node.place.node, node.life]
        if not waiting or waiting[0][0] is not effects:
            violated("order", f"{name} lets a step's effects go twice, or before those of an earlier step: {effects}")
        _, commits = waiting.popleft()
        durable = node.disk.commits - node.disk.unsynced
        if durable < commits:
            violated("durability", f"{name} lets go what waits for commit {commits} of its disk, {durable} are durable")
