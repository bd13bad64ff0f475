"""`Rights`: moves rights to decrement a bounded counter from the nodes that have them to the node that needs them.

If this node has too few rights for a decrement, the decrement waits while a search runs (`rights_search`). `Rights`
keeps the searches, one per key, and gives rights to other nodes that search.

Giving is an operation of the giver, with a dot and an outbox row, and the giver sends it to no node before it is
durable. So only one node uses a right, whatever message is lost: rights in a lost answer arrive with replication. The
giver sends its write to no other replica here. The node that uses the rights sends them along, because a bounded
counter is always sent as a whole entry, and anti-entropy brings them to the other replicas.

A node gives half of its rights, if that is more than the request, so that not every decrement has to ask. A node that
searches for rights itself first keeps what its own decrements need. If it has fewer than that, it gives only to a node
with a smaller shortage (of two equal ones, to the one with the lower name), and never more than requested. This is a
total order: two nodes that ask each other neither refuse each other nor exchange the same rights for ever.

Source: Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants" (2015).
"""

from collections.abc import Mapping, Sequence

from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.errors import ProtocolError
from crdtkv.ids import Actor, incarnation_of, node_of
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck, PlacedKey
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.replica.replica import Replica
from crdtkv.node.rights.rights_search import Search, Waiting, counter_of
from crdtkv.wire.messages import ReplicaEntry, RightsRequest, RightsWanted

#: The most decrements of a node that may wait. Further ones are refused at once.
WAITING_MAX = 1000


class Rights:
    """The searches of one node, and the rights it gives. `datacenter_of` maps node names to data centers."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        keys: KeyCheck,
        quorum_calls: QuorumCalls,
        datacenter_of: Mapping[str, str],
    ) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._keys = keys
        self._quorum_calls = quorum_calls
        self._datacenter_of = datacenter_of
        self._searches: dict[bytes, Search] = {}

    def wait(self, key: PlacedKey, decrement: Waiting) -> bool:
        """Add a decrement to the search for its key; return False if too many wait."""
        if sum(len(search.waiting) for search in self._searches.values()) >= WAITING_MAX:
            return False
        search = self._searches.get(key.storage_key)
        if search is None:
            search = Search(self._kernel, self._replica, key, self._datacenters_of, self._quorum_calls)
            self._searches[key.storage_key] = search
        search.add(decrement)
        return True

    def run_due(self) -> None:
        """Continue all searches, and end those without decrements; called at the end of every step."""
        for storage_key, search in list(self._searches.items()):
            search.look()
            if not search.waiting:
                search.end()
                del self._searches[storage_key]

    def next_timer(self) -> float | None:
        """Return None: searches set their timers in the table of calls."""
        return None

    def asked(self, node: str, request: RightsRequest) -> None:
        """Give rights to a node of this data center, if there are any to give, and answer with the stored entry.

        Raises:
            ProtocolError, InvalidRequest, InsufficientStorage: no rights were given.
        """
        key = self._keys.from_peer(request.identity)
        self._give(key, request.amount, request.to)
        entry, is_durable = self._replica.read(key.storage_key)
        self._step.answer(node, ReplicaEntry(request.id, entry), is_durable)

    def wanted(self, request: RightsWanted) -> None:
        """Give rights to a node of another data center, if there are any to give.

        Raises:
            ProtocolError, InvalidRequest, InsufficientStorage: no rights were given.
        """
        self._give(self._keys.from_peer(request.identity), request.amount, request.to)

    def _give(self, key: PlacedKey, wanted: int, to: Actor) -> None:
        if key.type_tag != BoundedCounter.type_tag:
            raise ProtocolError(f"a {key.type_tag} has no rights")
        if not self._cluster.counts:
            return  # this disk may have lost rights that it had given before
        counter, me = counter_of(self._replica, key.storage_key), incarnation_of(self._replica.actor)
        search = self._searches.get(key.storage_key)
        spare = counter.rights_of(me) - (search.wanted() if search is not None else 0)
        gift = min(spare, max(wanted, spare // 2))
        if spare < 0 and (wanted, to) < (-spare, me):
            gift = wanted
        amount = min(gift, counter.givable(me, to))
        if amount > 0:
            self._replica.mutate(key, "transfer", [amount, to], None, 0, 0)
            self._step.stats.count("rights_given")

    def _datacenters_of(self, owner: Actor) -> Sequence[str]:
        """Return the data centers in which an incarnation can be asked for its rights: this one, others, or none.

        Only the current incarnation of a node can give. In other data centers it is not known here.
        """
        name = node_of(owner)
        node = self._cluster.ring.topology.node(name)
        if node is not None and owner == f"{name}.{node.incarnation}":
            return [self._cluster.datacenter] if name in self._cluster.alive and not node.is_learner else []
        datacenter = self._datacenter_of.get(name)
        if datacenter is None:
            # The node may have joined since this node read its configuration.
            return sorted({*self._datacenter_of.values()} - {self._cluster.datacenter})
        return [datacenter] if datacenter != self._cluster.datacenter else []
