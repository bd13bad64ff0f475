"""`PutCall`: sends an entry to the responsible replicas of its key.

The coordinator has put the entry into its own store, and counts as an answer. A home replica that is absent, or lost on
the way, gets a hint (`node.kernel.responsible` defines at which node). Entries from other data centers are carried by
`applying`.

The call of a blind write stays in the table until all replicas have answered or the deadline has passed, even after
`then` was called: a replica that superseded older versions on its own reports that in its answer. So does the call of a
partial delta, which may be refused. Any other call ends when `then` or `failed` is called, so that a silent replica
does not make calls accumulate.

Only the changed part of a large entry is sent. A replica that has not seen the basis of the part refuses it, and gets
the join of the recent changes; if it has not seen the basis of that either, it gets the whole entry.
"""

from collections.abc import Collection, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage, ProtocolError
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import BEHIND
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.quorum_calls.storing import Failed, StoreCall, Then
from crdtkv.node.replica.replica import Part, Replica
from crdtkv.quorum.tally import Tally
from crdtkv.wire.messages import KeepHint, Message, ReplicaSuperseded, ReplicaWritten, WriteReplica


class PutCall(StoreCall):
    """One write in flight."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        local: LocalCopy,
        key: PlacedKey,
        then: Then,
        failed: Failed,
    ) -> None:
        super().__init__(kernel, then, failed)
        self._replica = replica
        self._local = local
        self._key = key
        self._is_held_here = False
        #: By replica: what it was sent, if that was no row of `WriteReplicas`.
        self._messages: dict[str, WriteReplica | KeepHint] = {}
        self._sent_recent: set[str] = set()

    @property
    def storage_keys(self) -> Collection[bytes]:
        """The storage key."""
        return (self._key.storage_key,)

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
        counted = [responsible.node for responsible in responsibles if responsible.is_counted]
        self.begin(Tally(counted, required), deadline_s)
        self._may_be_answered = supersede_before > 0 or part is not None
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
        self.progress()

    def answered(self, replica: str, message: Message) -> None:
        """Count the answer of a replica; merge the entry of one that superseded older versions."""
        kind = type(message)
        if replica not in self._waiting or (kind is not ReplicaWritten and kind is not ReplicaSuperseded):
            return
        if isinstance(message, ReplicaSuperseded):
            self._learn(message.entry)
        self.stored(replica)

    def refused(self, replica: str, code: str) -> None:
        """Send more to a replica that has not seen the basis; ask again after a transient refusal; else give it up."""
        if code == BEHIND and replica in self._waiting and self._has_more_for(replica):
            self._send(replica, self._messages[replica])
        else:
            super().refused(replica, code)

    def send_to(self, replica: str) -> None:
        """Send again what the replica was sent, or the whole entry."""
        self._send(replica, self._messages.get(replica) or self._whole())

    def remember(self, replica: str) -> None:
        """Store a hint for a home replica that may lack the entry."""
        if self._is_held_here and replica in self._cluster.ring.replicas_at(self._key.token):
            self._local.add_hint_ref(self._key, replica)

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
