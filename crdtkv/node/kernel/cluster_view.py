"""`ClusterView`: the data center as this node sees it: the ring, who is alive, and who answers for a key now."""

from collections.abc import Set

from crdtkv.node.kernel.responsible import Responsible, responsibles_of
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import partition_of


class ClusterView:
    """What is known of the cluster between steps; membership and enrollment change it."""

    def __init__(self, node: str, datacenter: str, ring: HashRing) -> None:
        self.node = node
        self.datacenter = datacenter
        self._ring = ring
        self._alive: set[str] = set()
        self._is_quarantined = False
        self._responsibles: dict[tuple[int, bool], tuple[Responsible, ...]] = {}
        #: By how much the monotonic clocks of other nodes are ahead of this one's, at least.
        self.clocks_ahead_s: dict[str, float] = {}

    @property
    def ring(self) -> HashRing:
        """The ring in use."""
        return self._ring

    @ring.setter
    def ring(self, ring: HashRing) -> None:
        self._ring = ring
        self._responsibles = {}

    @property
    def epoch(self) -> int:
        """The epoch of the ring in use."""
        return self._ring.topology.epoch

    @property
    def alive(self) -> Set[str]:
        """The other nodes of this data center that requests can be sent to."""
        return self._alive

    @property
    def is_quarantined(self) -> bool:
        """Whether this node must not answer for any key now (`enrollment`)."""
        return self._is_quarantined

    @is_quarantined.setter
    def is_quarantined(self, is_quarantined: bool) -> None:
        if is_quarantined != self._is_quarantined:
            self._is_quarantined = is_quarantined
            self._responsibles = {}

    @property
    def uncounted(self) -> frozenset[str]:
        """The nodes that count in no quorum: learners, and this one if it is quarantined."""
        learners = self._ring.learners
        return learners | {self.node} if self._is_quarantined else learners

    def is_alive(self, node: str) -> bool:
        """Tell whether requests can be sent to a node of this data center (itself included)."""
        return node == self.node or node in self._alive

    def serves(self, token: int) -> bool:
        """Tell whether this node is a home replica of a key that counts."""
        return self.node not in self.uncounted and self.node in self._ring.replicas_at(token)

    def node_up(self, node: str) -> None:
        """Send requests to a node from now on."""
        self._alive.add(node)
        self._responsibles = {}

    def node_down(self, node: str) -> None:
        """Send no more requests to a node."""
        self._alive.discard(node)
        self._responsibles = {}

    def fallbacks(self, partition: int) -> list[str]:
        """Return who takes an absent replica's place, in the order of the walk."""
        return [name for name in self._ring.fallbacks(partition) if name not in self.uncounted]

    def responsibles(self, token: int, is_sloppy: bool) -> tuple[Responsible, ...]:
        """Return who answers for a key now, if this node coordinates."""
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
