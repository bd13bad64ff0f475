"""`PutCall`: an entry on its way to the nodes that answer for its key.

Serves client writes (the coordinator has made the entry durable-to-be in its own store, and counts as an answer), and
entries from other data centers (the coordinator may hold nothing of the key at all). A home replica that
is absent, or lost on the way, gets a hint (`node.kernel.responsible` says from which node).

A blind write's call stays in the table until all have answered or the deadline has passed, because a replica that
superseded older versions on its own says so in its answer, also when the caller has long been told. Any other call ends
when its caller is told: one silent replica must not make calls pile up.

Of a large entry only the part that changed is sent. A replica that has not seen what this builds on refuses it, and
is sent all that has changed lately; if it has not seen what that builds on either, the whole.

A replica that is about to follow a new ring epoch, or about to enter itself, refuses for a moment: it is asked again.
"""

from collections.abc import Callable, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InsufficientStorage, ProtocolError, WriteTimeout
from crdtkv.hashing import DIGEST_BYTES
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import AGAIN_S, BEHIND, TRANSIENT_REFUSALS, Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.replica.replica import Part, Replica
from crdtkv.quorum.tally import Outcome, Tally
from crdtkv.wire.messages import KeepHint, Message, ReplicaSuperseded, ReplicaWritten, WriteReplica


class PutCall(Call):
    """One write in flight. `then` is called when enough nodes have it, counting this one once it is durable."""

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
        made_on: int | None = None,
    ) -> None:
        """Send the entry to all responsible replicas; this node's own store must hold it already, if it is one of them.

        Home replicas that have seen all of a context need only the `part` that goes with it. `record` is that of the
        operation (`node.replica.operations`), `made_on` the digest of what the entry was made on (`Write`).
        """
        step = self._step
        self._tally = Tally([responsible.node for responsible in responsibles if responsible.is_counted], required)
        self._may_be_answered = supersede_before > 0 or part is not None
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, deadline_s, "deadline")
        identity = self._key.identity
        # Of a large entry the whole is encoded only when somebody needs it.
        self._entry = entry
        if made_on is not None:
            digest, newest = made_on.to_bytes(DIGEST_BYTES, "big"), entry.state.newest()
            message = WriteReplica(
                self._number, identity, entry.to_bytes(), supersede_before, None, record, digest, newest
            )
        elif part is None:
            message = WriteReplica(self._number, identity, entry.to_bytes(), supersede_before, None, record)
        else:
            message = WriteReplica(self._number, identity, part.entry, supersede_before, list(part.basis), record)
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
            self._messages[name] = (
                message
                if is_home
                else KeepHint(self._number, targets[0], identity, entry.to_bytes(), is_unsent, record)
            )
            step.effects.send_when_durable(name, self._messages[name])
        self._progress()

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
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
        """See `Call`."""
        if replica in self._waiting:
            self._waiting.discard(replica)
            self._remember(replica)
            self._tally.fail(replica)
            self._progress()

    def refused(self, replica: str, code: str) -> None:
        """See `Call`."""
        if code == BEHIND and replica in self._waiting and self._has_more_for(replica):
            self._step.effects.send_when_durable(replica, self._messages[replica])
        elif code not in TRANSIENT_REFUSALS:
            self.lost(replica)
        elif replica in self._waiting:
            if not self._again:
                self._calls.set_timer(self._number, self._step.now.monotonic_s + AGAIN_S, "again")
            self._again.append(replica)

    def timer(self, purpose: str) -> None:
        """See `Call`."""
        if purpose == "again":
            again, self._again = self._again, []
            for replica in again:
                if replica in self._waiting:
                    self._step.effects.send_when_durable(replica, self._messages[replica])
            return
        for replica in sorted(self._waiting):
            self._remember(replica)
        self._settle_as_failed()
        self._calls.end(self._number)

    def _has_more_for(self, replica: str) -> bool:
        """Put more into the message for a replica that has not seen its basis: what changed lately, then the whole."""
        sent = self._messages[replica]
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
        """Keep a hint for a home replica of which it is not known whether it has the entry."""
        if self._is_held_here and replica in self._cluster.ring.replicas_at(self._key.token):
            self._local.add_hint_ref(self._key, replica)

    def _learn(self, encoded: bytes) -> None:
        """Merge what a replica made of the write by superseding versions that this node did not hold."""
        if not self._is_held_here:
            return
        try:
            self._replica.merge(self._key, Entry.from_replica(encoded, self._key.type_tag))
        except ProtocolError:
            self._step.stats.count("junk_messages")
        except InsufficientStorage:
            pass  # anti-entropy brings it when there is room
