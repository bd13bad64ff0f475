"""`HintDelivery`: delivers hints to their targets.

When a target is alive again, its hints are delivered in batches, one target at a time and at most `max_mib_per_s`. Each
hint is deleted when the target has acknowledged it, durably. A target whose hints were dropped is repaired by an
anti-entropy session when it is alive again.
"""

from crdtkv.config.model import HandoffConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage, Overloaded
from crdtkv.node.handoff.hints import Hint, Hints
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import BEHIND, Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.repair.anti_entropy import AntiEntropy
from crdtkv.node.replica.replica import Replica
from crdtkv.ring.token import identity_in, token_in
from crdtkv.wire.messages import HandOff, Message, ReplicaSuperseded, ReplicaWritten, WriteReplica

BATCH_HINTS = 64
BATCH_BYTES = 256 * 1024
DELIVERY_TIMEOUT_S = 5.0
RETRY_S = 1.0
_MIB = 1024 * 1024


class HintDelivery:
    """The deliveries of one node."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        hints: Hints,
        local: LocalCopy,
        anti_entropy: AntiEntropy,
        keys: KeyCheck,
        config: HandoffConfig,
    ) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._replica = replica
        self._hints = hints
        self._local = local
        self._anti_entropy = anti_entropy
        self._keys = keys
        self._bytes_per_s = config.max_mib_per_s * _MIB
        self._next_at = 0.0
        self._under_way = 0
        self._last_target = ""
        #: Targets in an anti-entropy session, and the number of dropped hints of each when the session began.
        self._repairing: dict[str, int] = {}

    def next_timer(self) -> float | None:
        """Return when the next delivery is due, None if no target can be reached."""
        return self._next_at if len(self._hints) and not self._under_way and self._target() is not None else None

    def run_due(self) -> None:
        """Begin a delivery, if it is time; called at the end of every step."""
        if self._hints.needs_repair:
            self._begin_repairs()
        if not len(self._hints) or self._under_way or self._step.now.monotonic_s < self._next_at:
            return
        target = self._target()
        if target is None:
            return
        self._last_target = target
        size = 0
        for hint in self._hints.first(target, BATCH_HINTS):
            if size >= BATCH_BYTES:
                break
            size += self._deliver(hint)
        self._next_at = self._step.now.monotonic_s + size / self._bytes_per_s

    def ended(self, hint: Hint, is_taken: bool) -> None:
        """Handle the end of one delivery."""
        self._under_way -= 1
        if not is_taken:
            self._next_at = self._step.now.monotonic_s + RETRY_S
            return
        self._local.hint_delivered(hint)
        if self._hints.delivered(hint):
            self._step.stats.count("hints_delivered")

    def _begin_repairs(self) -> None:
        """Begin sessions with live targets whose hints were dropped; remove the marks of those that are repaired."""
        for target in self._hints.needing_repair:
            began_at = self._repairing.get(target)
            if began_at is None:
                if target in self._cluster.alive:
                    self._repairing[target] = self._hints.drops(target)
                    self._anti_entropy.begin_full_comparison(target)
            elif target not in self._anti_entropy.full_comparisons:
                del self._repairing[target]
                if self._hints.drops(target) == began_at:
                    self._hints.repaired(target)

    def _target(self) -> str | None:
        """Return the target of the next delivery, in turn: one that is alive, or has left the ring (for `_rehome`)."""
        topology = self._cluster.ring.topology
        ready = [name for name in self._hints.targets if self._cluster.is_alive(name) or topology.node(name) is None]
        return next((name for name in ready if name > self._last_target), ready[0] if ready else None)

    def _deliver(self, hint: Hint) -> int:
        """Send a hint; return its bytes."""
        token = token_in(hint.storage_key)
        if hint.target == self._cluster.node or hint.target not in self._cluster.ring.replicas_at(token):
            self._rehome(hint, token)
            return len(hint.entry or b"")
        encoded, is_durable = hint.entry, not self._replica.commits.has_undurable
        if encoded is None:
            encoded, is_durable = self._replica.read(hint.storage_key)
        if encoded is None:
            self._hints.delivered(hint)  # a reference to an entry that this node does not store any more
            return 0
        self._under_way += 1
        delivery = _Delivery(self._kernel, self, hint)
        number = delivery.number = self._calls.add(delivery)
        self._calls.set_timer(number, self._step.now.monotonic_s + DELIVERY_TIMEOUT_S, "deadline")
        identity = identity_in(hint.storage_key)
        message: Message = WriteReplica(number, identity, encoded, 0)
        recent = self._replica.changed_lately(hint.storage_key) if hint.entry is None else None
        if hint.is_unsent:
            message = HandOff(number, identity, encoded)
        elif recent is not None:
            # The target may have missed only this delta; if it has missed more, it refuses, and gets the whole entry.
            message = WriteReplica(number, identity, recent.delta.to_bytes(), 0, list(recent.basis.to_wire()))
        self._step.answer(hint.target, message, is_durable)
        return len(encoded)

    def send_whole(self, number: int, hint: Hint) -> bool:
        """Send the whole entry to a target that refused a delta; return False if this node does not store it now."""
        encoded, is_durable = self._replica.read(hint.storage_key)
        if encoded is not None:
            message = WriteReplica(number, identity_in(hint.storage_key), encoded, 0)
            self._step.answer(hint.target, message, is_durable)
        return encoded is not None

    def _rehome(self, hint: Hint, token: int) -> None:
        """Store the hint of a node that is no home replica any more for all current home replicas."""
        if hint.entry is not None:
            key = self._keys.from_peer(identity_in(hint.storage_key))
            try:
                for target in self._cluster.ring.replicas_at(token):
                    self._local.accept_hint(key, target, Entry.from_bytes(hint.entry), hint.is_unsent)
            except (InsufficientStorage, Overloaded):
                self._next_at = self._step.now.monotonic_s + RETRY_S
                return
        self._hints.delivered(hint)


class _Delivery(Call):
    """One hint in flight."""

    def __init__(self, kernel: Kernel, deliveries: HintDelivery, hint: Hint) -> None:
        self._calls = kernel.calls
        self._deliveries = deliveries
        self._hint = hint
        self.number = 0

    def answered(self, replica: str, message: Message) -> None:
        """End the delivery when the target has acknowledged it."""
        if replica == self._hint.target and isinstance(message, (ReplicaWritten, ReplicaSuperseded)):
            self._end(is_taken=True)

    def lost(self, replica: str) -> None:
        """End the delivery as failed if the target is lost."""
        if replica == self._hint.target:
            self._end(is_taken=False)

    def refused(self, replica: str, code: str) -> None:
        """Send the whole entry to a target that has not seen the basis of the delta; else end the delivery."""
        if replica != self._hint.target or code != BEHIND or not self._deliveries.send_whole(self.number, self._hint):
            self.lost(replica)

    def timer(self, purpose: str) -> None:
        """End the delivery as failed at its deadline."""
        self._end(is_taken=False)

    def _end(self, is_taken: bool) -> None:
        self._calls.end(self.number)
        self._deliveries.ended(self._hint, is_taken)
