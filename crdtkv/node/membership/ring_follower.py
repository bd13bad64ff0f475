"""`RingFollower`: which topology document a node uses, and how the others come to know it.

The document is *changed* in the topology bucket only, by compare-and-set. It is *spread* from node to node as well:
who hears from a node of an older epoch sends it the newer document over their link. So a node that missed a change
follows it while NATS is down, and a quorum needs no message bus.

Invariant: the epoch only grows, and no document is followed that lets a disk count against what is known of it
(`ring.agreement`). Such a document is left to the host, which has it corrected in the bucket.
"""

from crdtkv.errors import ProtocolError
from crdtkv.ids import MAX_EPOCH
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.ring.agreement import corrected
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import Topology
from crdtkv.storage import rows
from crdtkv.storage.store import Store
from crdtkv.wire.messages import TopologyNews

#: How often one node is sent the document, at most.
TELL_EVERY_S = 1.0


class RingFollower:
    """The ring of one node."""

    def __init__(self, kernel: Kernel, store: Store) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._store = store
        self._told_at: dict[str, float] = {}

    def follow(self, topology: Topology) -> None:
        """Use a document from now on, if it is newer than the one in use and contradicts nothing that is known."""
        step = self._step
        known = self._cluster.ring.topology
        if topology.epoch <= known.epoch:
            return
        if self._is_contradicted(topology, known):
            step.effects.refresh_topology = True
            step.stats.count("topologies_contradicted")
            return
        learners, self._cluster.ring = self._cluster.ring.learners, HashRing(topology)
        for node in sorted(self._cluster.ring.learners - learners):
            # Calls in flight must neither ask it nor count it under the new epoch.
            self._calls.replica_lost(node)
        self._store.put(rows.TOPOLOGY, topology.to_json())
        step.effects.topology = topology
        step.effects.notes.append(f"ring epoch {topology.epoch}")

    def _is_contradicted(self, topology: Topology, known: Topology) -> bool:
        """Tell whether a document lets a disk count against what is known of it.

        A document that names another disk in the place of this node's own is followed: the node is quarantined by that.
        """
        pairs = zip(topology.nodes, corrected(topology, known).nodes, strict=True)
        wrong = [node for node, right in pairs if node != right]
        return any(node.name != self._cluster.node or not node.incarnation for node in wrong)

    def heard_older(self, node: str) -> None:
        """Send the document to a node that speaks under an older epoch, unless it was sent a moment ago."""
        now_s = self._step.now.monotonic_s
        if now_s >= self._told_at.get(node, 0.0):
            self._told_at[node] = now_s + TELL_EVERY_S
            self._step.effects.send(node, TopologyNews(self._cluster.ring.topology.to_json()))

    def linked(self, node: str) -> None:
        """Learn that a link to a node is new: what was sent to it before may not have come."""
        self._told_at.pop(node, None)

    def told(self, message: TopologyNews) -> None:
        """Take a document that another node has sent.

        Raises:
            ProtocolError: it is none, or that of another ring.
        """
        topology, known = Topology.from_json(message.document), self._cluster.ring.topology
        ours = (known.cluster, known.datacenter, known.partitions)
        if (topology.cluster, topology.datacenter, topology.partitions) != ours or topology.epoch >= MAX_EPOCH:
            raise ProtocolError("a topology document of another ring")
        self.follow(topology)
