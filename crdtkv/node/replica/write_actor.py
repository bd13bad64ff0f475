"""`WriteActor`: the actor under which a node mints dots.

An actor is an incarnation of the node, and the number of its renewals. Counters are per key: the next dot of a key is
one above the highest that the stored entry has seen. So if a node drops an entry that has dots of its own, it loses its
counter of that key. It may drop such an entry only when it does not write under that actor any more: an abandoned actor
never mints a dot again.

A renewal is cheap for the node, and adds one actor to the context of every key that is written before and after it, so
it happens at most once in `gc_grace_s`. It is no new incarnation: no data was lost, and the node stays a member of the
ring.
"""

from crdtkv.ids import Actor, actor_name, renewals_of
from crdtkv.storage import rows
from crdtkv.storage.store import Store


class WriteActor:
    """The write actor of one node; `renewed_ms` is when it was last renewed, by the node's wall clock."""

    def __init__(self, store: Store, node: str, incarnation: int) -> None:
        """Continue under the last actor of this incarnation."""
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
        """Return whether an actor is a later renewal of this incarnation; if so, this disk has lost that renewal."""
        return actor.startswith(self._first) and renewals_of(actor) > self._renewals

    def begin(self, incarnation: int) -> None:
        """Write as a new incarnation from now on."""
        self.incarnation = incarnation
        self._renewals = 0
        self.renewed_ms = 0
        self.name = self._first = actor_name(self._node, incarnation)

    def renew(self, wall_ms: int) -> None:
        """Write under a new actor from now on; in the store's current batch."""
        self._renewals += 1
        self.renewed_ms = wall_ms
        self.name = actor_name(self._node, self.incarnation, self._renewals)
        numbers = (self.incarnation, self._renewals, wall_ms)
        self._store.put(rows.ACTOR, b"".join(number.to_bytes(8, "big") for number in numbers))
