"""`PutCall`: sends an entry to the responsible replicas of its key.

It carries client writes (the coordinator has put the entry into its own store, and counts as an answer), and entries
from other data centers (the coordinator may be no replica of the key). A home replica that is absent, or lost on the
way, gets a hint (`node.kernel.responsible` defines at which node).

The call of a blind write stays in the table until all replicas have answered or the deadline has passed, even after
`then` was called: a replica that superseded older versions on its own reports that in its answer. So does the call of a
partial delta, which may be refused. Any other call ends when `then` or `failed` is called, so that a silent replica
does not make calls accumulate.

Only the changed part of a large entry is sent. A replica that has not seen the basis of the part refuses it, and gets
the join of the recent changes; if it has not seen the basis of that either, it gets the whole entry.

A replica that is about to follow a new ring epoch, or to enroll, sends a transient refusal: it is asked again.
"""

from collections.abc import Callable, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InsufficientStorage, ProtocolError, WriteTimeout
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import AGAIN_S, BEHIND, TRANSIENT_REFUSALS, Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.replica.replica import Part, Replica
from crdtkv.quorum.tally import Outcome, Tally
from crdtkv.wire.messages import KeepHint, Message, ReplicaSuperseded, ReplicaWritten, WriteReplica


class PutCall(Call):
    """One write in flight. `then` is called when enough nodes have the entry.

    This node counts at once, so all that `then` sends must wait until this node's own commit is durable.
    """

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        local: LocalCopy,
        key: PlacedKey,
        then: Callable[[], None],
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._replica = replica
        self._local = local
        self._key = key
        self.storage_key = key.storage_key
        self._then = then
        self._failed = failed
        self._is_settled = False
        self._may_be_answered = False
        self._is_held_here = False
        self._number = 0
        self._waiting: set[str] = set()
        #: By replica: what it was sent, if that was no row of `WriteReplicas`.
        self._messages: dict[str, WriteReplica | KeepHint] = {}
        self._sent_recent: set[str] = set()
        self._again: list[str] = []
        self._started_s = kernel.step.now.monotonic_s

    def start(
        self,
        entry: Entry,
        supersede_before: int,
        responsibles: Sequence[Responsible],
        required: int,
        deadline_s: float,
        part: Part | None = None,
        record: bytes = b"",
        made_on: bytes = b"",
    ) -> None:
        """Send the entry to all responsible replicas; this node's store must hold it already if it is one of them.

        Home replicas that have seen the basis of `part` need only `part`. `record` is the operation record
        (`node.replica.operations`), `made_on` the digest of the entry before the write (`Write`).
        """
        step = self._step
        self._tally = Tally([responsible.node for responsible in responsibles if responsible.is_counted], required)
        self._may_be_answered = supersede_before > 0 or part is not None
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, deadline_s, "deadline")
        identity = self._key.identity
        # The whole of a large entry is encoded only when a replica needs it.
        self._entry = entry
        self._supersede_before = supersede_before
        self._record = record
        is_unsent = not any(responsible.is_home for responsible in responsibles)
        for name, is_home, _, targets in responsibles:
            if name == self._cluster.node:
                self._tally.ok(name)
                if is_home:
                    self._is_held_here = True
                    for target in targets:
                        self._local.add_hint_ref(self._key, target)
                continue
            self._waiting.add(name)
            if not is_home:
                hint = KeepHint(self._number, targets[0], identity, entry.to_bytes(), is_unsent, record)
                self._send(name, hint)
            elif part is not None:
                basis: list[object] = [*part.basis]
                self._send(name, WriteReplica(self._number, identity, part.entry, supersede_before, basis, record))
            elif made_on:
                step.effects.write_when_durable(
                    name,
                    self._number,
                    identity,
                    entry.to_bytes(),
                    supersede_before,
                    record,
                    made_on,
                    entry.state.newest(),
                )
            else:
                self._send(name, self._whole())
        self._progress()

    def answered(self, replica: str, message: Message) -> None:
        """Count the answer of a replica; merge the entry of one that superseded older versions."""
        kind = type(message)
        if replica not in self._waiting or (kind is not ReplicaWritten and kind is not ReplicaSuperseded):
            return
        self._step.stats.replica_rpc("write", self._step.now.monotonic_s - self._started_s)
        if isinstance(message, ReplicaSuperseded):
            self._learn(message.entry)
        self._waiting.discard(replica)
        self._tally.ok(replica)
        self._progress()

    def lost(self, replica: str) -> None:
        """Count a lost replica as failed, and store a hint for it."""
        if replica in self._waiting:
            self._waiting.discard(replica)
            self._remember(replica)
            self._tally.fail(replica)
            self._progress()

    def refused(self, replica: str, code: str) -> None:
        """Send more to a replica that has not seen the basis; ask again after a transient refusal; else give it up."""
        if code == BEHIND and replica in self._waiting and self._has_more_for(replica):
            self._send(replica, self._messages[replica])
        elif code not in TRANSIENT_REFUSALS:
            self.lost(replica)
        elif replica in self._waiting:
            if not self._again:
                self._calls.set_timer(self._number, self._step.now.monotonic_s + AGAIN_S, "again")
            self._again.append(replica)

    def timer(self, purpose: str) -> None:
        """Send again after a refusal, or fail at the deadline, with hints for the replicas that have not answered."""
        if purpose == "again":
            again, self._again = self._again, []
            for replica in again:
                if replica in self._waiting:
                    self._send(replica, self._messages.get(replica) or self._whole())
            return
        for replica in sorted(self._waiting):
            self._remember(replica)
        self._settle_as_failed()
        self._calls.end(self._number)

    def _send(self, replica: str, message: WriteReplica | KeepHint) -> None:
        self._messages[replica] = message
        self._step.effects.send_when_durable(replica, message)

    def _whole(self) -> WriteReplica:
        entry = self._entry.to_bytes()
        return WriteReplica(self._number, self._key.identity, entry, self._supersede_before, None, self._record)

    def _has_more_for(self, replica: str) -> bool:
        """Extend the message for a replica that has not seen its basis: the recent changes, then the whole entry."""
        sent = self._messages.get(replica)
        if not isinstance(sent, WriteReplica) or sent.basis is None:
            return False
        recent = self._replica.recent.all_of(self._key.storage_key) if replica not in self._sent_recent else None
        self._sent_recent.add(replica)
        is_enough = recent is not None and recent.makes_up(self._entry.context)
        if recent is not None and is_enough and recent.basis.to_wire() != sent.basis:
            self._messages[replica] = sent._replace(entry=recent.delta.to_bytes(), basis=list(recent.basis.to_wire()))
        else:
            self._messages[replica] = sent._replace(entry=self._entry.to_bytes(), basis=None)
        return True

    def _progress(self) -> None:
        outcome = self._tally.outcome
        if outcome is Outcome.REACHED and not self._is_settled:
            self._is_settled = True
            self._then()
        elif outcome is Outcome.IMPOSSIBLE:
            self._settle_as_failed()
        if not self._waiting or (self._is_settled and not self._may_be_answered):
            self._calls.end(self._number)

    def _settle_as_failed(self) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._failed(WriteTimeout(self._tally.received, self._tally.required))

    def _remember(self, replica: str) -> None:
        """Store a hint for a home replica that may lack the entry."""
        if self._is_held_here and replica in self._cluster.ring.replicas_at(self._key.token):
            self._local.add_hint_ref(self._key, replica)

    def _learn(self, encoded: bytes) -> None:
        """Merge the entry of a replica that superseded versions which this node did not hold."""
        if not self._is_held_here:
            return
        try:
            self._replica.merge(self._key, Entry.from_replica(encoded, self._key.type_tag))
        except ProtocolError:
            self._step.stats.count("junk_messages")
        except InsufficientStorage:
            pass  # anti-entropy brings it when there is room
