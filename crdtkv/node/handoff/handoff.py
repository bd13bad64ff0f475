"""`Handoff`: this node as a stand-in, and how hints reach their targets.

A stand-in takes entries for an absent home replica and answers reads from what it keeps (`handoff.hints`). If no home
replica of a key is alive at all, it even makes the write: as a *guest*, under an actor of its own. Dots are counted per
key, and a guest forgets a key when its hint is delivered; so a guest's actor is given up with the first of its hints
that goes, and with the process. A name that is never used after something was forgotten under it names no dot twice.

When a target is alive again, its hints are delivered in batches, one target at a time and at most `max_mib_per_s`, and
each is dropped when the target has acknowledged it, durably.
"""

from collections.abc import Sequence
from random import Random

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.config.model import HandoffConfig
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientStorage, Overloaded
from crdtkv.ids import actor_name
from crdtkv.node.handoff.hints import Hint, Hints
from crdtkv.node.kernel.calls import BEHIND, Call
from crdtkv.node.kernel.keys import KeyCheck, PlacedKey
from crdtkv.node.kernel.seats import Seat
from crdtkv.node.kernel.step import Step
from crdtkv.node.repair.anti_entropy import AntiEntropy
from crdtkv.node.replica.replica import Replica, Write, disk_is_full
from crdtkv.ring.token import identity_in, token_in
from crdtkv.storage.store import Store
from crdtkv.wire.messages import HandOff, Message, ReplicaSuperseded, ReplicaWritten, WriteReplica

BATCH_HINTS = 64
BATCH_BYTES = 256 * 1024
DELIVERY_TIMEOUT_S = 5.0
RETRY_S = 1.0
_MIB = 1024 * 1024


