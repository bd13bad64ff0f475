"""Between which times the nodes of a data center answer: what expires is there before, and gone after.

A node answers at the time its own clock shows, as a timestamp. It is not known which node answers a read, so all of a
data center count, also those that are down now.
"""

from typing import TYPE_CHECKING

from crdtkv.causality.hybrid_clock import from_wall_ms

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.world.host import SimNode


class Times:
    """The earliest and the latest time, by data center."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._clocks_jump = any(incident.kind == "clock_jump" for incident in cluster.plan.incidents)
        self._latest: dict[str, int] = {}

    def stepped(self, node: "SimNode") -> None:
        """Look at a node's clock after a step."""
        assert node.core is not None
        datacenter = node.place.datacenter
        self._latest[datacenter] = max(self._latest.get(datacenter, 0), node.core.parts.replica.expiry_now)

    def at(self, datacenter: str) -> tuple[int, int]:
        """Return the earliest and the latest time at which a node may answer now."""
        walls_ms = [node.wall_ms for node in self._cluster.nodes.values() if node.place.datacenter == datacenter]
        earliest = 0 if self._clocks_jump else from_wall_ms(min(walls_ms))
        return earliest, max(self._latest.get(datacenter, 0), from_wall_ms(max(walls_ms)))
