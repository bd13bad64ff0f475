"""`LocalCopy`: what this node holds of a key, as a home replica or as a fallback.

A fallback takes entries for an absent home replica and answers reads from its hints (`hints`). If no home replica of a
key is alive at all, it even makes the write, as the *fallback coordinator*, under an actor of its own. Dots are counted
per key, and a fallback forgets a key when its hint is delivered. So that actor is abandoned with the first of its hints
that goes, and with the process: an actor that makes no dot after an entry of its was forgotten makes no dot twice.
"""

from collections.abc import Sequence
from random import Random

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.entry import Entry
from crdtkv.ids import actor_name
from crdtkv.node.handoff.hints import Hint, Hints
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.replica.entry_limits import disk_is_full
from crdtkv.node.replica.replica import Replica, Write


class LocalCopy:
    """The entries and hints of one node, by key."""

    def __init__(self, kernel: Kernel, replica: Replica, hints: Hints, random: Random) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._hints = hints
        self._random = random
        self._fallback_actor: str | None = None

    def read(self, key: PlacedKey) -> tuple[bytes | None, bool]:
        """Return what this node holds of a key, as a home replica or as a fallback, and whether it is durable."""
        entry, is_durable = self.entry(key)
        return entry.to_bytes() if entry is not None else None, is_durable

    def entry(self, key: PlacedKey) -> tuple[Entry | None, bool]:
        """Return the same as `read` does, for this node's own use."""
        if self._cluster.node in self._cluster.ring.replicas_at(key.token):
            return self._replica.entry(key.storage_key), self._replica.commits.is_durable(key.storage_key)
        return self._hints.held(key.storage_key), not self._replica.commits.has_undurable

    def lacking(self, key: PlacedKey, seen: CausalContext) -> Entry | None:
        """Return what somebody who has seen this lacks of what this node holds, None if only the whole will do."""
        if self._cluster.node not in self._cluster.ring.replicas_at(key.token):
            return None
        return self._replica.lacking(key.storage_key, seen)

    def is_large(self, entry: Entry | None) -> bool:
        """Tell whether an entry is so large that only what somebody lacks of it is sent."""
        return self._replica.limits.is_large(entry)

    def has_seen(self, key: PlacedKey, context: CausalContext) -> bool:
        """Tell whether the entry of a home replica has seen all of a context."""
        return self._replica.has_seen(key.storage_key, context)

    def state_now(self, key: PlacedKey) -> CausalState:
        """Return the state of a key that a reader would see now; this node must hold one."""
        entry, _ = self.entry(key)
        assert entry is not None
        return entry.at(self._replica.hybrid_now).state

    def check_arguments(self, operation: str, arguments: list[object]) -> None:
        """Check what an operation brings.

        Raises:
            ValueTooLarge: it is more than an entry may grow by.
        """
        self._replica.limits.check_arguments(operation, arguments)

    def check_disk_space(self) -> None:
        """Check that the disk takes entries.

        Raises:
            InsufficientStorage: it is almost full.
        """
        if not self._replica.has_disk_space:
            raise disk_is_full()

    def merge_read(self, key: PlacedKey, encoded: bytes | None, responsibles: Sequence[Responsible]) -> None:
        """Merge the result of a quorum read into what this node holds.

        Raises:
            ProtocolError, InsufficientStorage, Overloaded: it was not merged.
        """
        if encoded is not None and encoded != self.read(key)[0]:
            self.merge_local(key, Entry.from_replica(encoded, key.type_tag), responsibles)

    def add_hint_ref(self, key: PlacedKey, target: str) -> None:
        """Note that an absent home replica misses this node's entry of a key."""
        self._step.stats.count("hints_kept")
        if not self._hints.refer(key.storage_key, target, self._step.now.monotonic_s):
            self._step.stats.count("hints_dropped")

    def store_hint(self, key: PlacedKey, targets: Sequence[str], entry: Entry, is_unsent: bool) -> None:
        """Keep an entry for absent home replicas: for all of them or none.

        Raises:
            InsufficientStorage, Overloaded: it was not kept.
        """
        self.check_disk_space()
        self._hints.keep(key.storage_key, targets, entry, is_unsent, self._step.now.monotonic_s)
        self._step.stats.count("hints_kept")

    def accept_hint(self, key: PlacedKey, target: str, entry: Entry, is_unsent: bool) -> None:
        """Take an entry that is meant for a home replica: this one, or one that is absent.

        Raises:
            InsufficientStorage, Overloaded: it was not taken.
        """
        if self._cluster.node not in self._cluster.ring.replicas_at(key.token):
            self.store_hint(key, [target], entry, is_unsent)
            return
        self._replica.merge(key, entry)
        if is_unsent:
            self._replica.send_elsewhere(key)
        if target != self._cluster.node:
            self.add_hint_ref(key, target)

    def merge_local(self, key: PlacedKey, entry: Entry, responsibles: Sequence[Responsible]) -> None:
        """Merge an entry into what this node holds, as a home replica or as a fallback.

        Raises:
            InsufficientStorage, Overloaded: it was not merged.
        """
        for responsible in responsibles:
            if responsible.node == self._cluster.node:
                if responsible.is_home:
                    self._replica.merge(key, entry)
                else:
                    self.store_hint(key, responsible.targets, entry, is_unsent=True)

    def mutate(
        self,
        key: PlacedKey,
        responsible: Responsible,
        operation: str,
        arguments: list[object],
        seen: CausalContext | None,
        observed: HybridTimestamp,
        ttl_ms: int,
    ) -> Write:
        """Carry out a client's operation at this responsible replica; return what the other replicas must merge.

        A fallback replica keeps what it writes as a hint for each absent home replica.

        Raises:
            InvalidRequest, InsufficientRights, StaleReplica, InsufficientStorage, Overloaded, ValueTooLarge: nothing
                was written.
        """
        if responsible.is_home:
            return self._replica.mutate(key, operation, arguments, seen, observed, ttl_ms)
        if self._fallback_actor is None:
            self._fallback_actor = actor_name(self._cluster.node, self._random.getrandbits(64))
        stored = self._hints.held(key.storage_key) or Entry.empty(key.type_tag)
        write, merged = self._replica.made(self._fallback_actor, stored, operation, arguments, seen, observed, ttl_ms)
        self.store_hint(key, responsible.targets, merged, is_unsent=True)
        self._step.stats.count("fallback_writes")
        self._replica.note_made(key, write, stored, operation, arguments, seen, ttl_ms)
        return write

    def hint_delivered(self, hint: Hint) -> None:
        """Learn that a hint has gone: what was made under the fallback actor may be forgotten now."""
        if hint.is_unsent:
            self._fallback_actor = None