class Handoff:
    """Hints of one node: taking them, and giving them on."""

    def __init__(
        self,
        step: Step,
        replica: Replica,
        anti_entropy: AntiEntropy,
        store: Store,
        keys: KeyCheck,
        random: Random,
        config: HandoffConfig,
    ) -> None:
        self._step = step
        self._replica = replica
        self._anti_entropy = anti_entropy
        self._keys = keys
        self._random = random
        self._bytes_per_s = config.max_mib_per_s * _MIB
        self.hints = Hints(store, config.hints_max, config.hints_max_mib * _MIB, step.now.monotonic_s)
        self._guest_actor: str | None = None
        self._next_at = 0.0
        self._under_way = 0
        self._last_target = ""
        #: Whom a pass of anti-entropy repairs, and how often something had been dropped for it when that began.
        self._repairing: dict[str, int] = {}

    def read(self, key: PlacedKey) -> tuple[bytes | None, bool]:
        """Return what this node holds of a key, as a home replica or as a stand-in, and whether it is durable."""
        entry, is_durable = self.entry(key)
        return entry.to_bytes() if entry is not None else None, is_durable

    def entry(self, key: PlacedKey) -> tuple[Entry | None, bool]:
        """Return the same as `read` does, for this node's own use."""
        if self._step.node in self._step.ring.replicas_at(key.token):
            return self._replica.entry(key.located), self._replica.is_durable(key.located)
        return self.hints.held(key.located), not self._replica.has_undurable

    def lacking(self, key: PlacedKey, seen: CausalContext) -> Entry | None:
        """Return what somebody who has seen this lacks of what this node holds, None if only the whole will do."""
        if self._step.node not in self._step.ring.replicas_at(key.token):
            return None
        return self._replica.lacking(key.located, seen)

    def is_large(self, entry: Entry | None) -> bool:
        """Tell whether an entry is so large that only what somebody lacks of it is sent."""
        return self._replica.limits.is_large(entry)

    def refer(self, key: PlacedKey, target: str) -> None:
        """Note that an absent home replica misses this node's entry of a key."""
        self._step.stats.count("hints_kept")
        if not self.hints.refer(key.located, target, self._step.now.monotonic_s):
            self._step.stats.count("hints_dropped")

    def keep(self, key: PlacedKey, targets: Sequence[str], entry: Entry, is_unsent: bool) -> None:
        """Keep an entry for absent home replicas: for all of them or none.

        Raises:
            InsufficientStorage, Overloaded: it was not kept.
        """
        if not self._step.has_disk_space:
            raise disk_is_full()
        self.hints.keep(key.located, targets, entry, is_unsent, self._step.now.monotonic_s)
        self._step.stats.count("hints_kept")

    def take(self, key: PlacedKey, target: str, entry: Entry, is_unsent: bool) -> None:
        """Take an entry that is meant for a home replica: this one, or one that is absent.

        Raises:
            InsufficientStorage, Overloaded: it was not taken.
        """
        step = self._step
        if step.node not in step.ring.replicas_at(key.token):
            self.keep(key, [target], entry, is_unsent)
            return
        self._replica.merge(key, entry)
        if is_unsent:
            self._replica.send_elsewhere(key)
        if target != step.node:
            self.refer(key, target)

    def hold(self, key: PlacedKey, entry: Entry, seats: Sequence[Seat]) -> None:
        """Merge an entry into what this node's seat holds, as a home replica or as a guest.

        Raises:
            InsufficientStorage, Overloaded: it was not merged.
        """
        for seat in seats:
            if seat.node == self._step.node:
                if seat.is_home:
                    self._replica.merge(key, entry)
                else:
                    self.keep(key, seat.targets, entry, is_unsent=True)

    def mutate(
        self,
        key: PlacedKey,
        targets: tuple[str, ...],
        operation: str,
        arguments: list[object],
        seen: CausalContext | None,
        observed: HybridTimestamp,
        ttl_ms: int,
    ) -> Write:
        """Carry out a client's operation as a guest; return what others must merge.

        Raises:
            InvalidRequest, InsufficientStorage, Overloaded, ValueTooLarge: nothing was written.
        """
        if self._guest_actor is None:
            self._guest_actor = actor_name(self._step.node, self._random.getrandbits(64))
        stored = self.hints.held(key.located) or Entry.empty(key.type_tag)
        write, merged = self._replica.made(self._guest_actor, stored, operation, arguments, seen, observed, ttl_ms)
        self.keep(key, targets, merged, is_unsent=True)
        self._step.stats.count("guest_writes")
        return write

    def next_timer(self) -> float | None:
        """Return when the next delivery is due."""
        return self._next_at if len(self.hints) and not self._under_way and self._target() is not None else None

    def tend(self) -> None:
        """Begin a delivery, if it is time; called at the end of every step."""
        if self.hints.needs_repair:
            self._tend_repairs()
        if not len(self.hints) or self._under_way or self._step.now.monotonic_s < self._next_at:
            return
        target = self._target()
        if target is None:
            return
        self._last_target = target
        size = 0
        for hint in self.hints.first(target, BATCH_HINTS):
            if size >= BATCH_BYTES:
                break
            size += self._deliver(hint)
        self._next_at = self._step.now.monotonic_s + size / self._bytes_per_s

    def ended(self, hint: Hint, is_taken: bool) -> None:
        """Take the end of one delivery."""
        self._under_way -= 1
        if not is_taken:
            self._next_at = self._step.now.monotonic_s + RETRY_S
            return
        if hint.is_unsent:
            self._guest_actor = None
        if self.hints.delivered(hint):
            self._step.stats.count("hints_delivered")

    def _tend_repairs(self) -> None:
        """Have those repaired for whom hints were dropped, now that they are back."""
        for target in self.hints.needing_repair:
            began_at = self._repairing.get(target)
            if began_at is None:
                if target in self._step.alive:
                    self._repairing[target] = self.hints.drops(target)
                    self._anti_entropy.begin_pass(target)
            elif target not in self._anti_entropy.passes:
                del self._repairing[target]
                if self.hints.drops(target) == began_at:
                    self.hints.repaired(target)

    def _target(self) -> str | None:
        """Return whom to deliver to now: all in turn; one that has left the ring is delivered to by `_rehome`."""
        step, topology = self._step, self._step.ring.topology
        ready = [name for name in self.hints.targets if step.is_alive(name) or topology.node(name) is None]
        return next((name for name in ready if name > self._last_target), ready[0] if ready else None)

    def _deliver(self, hint: Hint) -> int:
        """Send a hint; return its bytes."""
        token = token_in(hint.located)
        if hint.target == self._step.node or hint.target not in self._step.ring.replicas_at(token):
            self._rehome(hint, token)
            return len(hint.entry or b"")
        encoded, is_durable = hint.entry, not self._replica.has_undurable
        if encoded is None:
            encoded, is_durable = self._replica.read(hint.located)
        if encoded is None:
            self.hints.delivered(hint)  # a reference to an entry that is no longer kept by anybody
            return 0
        self._under_way += 1
        delivery = _Delivery(self._step, self, hint)
        number = delivery.number = self._step.calls.add(delivery)
        self._step.calls.set_timer(number, self._step.now.monotonic_s + DELIVERY_TIMEOUT_S, "deadline")
        identity = identity_in(hint.located)
        message: Message = WriteReplica(number, identity, encoded, 0)
        recent = self._replica.changed_lately(hint.located) if hint.entry is None else None
        if hint.is_unsent:
            message = HandOff(number, identity, encoded)
        elif recent is not None:
            # Perhaps it missed no more than this; if it did, it says so and is sent the whole.
            message = WriteReplica(number, identity, recent.delta.to_bytes(), 0, list(recent.basis.to_wire()))
        self._step.answer(hint.target, message, is_durable)
        return len(encoded)

    def send_whole(self, number: int, hint: Hint) -> bool:
        """Send a target the whole of what this node stores, because it has missed more; False if that is gone."""
        encoded, is_durable = self._replica.read(hint.located)
        if encoded is not None:
            message = WriteReplica(number, identity_in(hint.located), encoded, 0)
            self._step.answer(hint.target, message, is_durable)
        return encoded is not None

    def _rehome(self, hint: Hint, token: int) -> None:
        """Keep for all home replicas of now what was kept for one that is none any more."""
        if hint.entry is not None:
            key = self._keys.from_peer(identity_in(hint.located))
            try:
                for target in self._step.ring.replicas_at(token):
                    self.take(key, target, Entry.from_bytes(hint.entry), hint.is_unsent)
            except (InsufficientStorage, Overloaded):
                self._next_at = self._step.now.monotonic_s + RETRY_S
                return
        self.hints.delivered(hint)


class _Delivery(Call):
    """One hint on its way; see `Call`."""

    def __init__(self, step: Step, handoff: Handoff, hint: Hint) -> None:
        self._step = step
        self._handoff = handoff
        self._hint = hint
        self.number = 0

    def answered(self, replica: str, message: Message) -> None:
        """See `Call`."""
        if replica == self._hint.target and isinstance(message, (ReplicaWritten, ReplicaSuperseded)):
            self._end(is_taken=True)

    def lost(self, replica: str) -> None:
        """See `Call`."""
        if replica == self._hint.target:
            self._end(is_taken=False)

    def refused(self, replica: str, code: str) -> None:
        """See `Call`."""
        if replica != self._hint.target or code != BEHIND or not self._handoff.send_whole(self.number, self._hint):
            self.lost(replica)

    def timer(self, purpose: str) -> None:
        """See `Call`; the only timer is the deadline."""
        self._end(is_taken=False)

    def _end(self, is_taken: bool) -> None:
        self._step.calls.end(self.number)
        self._handoff.ended(self._hint, is_taken)
