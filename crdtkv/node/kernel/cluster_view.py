"""`ClusterView`: this node's view of its data center: the ring, the live nodes, the responsible replicas of a key."""

from collections.abc import Set

from crdtkv.node.kernel.responsible import Responsible, responsibles_of
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import partition_of


class ClusterView:
    """The cluster as this node sees it between steps; membership and enrollment change it."""

    def __init__(self, node: str, datacenter: str, ring: HashRing) -> None:
        self.node = node
        self.datacenter = datacenter
        self._ring = ring
        self._alive: set[str] = set()
        self._is_quarantined = False
        #: By partition, and whether the level is sloppy.
        self._responsibles: dict[tuple[int, bool], tuple[Responsible, ...]] = {}
        self._counted: dict[tuple[int, bool], tuple[str, ...]] = {}
        self._serves: dict[int, bool] = {}
        self._homes: dict[int, tuple[str, ...]] = {}
        #: By node, in seconds: a lower bound of how far its monotonic clock is ahead of this node's.
        self.clocks_ahead_s: dict[str, float] = {}

    @property
    def ring(self) -> HashRing:
        """The ring in use."""
        return self._ring

    @ring.setter
    def ring(self, ring: HashRing) -> None:
        self._ring = ring
        self._forget()
        self._serves = {}
        self._homes = {}

    @property
    def epoch(self) -> int:
        """The epoch of the ring in use."""
        return self._ring.topology.epoch

    @property
    def alive(self) -> Set[str]:
        """The other nodes of this data center to which this node can send requests."""
        return self._alive

    @property
    def is_quarantined(self) -> bool:
        """Whether this node is quarantined and must not answer for any key (`enrollment`)."""
        return self._is_quarantined

    @is_quarantined.setter
    def is_quarantined(self, is_quarantined: bool) -> None:
        if is_quarantined != self._is_quarantined:
            self._is_quarantined = is_quarantined
            self._forget()
            self._serves = {}

    @property
    def uncounted(self) -> frozenset[str]:
        """The nodes that count in no quorum: learners, and this one if it is quarantined."""
        learners = self._ring.learners
        return learners | {self.node} if self._is_quarantined else learners

    @property
    def counts(self) -> bool:
        """Whether this node counts in quorums: it is a member, and not quarantined."""
        return self.node not in self.uncounted

    def is_alive(self, node: str) -> bool:
        """Return whether this node can send requests to a node of this data center; true for itself."""
        return node == self.node or node in self._alive

    def serves(self, token: int) -> bool:
        """Return whether this node is a home replica of a key and counts in quorums."""
        partition = partition_of(token, self._ring.partitions)
        serves = self._serves.get(partition)
        if serves is None:
            replicas = self._ring.replicas_of(partition)
            serves = self._serves[partition] = self.counts and self.node in replicas
        return serves

    def node_up(self, node: str) -> None:
        """Send requests to a node from now on."""
        self._alive.add(node)
        self._forget()

    def node_down(self, node: str) -> None:
        """Send no more requests to a node."""
        self._alive.discard(node)
        self._forget()

    def fallbacks(self, partition: int) -> list[str]:
        """Return the nodes that may act as fallback replicas of a partition, in the order of its preference list."""
        return [name for name in self._ring.fallbacks(partition) if name not in self.uncounted]

    def responsibles(self, token: int, is_sloppy: bool) -> tuple[Responsible, ...]:
        """Return the responsible replicas of a key for a request that this node coordinates."""
        ring = self._ring
        partition = partition_of(token, ring.partitions)
        responsibles = self._responsibles.get((partition, is_sloppy))
        if responsibles is None:
            responsibles = self._responsibles[partition, is_sloppy] = responsibles_of(
                self.node,
                ring.replicas_of(partition),
                self.uncounted,
                self.fallbacks(partition) if is_sloppy else (),
                self._alive | {self.node},
                is_sloppy,
            )
        return responsibles

    def homes(self, token: int) -> tuple[str, ...]:
        """Return the home replicas of a key, sorted."""
        partition = partition_of(token, self._ring.partitions)
        homes = self._homes.get(partition)
        if homes is None:
            homes = self._homes[partition] = tuple(sorted(self._ring.replicas_of(partition)))
        return homes

    def counted(self, token: int, is_sloppy: bool) -> tuple[str, ...]:
        """Return the names of the responsible replicas of a key that count in quorums, sorted."""
        where = (partition_of(token, self._ring.partitions), is_sloppy)
        counted = self._counted.get(where)
        if counted is None:
            names = [responsible.node for responsible in self.responsibles(token, is_sloppy) if responsible.is_counted]
            counted = self._counted[where] = tuple(sorted(names))
        return counted

    def _forget(self) -> None:
        """Drop what depends on the live nodes."""
        self._responsibles = {}
        self._counted = {}
