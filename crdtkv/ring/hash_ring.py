"""The consistent-hash ring of one data center.

Every node takes `VNODES_PER_WEIGHT * weight` points on the ring, hashed from its name alone, so every process computes
the same ring without communication. The walk of a partition goes clockwise from the partition's start and meets every
node once. Its first N nodes are the preference list, from distinct zones as long as there are any; the following nodes
are the fallback replicas, in the order of the walk.

Because points depend on names only, a node that joins takes over some ranges and moves nothing else, and a node that
leaves gives away only its own.

Preference lists are computed at once: their walks end after a few points. A whole walk continues until every node was
met, and is computed on the first request for fallback replicas, so a ring of a thousand nodes costs little more than
its points.

Source: Karger et al. (1997); DeCandia et al., "Dynamo" (2007), sections 4.2 and 4.3.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice

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
        #: Home replicas that take writes and count in no quorum: learners, and nodes without an incarnation.
        self.learners = frozenset(node.name for node in topology.nodes if node.is_learner or not node.incarnation)
        self._zones_wanted = min(self.replication_factor, len(set(self._zones.values())))
        self._preference_lists = [self._choose(self._met(partition)) for partition in range(self.partitions)]
        self._fallbacks: dict[int, tuple[str, ...]] = {}

    def preference_list(self, storage_key: bytes) -> tuple[str, ...]:
        """Return the N home replicas of a storage key, the first choice first."""
        return self._preference_lists[partition_in(storage_key, self.partitions)]

    def replicas_at(self, token: int) -> tuple[str, ...]:
        """Return the N home replicas of a token."""
        return self._preference_lists[token * self.partitions >> TOKEN_BITS]

    def replicas_of(self, partition: int) -> tuple[str, ...]:
        """Return the N home replicas of a partition."""
        return self._preference_lists[partition]

    def fallbacks(self, partition: int) -> tuple[str, ...]:
        """Return the fallback replicas of a partition, the first choice first."""
        fallbacks = self._fallbacks.get(partition)
        if fallbacks is None:
            replicas = self._preference_lists[partition]
            everybody = islice(self._met(partition), len(self._zones))
            fallbacks = self._fallbacks[partition] = tuple(name for name in everybody if name not in replicas)
        return fallbacks

    @property
    def walks(self) -> list[tuple[str, ...]]:
        """All nodes for every partition: its home replicas, then its fallback replicas."""
        return [self.replicas_of(partition) + self.fallbacks(partition) for partition in range(self.partitions)]

    @property
    def share_of(self) -> dict[str, float]:
        """The share (0 to 1) of all replicas of all partitions that each node holds."""
        held = dict.fromkeys(self._zones, 0)
        for replicas in self._preference_lists:
            for name in replicas:
                held[name] += 1
        return {name: count / (self.partitions * self.replication_factor) for name, count in sorted(held.items())}

    def _met(self, partition: int) -> Iterator[str]:
        """Yield the nodes in the order of the walk, each once."""
        first = bisect_left(self._tokens, partition_start(partition, self.partitions))
        met: set[str] = set()
        for point in chain(range(first, len(self._owners)), range(first)):
            name = self._owners[point]
            if name not in met:
                met.add(name)
                yield name

    def _choose(self, names: Iterable[str]) -> tuple[str, ...]:
        """Take the first N names in distinct zones; with fewer zones, the skipped names fill up."""
        replicas: list[str] = []
        passed_over: list[str] = []
        zones_used: set[str] = set()
        for name in names:
            zone = self._zones[name]
            if zone in zones_used:
                passed_over.append(name)
            else:
                zones_used.add(zone)
                replicas.append(name)
            missing = self.replication_factor - len(replicas)
            if len(zones_used) == self._zones_wanted and len(passed_over) >= missing:
                return (*replicas, *passed_over[:missing])
        raise AssertionError("a walk meets every node")


def vnode_tokens(node: RingNode) -> tuple[int, ...]:
    """Return the points of a node on the ring, at least one."""
    return _points(node.name, max(1, round(VNODES_PER_WEIGHT * node.weight)))


@lru_cache(maxsize=2048)
def _points(name: str, count: int) -> tuple[int, ...]:
    """Hash a node's points; they are the same in every ring."""
    return tuple(token_of(f"{name}#{index}".encode()) for index in range(count))
