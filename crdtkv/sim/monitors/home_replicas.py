"""`HomeReplicas`: the home replicas of a row, by the first ring of a data center.

No simulated ring change moves data, so the first ring is right for the whole run.
"""

from crdtkv.ring.hash_ring import HashRing
from crdtkv.sim.world.stored import Stored, descends, parse
from crdtkv.sim.world.view import WorldView
from crdtkv.storage import rows


class HomeReplicas:
    """The rings of all data centers."""

    def __init__(self, world: WorldView) -> None:
        self._world = world
        self._rings = {dc: HashRing(world.config.first_topology(dc)) for dc in world.config.datacenters}

    def of(self, datacenter: str, row: bytes) -> tuple[str, ...]:
        """Return the home replicas of a data row."""
        return self._rings[datacenter].preference_list(rows.storage_key_in(row))

    def majority_has(self, datacenter: str, row: bytes, wanted: Stored) -> bool:
        """Tell whether a majority of the home replicas has all that `wanted` has seen, durably."""
        replicas = self.of(datacenter, row)
        holders = 0
        for name in replicas:
            value = self._world.nodes[name].disk.durable(row)
            holders += value is not None and descends(parse(value), wanted)
        return holders > len(replicas) // 2
