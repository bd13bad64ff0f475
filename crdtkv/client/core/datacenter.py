"""`DatacenterView`: one data center as the client knows it: its ring, its buckets, and the links to its nodes.

Nodes name each other by the addresses in their configuration. Where none of these can be reached from here, as behind a
port that a container publishes, the addresses that were given are kept (`contacts`), and whichever nodes they lead to
are asked.
"""

from collections.abc import Iterator, Sequence

from crdtkv.client.core.node_link import NodeLink
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import TopologyReply


class DatacenterView:
    """One data center. `rank` 0 is the preferred one."""

    def __init__(self, name: str, rank: int, reply: TopologyReply) -> None:
        self.name = name
        self.rank = rank
        #: By name of the node; in the order of the topology document.
        self.links: dict[str, NodeLink] = {}
        #: Addresses that were given, if no node was reached at the one it has in the ring.
        self.contacts: list[NodeLink] = []
        self.is_refreshing = False
        self.learn(reply)

    def learn(self, reply: TopologyReply) -> None:
        """Take what a node says of ring and buckets."""
        self.ring = HashRing(Topology.from_json(reply.document))
        self.buckets = {str(row[0]): str(row[1]) for row in reply.buckets}  # type: ignore[index]
        #: The names of all data centers, none if the node did not tell; and what an entry may take, 0 likewise.
        self.datacenters = frozenset(str(name) for name in reply.datacenters or ())
        self.entry_bytes = reply.entry_bytes

    @property
    def replication_factor(self) -> int:
        """How many replicas a key has here."""
        return self.ring.replication_factor

    def candidates(self, partition: int) -> Iterator[NodeLink]:
        """Yield the open links, home replicas of the partition first, nodes that do not answer last."""
        learners = self.ring.learners
        replicas = [name for name in self.ring.replicas_of(partition) if name not in learners]
        for name in replicas:
            link = self.links.get(name)
            if link is not None and link.is_responsive:
                yield link
        for name, link in self.links.items():
            if name not in replicas and link.is_responsive:
                yield link
        for link in self.contacts:
            if link.is_responsive and self._leads_here(link):
                yield link
        for link in self.links.values():
            if link.is_suspected and link.is_open:
                yield link

    @property
    def linked(self) -> dict[str, NodeLink]:
        """The nodes that are linked now, at their address in the ring, or else at one that was given."""
        linked = {name: link for name, link in self.links.items() if link.is_open}
        for contact in self.contacts:
            if contact.is_open and contact.server is not None and self._leads_here(contact):
                linked.setdefault(contact.server.name, contact)
        return linked

    def keep(self, contacts: Sequence[NodeLink]) -> None:
        """Keep to the addresses that were given, if no node is linked at the one it has in the ring."""
        if not self.linked:
            self.contacts = [contact for contact in contacts if contact.server is None or self._leads_here(contact)]

    def _leads_here(self, contact: NodeLink) -> bool:
        return contact.server is not None and contact.server.datacenter == self.name
