"""The consistent-hash ring of one data center.

Every node takes `VNODES_PER_WEIGHT * weight` points on the ring, hashed from its name alone, so every process
computes the same ring without talking. The walk of a partition goes clockwise from the partition's start and meets
every node once. Its first N nodes are the preference list, chosen to lie in distinct zones while there are any;
who follows is a stand-in, in the order of the walk.

Because points depend on names only, a node that joins takes over some ranges and moves nothing else, and a node that
leaves gives away only its own.

Source: Karger et al. (1997); DeCandia et al., "Dynamo" (2007), sections 4.2 and 4.3.
"""

from bisect import bisect_left
from functools import cached_property

from crdtkv.ring.token import TOKEN_BITS, partition_in, partition_start, token_of
from crdtkv.ring.topology import RingNode, Topology

VNODES_PER_WEIGHT = 128


class HashRing:
    """The placement of all partitions of a topology."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.partitions = topology.partitions
        self.replication_factor = min(topology.replication_factor, len(topology.nodes))
        points = sorted((token, node.name) for node in topology.nodes for token in vnode_tokens(node))
        self._tokens = [token for token, _ in points]
        self._owners = [name for _, name in points]
        self._zones = {node.name: node.zone for node in topology.nodes}
        self.walks: list[tuple[str, ...]] = [self._walk(partition) for partition in range(self.partitions)]
        self._preference_lists = [walk[: self.replication_factor] for walk in self.walks]

    def preference_list(self, located_key: bytes) -> tuple[str, ...]:
        """Return the N home replicas of a storage key, the first choice first."""
        return self._preference_lists[partition_in(located_key, self.partitions)]

    def replicas_at(self, token: int) -> tuple[str, ...]:
        """Return the N home replicas of a token."""
        return self._preference_lists[token * self.partitions >> TOKEN_BITS]

    def replicas_of(self, partition: int) -> tuple[str, ...]:
        """Return the N home replicas of a partition."""
        return self._preference_lists[partition]

    def stand_ins(self, partition: int) -> tuple[str, ...]:
        """Return the nodes that take a replica's place, the first choice first."""
        return self.walks[partition][self.replication_factor :]

    @cached_property
    def share_of(self) -> dict[str, float]:
        """The part (0 to 1) of all replicas of all partitions that each node holds."""
        held = dict.fromkeys(self._zones, 0)
        for replicas in self._preference_lists:
            for name in replicas:
                held[name] += 1
        return {name: count / (self.partitions * self.replication_factor) for name, count in sorted(held.items())}

    def _walk(self, partition: int) -> tuple[str, ...]:
        first = bisect_left(self._tokens, partition_start(partition, self.partitions))
        names = list(dict.fromkeys(self._owners[first:] + self._owners[:first]))
        replicas: list[str] = []
        zones_used: set[str] = set()
        # Once around for distinct zones; what was passed over fills up when there are fewer zones than replicas.
        for name in names:
            if len(replicas) < self.replication_factor and self._zones[name] not in zones_used:
                replicas.append(name)
                zones_used.add(self._zones[name])
        passed_over = [name for name in names if name not in replicas]
        return (*replicas, *passed_over)


def vnode_tokens(node: RingNode) -> list[int]:
    """Return the points of a node on the ring, at least one."""
    count = max(1, round(VNODES_PER_WEIGHT * node.weight))
    return [token_of(f"{node.name}#{index}".encode()) for index in range(count)]
