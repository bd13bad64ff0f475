"""`RingFollower`: decides which topology document a node uses, and sends it to nodes with an older one.

The document is *changed* in the topology bucket only, by compare-and-set. It is *spread* from node to node as well: a
node that receives a frame of an older epoch sends the newer document over the link. So a node that missed a change
follows it while NATS is down, and a quorum needs no message bus.

Invariant: the epoch only grows, and a node follows no document in which a disk counts although it is known not to count
(`ring.agreement`). Such a document is left to the host, which corrects it in the bucket.
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

#: The shortest interval between two documents to the same node.
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
        """Use a document from now on, if it is newer than the current one and does not contradict it."""
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
        """Return whether a disk counts in a document although it does not count according to `known`.

        A document that names another disk in the place of this node's own is followed: it makes this node quarantined.
        """
        pairs = zip(topology.nodes, corrected(topology, known).nodes, strict=True)
        wrong = [node for node, right in pairs if node != right]
        return any(node.name != self._cluster.node or not node.incarnation for node in wrong)

    def heard_older(self, node: str) -> None:
        """Send the document to a node that uses an older epoch, at most once per `TELL_EVERY_S`."""
        now_s = self._step.now.monotonic_s
        if now_s >= self._told_at.get(node, 0.0):
            self._told_at[node] = now_s + TELL_EVERY_S
            self._step.effects.send(node, TopologyNews(self._cluster.ring.topology.to_json()))

    def linked(self, node: str) -> None:
        """Note that a link to a node is new: documents that were sent to it before may be lost."""
        self._told_at.pop(node, None)

    def received(self, message: TopologyNews) -> None:
        """Handle a document that another node has sent.

        Raises:
            ProtocolError: it is malformed, or belongs to another ring.
        """
        topology, known = Topology.from_json(message.document), self._cluster.ring.topology
        ours = (known.cluster, known.datacenter, known.partitions)
        if (topology.cluster, topology.datacenter, topology.partitions) != ours or topology.epoch >= MAX_EPOCH:
            raise ProtocolError("a topology document of another ring")
        self.follow(topology)
