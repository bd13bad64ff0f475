"""`Rights`: how rights to decrement a bounded counter get from the nodes that have them to the one that needs them.

A decrement that finds too few rights here waits while they are looked for (`rights_search`). This keeps the searches,
one for each key, and gives rights to others that look for them.

Giving is an operation of the giver, with a dot and an outbox row, and nobody hears of it before it is durable. So
rights are used by one node only, whatever is lost on the way: what is given and not heard of arrives with replication.
The giver sends its write to no other replica here: whoever uses the rights sends them along, because of a bounded
counter the whole entry is sent, and anti-entropy brings them to the rest.

A node gives half of what it has, if that is more than was asked for, so that not every decrement has to ask. A node
that looks for rights itself keeps what it has for what waits, unless the other one is short of less (of two equal
ones, the one whose name is lower); to that it gives no more than was asked for. This is a total order: two that ask
each other neither refuse each other nor exchange the same rights for ever.

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

#: All decrements of a node that wait. Past this they are refused at once.
WAITING_MAX = 1000


class Rights:
    """The rights one node looks for, and those it gives. `datacenter_of` tells where nodes are, by their names."""

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
        """Let a decrement wait for rights; False if too many do."""
        if sum(len(search.waiting) for search in self._searches.values()) >= WAITING_MAX:
            return False
        search = self._searches.get(key.storage_key)
        if search is None:
            search = Search(self._kernel, self._replica, key, self._datacenters_of, self._quorum_calls)
            self._searches[key.storage_key] = search
        search.add(decrement)
        return True

    def run_due(self) -> None:
        """Look whether what is waited for has come; called at the end of every step."""
        for storage_key, search in list(self._searches.items()):
            search.look()
            if not search.waiting:
                search.end()
                del self._searches[storage_key]

    def next_timer(self) -> float | None:
        """Return None: searches wait in the table of calls."""
        return None

    def asked(self, node: str, request: RightsRequest) -> None:
        """Give rights to a node of this data center, if there are any to give, and tell what is stored then.

        Raises:
            ProtocolError, InvalidRequest, InsufficientStorage: nothing was given.
        """
        key = self._keys.from_peer(request.identity)
        self._give(key, request.amount, request.to)
        entry, is_durable = self._replica.read(key.storage_key)
        self._step.answer(node, ReplicaEntry(request.id, entry), is_durable)

    def wanted(self, request: RightsWanted) -> None:
        """Give rights to a node of another data center, if there are any to give.

        Raises:
            ProtocolError, InvalidRequest, InsufficientStorage: nothing was given.
        """
        self._give(self._keys.from_peer(request.identity), request.amount, request.to)

    def _give(self, key: PlacedKey, wanted: int, to: Actor) -> None:
        if key.type_tag != BoundedCounter.type_tag:
            raise ProtocolError(f"a {key.type_tag} has no rights")
        if self._cluster.node in self._cluster.uncounted:
            return  # this disk may have forgotten what it had given before
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
        """Return where an incarnation can be asked for its rights: this data center, others, or none.

        Only the incarnation that a node is now can give. Which that is elsewhere is not known here.
        """
        name = node_of(owner)
        node = self._cluster.ring.topology.node(name)
        if node is not None and owner == f"{name}.{node.incarnation}":
            return [self._cluster.datacenter] if name in self._cluster.alive and not node.is_learner else []
        datacenter = self._datacenter_of.get(name)
        if datacenter is None:
            # It may have joined since this node read its configuration.
            return sorted({*self._datacenter_of.values()} - {self._cluster.datacenter})
        return [datacenter] if datacenter != self._cluster.datacenter else []
