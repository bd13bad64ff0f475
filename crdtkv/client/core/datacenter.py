"""`DatacenterView`: one data center as the client knows it: its ring, its buckets, and the links to its nodes.

The topology document has the addresses from the configuration of the nodes. If the client can reach none of them, for
example behind published ports of containers, it keeps the addresses passed to `connect` (`contacts`) and sends requests
to the nodes behind these.
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
        #: By node name, in the order of the topology document.
        self.links: dict[str, NodeLink] = {}
        #: Links to addresses passed to `connect`, if no node was reached at its address in the ring.
        self.contacts: list[NodeLink] = []
        self.is_refreshing = False
        self.learn(reply)

    def learn(self, reply: TopologyReply) -> None:
        """Replace ring and buckets by those that a node has sent."""
        self.ring = HashRing(Topology.from_json(reply.document))
        self.buckets = {str(row[0]): str(row[1]) for row in reply.buckets}  # type: ignore[index]
        #: The names of all data centers, and the most bytes of an entry; empty and 0 if the node did not send them.
        self.datacenters = frozenset(str(name) for name in reply.datacenters or ())
        self.entry_bytes = reply.entry_bytes

    @property
    def replication_factor(self) -> int:
        """The number of home replicas of a key in this data center."""
        return self.ring.replication_factor

    def candidates(self, partition: int) -> Iterator[NodeLink]:
        """Yield the open links: home replicas of the partition first, other nodes next, suspected nodes last."""
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
        """The open links by node name, by the address in the ring, else by an address passed to `connect`."""
        linked = {name: link for name, link in self.links.items() if link.is_open}
        for contact in self.contacts:
            if contact.is_open and contact.server is not None and self._leads_here(contact):
                linked.setdefault(contact.server.name, contact)
        return linked

    def keep(self, contacts: Sequence[NodeLink]) -> None:
        """Keep the links of `contacts`, if no node is linked at its address in the ring."""
        if not self.linked:
            self.contacts = [contact for contact in contacts if contact.server is None or self._leads_here(contact)]

    def _leads_here(self, contact: NodeLink) -> bool:
        return contact.server is not None and contact.server.datacenter == self.name
