"""`LocalCopy`: what this node holds of a key, as a home replica or as a fallback replica.

A fallback replica takes entries for an absent home replica and answers reads from its hints (`hints`). If no home
replica of a key is alive, it even makes the write, as the *fallback coordinator*, under a separate actor. Dots are
counted per key, and a fallback replica drops its entry of a key when the hint is delivered. An actor is abandoned once
any of its entries is dropped, and at the end of the process, so that no dot is used twice.
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
        """Return the bytes that this node holds of a key, None if none, and whether they are durable."""
        entry, is_durable = self.entry(key)
        return entry.to_bytes() if entry is not None else None, is_durable

    def entry(self, key: PlacedKey) -> tuple[Entry | None, bool]:
        """Return the entry that this node holds of a key, None if none, and whether it is durable."""
        if self._cluster.node in self._cluster.ring.replicas_at(key.token):
            return self._replica.entry(key.storage_key), self._replica.commits.is_durable(key.storage_key)
        return self._hints.held(key.storage_key), not self._replica.commits.has_undurable

    def lacking(self, key: PlacedKey, seen: CausalContext) -> Entry | None:
        """Return the part of this node's entry that a replica that has seen `seen` lacks; None if that is unknown.

        A fallback replica always returns None.
        """
        if self._cluster.node not in self._cluster.ring.replicas_at(key.token):
            return None
        return self._replica.lacking(key.storage_key, seen)

    def is_large(self, entry: Entry | None) -> bool:
        """Return whether an entry is so large that only differences of it are sent."""
        return self._replica.limits.is_large(entry)

    def has_seen(self, key: PlacedKey, context: CausalContext) -> bool:
        """Return whether the stored entry of a home replica has seen all of a context."""
        return self._replica.has_seen(key.storage_key, context)

    def state_now(self, key: PlacedKey) -> CausalState:
        """Return the state of a key that a reader would see now; this node must hold an entry."""
        entry, _ = self.entry(key)
        assert entry is not None
        return entry.at(self._replica.hybrid_now).state

    def check_arguments(self, operation: str, arguments: list[object]) -> None:
        """Check the size of an operation's arguments.

        Raises:
            ValueTooLarge: it exceeds the limit of an entry.
        """
        self._replica.limits.check_arguments(operation, arguments)

    def check_disk_space(self) -> None:
        """Check that the disk accepts entries.

        Raises:
            InsufficientStorage: it is almost full.
        """
        if not self._replica.has_disk_space:
            raise disk_is_full()

    def merge_read(self, key: PlacedKey, encoded: bytes | None, responsibles: Sequence[Responsible]) -> None:
        """Merge the result of a quorum read into this node's entry or hints.

        Raises:
            ProtocolError, InsufficientStorage, Overloaded: it was not merged.
        """
        if encoded is not None and encoded != self.read(key)[0]:
            self.merge_local(key, Entry.from_replica(encoded, key.type_tag), responsibles)

    def add_hint_ref(self, key: PlacedKey, target: str) -> None:
        """Store a hint by reference: an absent home replica lacks this node's entry of a key."""
        self._step.stats.count("hints_kept")
        if not self._hints.add_ref(key.storage_key, target, self._step.now.monotonic_s):
            self._step.stats.count("hints_dropped")

    def store_hint(self, key: PlacedKey, targets: Sequence[str], entry: Entry, is_unsent: bool) -> None:
        """Store an entry for absent home replicas: for all of them or none.

        Raises:
            InsufficientStorage, Overloaded: it was not stored.
        """
        self.check_disk_space()
        self._hints.store(key.storage_key, targets, entry, is_unsent, self._step.now.monotonic_s)
        self._step.stats.count("hints_kept")

    def accept_hint(self, key: PlacedKey, target: str, entry: Entry, is_unsent: bool) -> None:
        """Store an entry for a home replica: this one, or an absent one.

        Raises:
            InsufficientStorage, Overloaded: it was not stored.
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
        """Merge an entry into this node's entry, or into its hints if it is a fallback replica.

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

        A fallback replica stores its write as a hint for each absent home replica.

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
        """Note that a hint was delivered: if it held writes of the fallback actor, abandon that actor."""
        if hint.is_unsent:
            self._fallback_actor = None
