"""`GetCall`: a quorum read over the links, with blocking read repair.

`AskingCall` decides which replicas are asked, and `quorum.ReadCall` the result. `GetCall` sends the messages, and reads
this node's own entry without one. Phases: asking, then (only if answers differed) repairing (`read_repair`), then done.
Most reads of small entries end before it begins, by digests (`digest_reading`).

A replica sends only the part of a large entry that this node has not seen. The request carries the context of this
node's entry. A replica that holds the same or less answers without an entry; one that holds more sends the new part, if
it has kept that. A read before an operation (`is_for_write`) needs only the part that this node has not seen, and
repairs nothing: no client sees its result, and the write that follows includes all of it.
"""

from collections.abc import Callable, Collection, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, ReadTimeout, Unavailable
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import AGAIN_S, TRANSIENT_REFUSALS
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.quorum_calls.asking import AskingCall
from crdtkv.node.quorum_calls.hedging import Hedging
from crdtkv.node.quorum_calls.read_repair import RepairCall
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.quorum.read_call import OLDER, ReadCall
from crdtkv.quorum.tally import Outcome
from crdtkv.wire.messages import Message, ReadReplica, ReplicaEntry

#: Called with the merged entry (None: never written) and whether it is durable where it was read.
Then = Callable[[bytes | None, bool], None]
Failed = Callable[[CrdtkvError], None]


