"""`RepairCall`: the write-back of what one read has merged, to the replicas that lack some of it.

It is a call of its own, so an acknowledgement names the bytes it is of: a read that does without a replica, asks
another one and then writes back more must not count what acknowledges the first write-back. A fallback replica that
lacks something is given it as a hint.
"""

from collections.abc import Callable, Mapping, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage, Overloaded
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.quorum.tally import Outcome, Tally
from crdtkv.wire.messages import KeepHint, Message, ReplicaSuperseded, ReplicaWritten, WriteReplica


class RepairCall(Call):
    """One write-back in flight. `then` is called when as many hold the result as the tally asks for.

    `repaired` is called for each replica that holds it now, `refused_by` for one that will not; the caller ends the
    call then, or when its own time is over.
    """

    def __init__(
        self,
        kernel: Kernel,
        local: LocalCopy,
        key: PlacedKey,
        responsibles: Mapping[str, Responsible],
        tally: Tally,
        repaired: Callable[[str], None],
        refused_by: Callable[[str], None],
        then: Callable[[], None],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._local = local
        self._key = key
        self.storage_key = key.storage_key
        self._responsibles = responsibles
        self._tally = tally
        self._repaired = repaired
        self._refused_by = refused_by
        self._then = then
        self._number = kernel.calls.add(self)

    @property
    def received(self) -> int:
        """How many hold the result."""
        return self._tally.received

    def start(self, stale: Sequence[str], merged: bytes, is_durable: bool) -> None:
        """Send the result to those that lack it; `is_durable` tells whether what this node told of it itself is."""
        step = self._step
        step.stats.count("read_repairs", len(stale))
        if self._cluster.node in stale:
            try:
                self._local.merge_local(self._key, Entry.from_bytes(merged), [self._responsibles[self._cluster.node]])
            except (InsufficientStorage, Overloaded):
                self._refused_by(self._cluster.node)
                return
            self._holds(self._cluster.node)
        # What a fallback replica had was sent to nobody yet, if no home replica is there.
        is_unsent = not any(responsible.is_home for responsible in self._responsibles.values())
        for replica in stale:
            responsible = self._responsibles[replica]
            if replica == self._cluster.node:
                continue
            if responsible.is_home:
                step.answer(replica, WriteReplica(self._number, self._key.identity, merged, 0), is_durable)
            else:
                hint = KeepHint(self._number, responsible.targets[0], self._key.identity, merged, is_unsent)
                step.answer(replica, hint, is_durable)
        self._progress()

    def end(self) -> None:
        """Await nobody any more."""
        self._calls.end(self._number)

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
        if isinstance(message, (ReplicaWritten, ReplicaSuperseded)):
            self._holds(replica)
            self._progress()

    def lost(self, replica: str) -> None:
        """See `Call`."""
        if self._tally.is_open(replica):
            self._refused_by(replica)

    def timer(self, purpose: str) -> None:
        """See `Call`; it sets none: the read has the deadline."""

    def _holds(self, replica: str) -> None:
        self._tally.ok(replica)
        self._repaired(replica)

    def _progress(self) -> None:
        if self._tally.outcome is Outcome.REACHED:
            self._then()
