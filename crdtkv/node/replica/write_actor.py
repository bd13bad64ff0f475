"""`WriteActor`: the name under which a node makes dots.

A name is an incarnation of the node, and how often that has been renewed. Counters are per key: the next dot of a key
is one above the highest that the stored entry has seen. So once a node has dropped an entry that names dots of its
own, it no longer knows how far it had counted there. It may drop such an entry only when it does not write under that
name any more: a name that was given up counts nothing, ever again.

Renewing is cheap for the node and costs every key that is written before and after it one more actor in its context,
so it happens at most once in `gc_grace_s`. It is no new incarnation: nothing was forgotten that matters, and the node
stays a member of the ring.
"""

from crdtkv.ids import Actor, actor_name, renewals_of
from crdtkv.storage import rows
from crdtkv.storage.store import Store


class WriteActor:
    """The write actor of one node; `renewed_ms` is when it was renewed last, by the node's wall clock."""

    def __init__(self, store: Store, node: str, incarnation: int) -> None:
        """Go on under the name of this incarnation that was used last."""
        self._store = store
        self._node = node
        self.incarnation = incarnation
        self._renewals = 0
        self.renewed_ms = 0
        value = store.get(rows.ACTOR)
        if value is not None and int.from_bytes(value[:8], "big") == incarnation:
            self._renewals = int.from_bytes(value[8:16], "big")
            self.renewed_ms = int.from_bytes(value[16:24], "big")
        self.name: Actor = actor_name(node, incarnation, self._renewals)
        self._first = actor_name(node, incarnation)

    def is_later_name(self, actor: Actor) -> bool:
        """Tell whether a name is one this incarnation is yet to take: then it took it, and has forgotten that."""
        return actor.startswith(self._first) and renewals_of(actor) > self._renewals

    def begin(self, incarnation: int) -> None:
        """Write as a new incarnation from now on."""
        self.incarnation = incarnation
        self._renewals = 0
        self.renewed_ms = 0
        self.name = self._first = actor_name(self._node, incarnation)

    def renew(self, wall_ms: int) -> None:
        """Write under a new name from now on; in the store's current batch."""
        self._renewals += 1
        self.renewed_ms = wall_ms
        self.name = actor_name(self._node, self.incarnation, self._renewals)
        numbers = (self.incarnation, self._renewals, wall_ms)
        self._store.put(rows.ACTOR, b"".join(number.to_bytes(8, "big") for number in numbers))
