"""`RepairCall`: writes the merged result of one read back to the replicas that lack some of it.

The write-back is a call of its own, so that an acknowledgement belongs to certain bytes: when a read gives up a
replica, asks another one and writes back a larger result, acknowledgements of the first write-back must not count. A
fallback replica that lacks something gets a hint.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

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
    """One write-back in flight. `then` is called when as many replicas hold the result as the tally requires.

    `repaired` is called for each replica that holds the result now, `refused_by` for one that refused or is lost; the
    caller ends the call then, or at the deadline of the read.
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
        self._responsibles = responsibles
        self._tally = tally
        self._repaired = repaired
        self._refused_by = refused_by
        self._then = then
        self._number = kernel.calls.add(self)

    @property
    def storage_keys(self) -> Collection[bytes]:
        """The storage key."""
        return (self._key.storage_key,)

    @property
    def received(self) -> int:
        """The number of replicas that hold the result."""
        return self._tally.received

    def start(self, stale: Sequence[str], merged: bytes, is_durable: bool) -> None:
        """Send the result to the replicas that lack it; `is_durable` says whether this node's part is durable."""
        step = self._step
        step.stats.count("read_repairs", len(stale))
        if self._cluster.node in stale:
            try:
                self._local.merge_local(self._key, Entry.from_bytes(merged), [self._responsibles[self._cluster.node]])
            except (InsufficientStorage, Overloaded):
                self._refused_by(self._cluster.node)
                return
            self._holds(self._cluster.node)
        # If no home replica is responsible, no outbox may have the writes of the fallback replicas yet.
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
        """Remove the call from the table."""
        self._calls.end(self._number)

    def answered(self, replica: str, message: Message) -> None:
        """Count the acknowledgement of a replica."""
        if isinstance(message, (ReplicaWritten, ReplicaSuperseded)):
            self._holds(replica)
            self._progress()

    def lost(self, replica: str) -> None:
        """Report a replica that refused or is lost, if it still counts."""
        if self._tally.is_open(replica):
            self._refused_by(replica)

    def timer(self, purpose: str) -> None:
        """Do nothing: the call sets no timer, because the read has the deadline."""

    def _holds(self, replica: str) -> None:
        self._tally.ok(replica)
        self._repaired(replica)

    def _progress(self) -> None:
        if self._tally.outcome is Outcome.REACHED:
            self._then()
