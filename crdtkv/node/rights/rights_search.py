"""`Search`: the decrements of one bounded counter that wait for rights, and the requests to the owners of rights.

A search reads everything it needs from the stored entry of the key: the owners of rights, and whether one has given
some. A node of this data center answers a request with its entry as it is then. A node of another data center does not
answer; the rights it gives arrive with the stream, like every write. So a search continues whenever the entry has
changed, and when the time for an answer has passed. It asks one node at a time, for all waiting decrements: first those
of this data center, and of those the one with the most rights.

A decrement above the value of the counter is refused at once, and so is every decrement if no reachable node has
rights; but only after a quorum read, because this node may have missed an increment. All others wait until their time
is up. Every refusal is certain: nothing was written.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import CrdtkvError, InsufficientRights, InsufficientStorage
from crdtkv.ids import Actor, incarnation_of, node_of
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.effects import SendBus
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.replica.replica import Replica
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import Message, ReplicaEntry, RightsRequest, RightsWanted

#: How long one node has to answer before the next is asked: here, and in another data center.
HERE_S = 0.25
ELSEWHERE_S = 0.5
#: How long to wait when all were asked, before they are asked again.
ROUND_S = 0.25


@dataclass(slots=True, eq=False)
class Waiting:
    """A decrement that waits for rights, until `until_s`. `has_read` says that a quorum was read since it arrived."""

    amount: int
    until_s: float
    try_again: Callable[[], None]
    refuse: Callable[[CrdtkvError], None]
    has_read: bool = False


class Search(Call):
    """The decrements of one key that wait for rights.

    `datacenters_of` returns the data centers in which an owner of rights can be asked.
    """

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        key: PlacedKey,
        datacenters_of: Callable[[Actor], Sequence[str]],
        quorum_calls: QuorumCalls,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._replica = replica
        self._key = key
        self._datacenters_of = datacenters_of
        self._quorum_calls = quorum_calls
        self.waiting: list[Waiting] = []
        self._number = kernel.calls.add(self)
        #: The owners that were asked in this round, and the nodes that have not answered yet.
        self._asked: set[Actor] = set()
        self._owing: set[str] = set()
        self._next_at = 0.0
        self._is_reading = False
        self._is_woken = True
        self._seen: Entry | None = None
        self._had = 0

    def add(self, decrement: Waiting) -> None:
        """Add a decrement."""
        self.waiting.append(decrement)
        self._wake_at(decrement.until_s)
        self._is_woken = True

    def end(self) -> None:
        """Remove the search from the table of calls."""
        self._calls.end(self._number)

    def wanted(self) -> int:
        """Return how many rights this node needs for its waiting decrements, without those above the value."""
        value = self._counter.value
        return min(value, sum(decrement.amount for decrement in self.waiting if decrement.amount <= value))

    def look(self) -> None:
        """If anything has changed: carry out or refuse the decrements that are certain, and ask for the rest."""
        while self.waiting:
            entry = self._replica.entry(self._key.storage_key)
            if entry == self._seen and not self._is_woken:  # without a cache it is never the same object
                return
            self._seen, self._is_woken = entry, False
            self._carry_out()
            self._refuse()
            self._ask()

    def answered(self, replica: str, message: Message) -> None:
        """Merge the entry of a node, and continue."""
        self.lost(replica)
        if isinstance(message, ReplicaEntry):
            self._learn(message.entry)

    def lost(self, replica: str) -> None:
        """Continue with the next node, if this one had not answered yet."""
        if replica in self._owing:
            self._owing.discard(replica)
            self._next_at = self._step.now.monotonic_s
            self._is_woken = True

    def timer(self, purpose: str) -> None:
        """Continue with the next node, or refuse decrements whose time is up."""
        self._is_woken = True

    @property
    def _counter(self) -> BoundedCounter:
        return counter_of(self._replica, self._key.storage_key)

    @property
    def _available(self) -> int:
        return self._counter.rights_of(self._replica.actor)

    def _carry_out(self) -> None:
        if self._available > self._had:
            # A node gave rights. If they are not enough, each owner may have more: ask all again.
            self._asked.clear()
            self._next_at = self._step.now.monotonic_s
        for decrement in self.waiting[:]:
            # If this node does not serve the key any more, the new try is forwarded to one that does.
            if decrement.amount <= self._available or not self._cluster.serves(self._key.token):
                self.waiting.remove(decrement)
                decrement.try_again()
        self._had = self._available

    def _refuse(self) -> None:
        counter = self._counter
        has_holders = bool(self._holders())
        unread: list[Waiting] = []
        for decrement in self.waiting[:]:
            is_vain = decrement.amount > counter.value or not has_holders
            if decrement.until_s <= self._step.now.monotonic_s or (is_vain and decrement.has_read):
                self.waiting.remove(decrement)
                decrement.refuse(InsufficientRights(decrement.amount, self._available, counter.value))
            elif is_vain:
                unread.append(decrement)
        if unread and not self._is_reading:
            self._read_for(unread)

    def _read_for(self, decrements: Sequence[Waiting]) -> None:
        self._is_reading = True

        def then(encoded: bytes | None, _: bool) -> None:
            self._is_reading = False
            self._is_woken = True
            for decrement in decrements:
                decrement.has_read = True
            self._learn(encoded)

        # If no quorum answers, the entry of this node is the best information there is.
        until_s = max(decrement.until_s for decrement in decrements)
        self._quorum_calls.read_majority(self._key, until_s, then, lambda _: then(None, True))

    def _ask(self) -> None:
        shortage = self.wanted() - self._available
        if shortage <= 0 or self._step.now.monotonic_s < self._next_at:
            return
        for owner in self._holders():
            if owner not in self._asked and node_of(owner) not in self._owing:
                self._asked.add(owner)
                self._ask_one(owner, min(shortage, MAX_WHOLE))
                return
        self._asked.clear()
        self._pause(ROUND_S)

    def _ask_one(self, owner: Actor, shortage: int) -> None:
        step, identity, me = self._step, self._key.identity, incarnation_of(self._replica.actor)
        step.stats.count("rights_requested")
        if self._is_here(owner):
            self._owing.add(node_of(owner))
            step.effects.send(node_of(owner), RightsRequest(self._number, identity, shortage, me))
            self._pause(HERE_S)
            return
        payload = encode_frame(0, [RightsWanted(identity, shortage, me)])
        step.effects.held_bus += [SendBus(dc, node_of(owner), payload) for dc in self._datacenters_of(owner)]
        self._pause(ELSEWHERE_S)

    def _holders(self) -> list[Actor]:
        """Return the other owners of rights that can be asked, in the order of asking."""
        counter, me = self._counter, incarnation_of(self._replica.actor)
        holders = [owner for owner in counter.holders() if owner != me and self._datacenters_of(owner)]
        return sorted(holders, key=lambda owner: (not self._is_here(owner), -counter.rights_of(owner)))

    def _is_here(self, owner: Actor) -> bool:
        return self._datacenters_of(owner) == [self._cluster.datacenter]

    def _learn(self, encoded: bytes | None) -> None:
        if encoded is None or not self._cluster.serves(self._key.token):
            return
        with suppress(InsufficientStorage):  # anti-entropy brings it when there is room
            self._replica.merge(self._key, Entry.from_replica(encoded, self._key.type_tag))

    def _pause(self, seconds: float) -> None:
        self._next_at = self._step.now.monotonic_s + seconds
        self._wake_at(self._next_at)

    def _wake_at(self, at_s: float) -> None:
        self._calls.set_timer(self._number, at_s, "look")


def counter_of(replica: Replica, storage_key: bytes) -> BoundedCounter:
    """Return the stored state of a bounded counter, an empty one if none is stored."""
    entry = replica.entry(storage_key)
    state = entry.state if entry is not None else BoundedCounter()
    assert isinstance(state, BoundedCounter)
    return state
