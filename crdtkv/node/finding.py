"""`FindCall`: what became of an operation that a client tries again.

Everybody who answers for the key is asked, and the nodes that were tried before. Whoever has taken part brings the
record and the entry. That nobody has is believed when a majority of the replicas say so, and with them every node that
may have begun it: what only that one has would come up later, and the operation would have been carried out twice.
Those that are silent are waited for a moment more, because the one that knows may be among them.
"""

from collections.abc import Callable, Sequence

from crdtkv.errors import CrdtkvError, Unavailable
from crdtkv.handoff.seats import Seat
from crdtkv.node.calls import Call
from crdtkv.node.keys import PlacedKey
from crdtkv.node.operations import Record
from crdtkv.node.step import Step
from crdtkv.quorum.level import majority
from crdtkv.wire.messages import FindOperation, Message, OperationFound

PATIENCE_S = 0.25

#: Called with the record and the entry where it was found; with None twice if nobody has seen the operation.
Found = Callable[[Record | None, bytes | None], None]


class FindCall(Call):
    """One question in flight."""

    def __init__(self, step: Step, key: PlacedKey, then: Found, failed: Callable[[CrdtkvError], None]) -> None:
        self._step = step
        self._key = key
        self._then = then
        self._failed = failed
        self._is_patient = True

    def start(self, operation_id: bytes, tried: Sequence[str], seats: Sequence[Seat], deadline_s: float) -> None:
        """Ask everybody but this node, which knows nothing of it."""
        step = self._step
        homes = step.ring.replicas_at(self._key.token)
        self._required = majority(step.ring.replication_factor)
        # A node that is no replica may have handed the operation to any of them.
        suspects = set(tried) if all(name in homes for name in tried) else {*tried, *homes}
        self._suspects = suspects - {step.node}
        self._counted = {seat.node for seat in seats if seat.is_counted}
        self._strangers = {step.node}
        self._asked = {name for name in self._counted | self._suspects if name in step.alive}
        self._number = step.calls.add(self)
        step.calls.set_timer(self._number, step.now.monotonic_s + PATIENCE_S, "patience")
        step.calls.set_timer(self._number, deadline_s, "deadline")
        for name in sorted(self._asked):
            step.effects.send(name, FindOperation(self._number, self._key.identity, operation_id))
        self._progress()

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
        if not isinstance(message, OperationFound) or replica not in self._asked:
            return
        self._asked.discard(replica)
        if message.record:
            record = Record.from_bytes(message.record)
            self._step.calls.end(self._number)
            self._then(record, message.entry)
            return
        self._strangers.add(replica)
        self._progress()

    def lost(self, replica: str) -> None:
        """See `Call`."""
        self._asked.discard(replica)
        self._progress()

    def timer(self, purpose: str) -> None:
        """See `Call`."""
        self._is_patient = False
        if purpose == "deadline":
            self._asked.clear()
        self._progress()

    def _progress(self) -> None:
        strangers = len(self._strangers & self._counted)
        is_unknown = strangers >= self._required and self._suspects <= self._strangers
        if self._asked and (self._is_patient or not is_unknown):
            return
        self._step.calls.end(self._number)
        if is_unknown:
            self._then(None, None)
        else:
            self._failed(Unavailable(self._required, strangers))