class GetCall(AskingCall[ReadCall]):
    """One quorum read in flight."""

    def __init__(
        self,
        kernel: Kernel,
        local: LocalCopy,
        selector: ReplicaSelector,
        hedging: Hedging,
        key: PlacedKey,
        then: Then,
        failed: Failed,
        is_for_write: bool = False,
    ) -> None:
        super().__init__(kernel, selector, hedging)
        self._kernel = kernel
        self._is_for_write = is_for_write
        self._local = local
        self._key = key
        self._then = then
        self._failed = failed
        self._is_durable = True
        self._merged: bytes | None = None
        self._repair: RepairCall | None = None
        self._again: list[str] = []
        self._own: Entry | None = None
        #: This node's entry, merged with the new parts of the answers.
        self._known: Entry | None = None
        self._is_own_durable = True
        self._own_seen: list[object] | None = None
        self._is_own_known = False

    def start(
        self, responsibles: Sequence[Responsible], required: int, deadline_s: float, first: Sequence[str] = ()
    ) -> None:
        """Ask the first replicas; if too few are responsible, fail at once. Those in `first` are preferred."""
        self._responsibles = {responsible.node: responsible for responsible in responsibles if responsible.is_counted}
        if len(self._responsibles) < required:
            self._failed(Unavailable(required, len(self._responsibles)))
            return
        self._number = self._calls.add(self)
        order = self._selector.ordered(tuple(self._responsibles), required)
        if first:
            order.sort(key=lambda name: name not in first)
        self.begin(self._responsibles, ReadCall(order, required), deadline_s)

    @property
    def storage_keys(self) -> Collection[bytes]:
        """The storage key."""
        return (self._key.storage_key,)

    @property
    def is_asking(self) -> bool:
        """Whether the read needs an answer."""
        return self._repair is None

    def answered(self, replica: str, message: Message) -> None:
        """Count the answer of a replica."""
        if isinstance(message, ReplicaEntry):
            self._answer(replica, self._entry_in(message))

    def refused(self, replica: str, code: str) -> None:
        """Ask again after a transient refusal; treat another refusal as a loss."""
        if code not in TRANSIENT_REFUSALS:
            self.lost(replica)
        elif replica in self._asked_at:
            if not self._again:
                self._calls.set_timer(self._number, self._step.now.monotonic_s + AGAIN_S, "again")
            self._again.append(replica)

    def timer(self, purpose: str) -> None:
        """Ask again after a refusal, fail at the deadline, or hedge."""
        if purpose != "again":
            super().timer(purpose)
            return
        again, self._again = self._again, []
        for replica in again:
            if replica in self._asked_at:  # the read may have given it up meanwhile
                self.ask(replica)

    def ask(self, replica: str) -> None:
        """Request the entry of a replica, or read this node's own."""
        step = self._step
        if replica == self._cluster.node:
            entry, is_durable = self._local.entry(self._key)
            self._is_durable = self._is_durable and is_durable
            self._answer(replica, None if entry is None or self._is_for_write else entry.to_bytes())
        else:
            self._asked_at[replica] = step.now.monotonic_s
            step.effects.send(replica, ReadReplica(self._number, self._key.identity, self._seen_here()))

    def go_on(self, spare: str | None) -> None:
        """Continue after the failure of a replica, with `spare` in its place if there is one."""
        if self._read.outcome is Outcome.REACHED:
            self._conclude()
        elif spare is not None:
            self.ask(spare)
        elif self._read.outcome is Outcome.IMPOSSIBLE:
            self.too_late()

    def too_late(self) -> None:
        """Fail: too few replicas have answered in time, or can."""
        self.wait_no_more()
        self._end()
        received = self._repair.received if self._repair is not None else self._read.received
        self._failed(ReadTimeout(received, self._read.required))

    def _seen_here(self) -> list[object] | None:
        """Return the context of this node's entry if that is large, so that replicas omit the part it has seen."""
        if not self._is_own_known:
            self._is_own_known = True
            own, self._is_own_durable = self._local.entry(self._key)
            if own is not None and self._local.is_large(own):
                self._own, self._own_seen = own, list(own.context.to_wire())
        return self._own_seen

    def _entry_in(self, message: ReplicaEntry) -> bytes | None:
        """Return the entry of an answer; `OLDER` if the replica lacks a part of this node's entry."""
        own, encoded = self._own, message.entry
        if own is None or not (message.is_same or message.is_older or message.is_part):
            return encoded
        if self._is_for_write:
            held = self._local.entry(self._key)[0]
            if encoded is None or (held is not None and held.context.descends(own.context)):
                return encoded
        if message.is_same:
            return own.to_bytes()
        # The entry of this node becomes part of the result.
        self._is_durable = self._is_durable and self._is_own_durable
        if encoded is None:
            return OLDER
        known = own.merge(Entry.from_replica(encoded, self._key.type_tag))
        self._known = known if self._known is None else self._known.merge(known)
        return OLDER if message.is_older and not self._is_for_write else known.to_bytes()

    def _answer(self, replica: str, entry: bytes | None) -> None:
        self.note_answer(replica)
        self._read.answer(replica, entry)
        # A hedged answer during a repair counts only if one of the others cannot be repaired.
        if self._read.outcome is Outcome.REACHED and self._repair is None:
            self._conclude()

    def _conclude(self) -> None:
        """Return the result, if all replicas that answered have it; else write it back first."""
        if self._asked_at:
            self.wait_no_more()
        known = None if self._is_for_write else self._known or self._own
        self._merged, stale = self._read.result(known)
        if stale and self._merged is not None and not self._is_for_write:
            self._write_back(stale, self._merged)
        else:
            self._finish()

    def _write_back(self, stale: list[str], merged: bytes) -> None:
        self._repair = RepairCall(
            self._kernel,
            self._local,
            self._key,
            self._responsibles,
            self._read.repair_tally(stale),
            self._repaired,
            self._ask_instead_of,
            self._finish,
        )
        self._repair.start(stale, merged, self._is_durable)

    def _repaired(self, replica: str) -> None:
        assert self._merged is not None
        self._read.repaired(replica, self._merged)
        if replica == self._cluster.node:
            self._is_durable = False

    def _ask_instead_of(self, replica: str) -> None:
        """Continue without a replica that cannot be repaired: it is lost, or its disk is full."""
        assert self._repair is not None
        self._repair.end()
        self._repair = None
        self._step.stats.count("read_repairs_refused")
        self.go_on(self._read.retract(replica))

    def _finish(self) -> None:
        self._end()
        self._then(self._merged, self._is_durable)

    def _end(self) -> None:
        self._calls.end(self._number)
        if self._repair is not None:
            self._repair.end()
