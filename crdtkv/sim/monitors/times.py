"""`Times`: the range of hybrid times at which the nodes of a data center answer, for checks of expiries.

A node answers by its own clock. A client does not know which node has answered a read, so the range covers the clocks
of all nodes of the data center, also of those that are down.
"""

from crdtkv.causality.hybrid_clock import from_wall_ms
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Event
from crdtkv.sim.monitors.monitor import Monitor
from crdtkv.sim.world.view import NodeView, WorldView


class Times(Monitor):
    """The earliest and the latest time, by data center."""

    def __init__(self, world: WorldView) -> None:
        super().__init__(world)
        self._clocks_jump = any(incident.kind == "clock_jump" for incident in world.plan.incidents)
        self._latest: dict[str, int] = {}

    def stepped(self, node: NodeView, events: list[Event], effects: Effects) -> None:
        """Note the time by which a node ends expiries."""
        assert node.core is not None
        datacenter = node.place.datacenter
        self._latest[datacenter] = max(self._latest.get(datacenter, 0), node.core.parts.replica.expiry_now)

    def at(self, datacenter: str) -> tuple[int, int]:
        """Return the earliest and the latest time at which a node may answer now."""
        walls_ms = [node.wall_ms for node in self._world.nodes.values() if node.place.datacenter == datacenter]
        earliest = 0 if self._clocks_jump else from_wall_ms(min(walls_ms))
        return earliest, max(self._latest.get(datacenter, 0), from_wall_ms(max(walls_ms)))
