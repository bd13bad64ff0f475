"""`PutCall`: an entry on its way to the home replicas of its key.

Serves client writes (the coordinator has made the entry durable-to-be in its own store, and counts as an answer),
and entries from other data centers (the coordinator may be no replica at all). A blind write's call stays in the
table until all replicas have answered or the deadline has passed, because a replica that superseded older versions on
its own says so in its answer, also when the caller has long been told. Any other call ends when its caller is told: one
silent replica must not make calls pile up.
"""

from collections.abc import Callable, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InsufficientStorage, ProtocolError, WriteTimeout
from crdtkv.node.keys import PlacedKey
from crdtkv.node.replica import Replica
from crdtkv.node.step import Step
from crdtkv.quorum.tally import Outcome, Tally
from crdtkv.wire.messages import Message, ReplicaSuperseded, ReplicaWritten, WriteReplica


class PutCall:
    """One write in flight. `then` is called when enough replicas have it, counting this one once it is durable."""

    def __init__(
        self,
        step: Step,
        replica: Replica,
        key: PlacedKey,
        then: Callable[[], None],
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        self._step = step
        self._replica = replica
        self._key = key
        self._then = then
        self._failed = failed
        self._is_settled = False
        self._may_learn = False
        self._number = 0
        self._started_s = step.now.monotonic_s

    def start(
        self,
        entry: bytes,
        supersede_before: int,
        replicas: Sequence[str],
        required: int,
        deadline_s: float,
    ) -> None:
        """Send the entry to every replica that is alive; this node's own store must hold it already."""
        step = self._step
        self._tally = Tally(replicas, required)
        self._may_learn = supersede_before > 0
        self._number = step.calls.add(self)
        step.calls.set_timer(self._number, deadline_s, "deadline")
        message = WriteReplica(self._number, self._key.identity, entry, supersede_before)
        self._waiting = 0
        for name in replicas:
            if name == step.node:
                self._tally.ok(name)
            elif name in step.alive:
                step.effects.send_when_durable(name, message)
                self._waiting += 1
            else:
                self._tally.fail(name)
        self._progress()

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
        kind = type(message)
        if not self._tally.is_open(replica) or (kind is not ReplicaWritten and kind is not ReplicaSuperseded):
            return
        self._step.stats.replica_rpc("write", self._step.now.monotonic_s - self._started_s)
        if isinstance(message, ReplicaSuperseded):
            self._learn(message.entry)
        self._tally.ok(replica)
        self._waiting -= 1
        self._progress()

    def lost(self, replica: str) -> None:
        """See `Call`."""
        if self._tally.is_open(replica):
            self._tally.fail(replica)
            self._waiting -= 1
            self._progress()

    def timer(self, purpose: str) -> None:
        """See `Call`; the only timer is the deadline."""
        self._settle_as_failed()
        self._step.calls.end(self._number)

    def _progress(self) -> None:
        outcome = self._tally.outcome
        if outcome is Outcome.REACHED and not self._is_settled:
            self._is_settled = True
            self._then()
        elif outcome is Outcome.IMPOSSIBLE:
            self._settle_as_failed()
        if self._waiting == 0 or (self._is_settled and not self._may_learn):
            self._step.calls.end(self._number)

    def _settle_as_failed(self) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._failed(WriteTimeout(self._tally.received, self._tally.required))

    def _learn(self, encoded: bytes) -> None:
        """Merge what a replica made of the write by superseding versions that this node did not hold."""
        if self._step.node not in self._step.ring.replicas_at(self._key.token):
            return
        try:
            self._replica.merge(self._key, Entry.from_replica(encoded, self._key.type_tag))
        except ProtocolError:
            self._step.stats.count("junk_messages")
        except InsufficientStorage:
            pass  # anti-entropy brings it when there is room
