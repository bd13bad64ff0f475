"""`Replica`: the entries a node stores, and the only code that changes them.

Everything ends in `merge`. A client's write is made here, too, because it needs the store: its dot is the next
counter of this node's actor *for this key*, read from the stored context, so a dot of a failed write is never used
again. Data row and outbox row of one write go into the same commit.

A read also says whether its key is durable (`commits`); an answer with a key that is not is held back.

If a message shows a dot of this node's own incarnation that the node does not know, it has forgotten something (a
disk that lied, a restored copy). It then takes a new incarnation at once; it never skips a counter ahead.
"""

from random import Random
from typing import NamedTuple

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.context import CausalContext, WireContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridClock, HybridTimestamp, from_wall_ms, wall_ms_of
from crdtkv.config.model import LimitsConfig
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry, may_expire
from crdtkv.crdt.registry import TYPES
from crdtkv.errors import InvalidRequest, StaleReplica
from crdtkv.ids import Actor, parse_identity
from crdtkv.merkle.forest import MerkleForest
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.replica.change_log import ChangeLog
from crdtkv.node.replica.commits import Commits
from crdtkv.node.replica.entry_cache import EntryCache
from crdtkv.node.replica.entry_limits import EntryLimits, disk_is_full
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.recent_deltas import Change, RecentDeltas
from crdtkv.node.replica.tombstones import Tombstones
from crdtkv.node.replica.write_actor import WriteActor
from crdtkv.node.replica.write_observer import MadeOperation, WriteObserver
from crdtkv.ring.token import token_in
from crdtkv.storage import rows
from crdtkv.storage.patching import PatchingStore


class Part(NamedTuple):
    """What an operation changed of an entry: to be merged where all of the context `basis` is seen."""

    entry: bytes
    basis: WireContext


class Write(NamedTuple):
    """A write this node coordinated: what to send to the other replicas, and its dot and timestamp.

    `entry` may be merged anywhere; if that is large, `part` is sent first. `delta` is what the operation changed.
    With `made_on` (None: unknown), the digest of what was stored before, `entry` is what is stored now.
    """

    entry: Entry
    event: Event
    delta: Entry
    part: Part | None = None
    made_on: int | None = None


def _nothing() -> None:
    """Return that nothing is stored."""


def _differs(entry: Entry, before: Entry | None) -> bool:
    """Tell whether an entry is not what it was merged into; contexts tell sooner than bytes."""
    return before is None or entry.context != before.context or entry != before


class Replica:
    """The stored entries of one node."""

    def __init__(
        self,
        kernel: Kernel,
        store: PatchingStore,
        outbox: Outbox,
        forest: MerkleForest,
        incarnation: int,
        random: Random,
        cache_mib: int,
        limits: LimitsConfig,
    ) -> None:
        self._step = kernel.step
        self._store = store
        self._outbox = outbox
        self._random = random
        self._write_actor = WriteActor(store, kernel.cluster.node, incarnation)
        self.tombstones = Tombstones(store)
        self._collected_until = int.from_bytes(store.get(rows.COLLECTED_UNTIL) or b"", "big")
        self.clock = HybridClock(limits.clock_drift_max_s * 1000, self._collected_until)
        self.commits = Commits(store)
        self._dirty = self.commits.dirty
        self.changes = ChangeLog()
        self.recent = RecentDeltas()
        self._cache = EntryCache(cache_mib * 1024 * 1024)
        self.limits = EntryLimits(limits)
        self._forest = forest
        forest.read = lambda storage_key: self.read(storage_key)[0]
        self.observer: WriteObserver | None = None
        #: Whether the disk takes entries; below its free-space floor it takes none, from wherever they come.
        self.has_disk_space = True

    @property
    def actor(self) -> Actor:
        """The name this node writes under."""
        return self._write_actor.name

    @property
    def incarnation(self) -> int:
        """The incarnation this node is."""
        return self._write_actor.incarnation

    @property
    def actor_renewed_ms(self) -> int:
        """When this incarnation renewed its name last, by the wall clock; 0 if never."""
        return self._write_actor.renewed_ms

    @property
    def expiry_now(self) -> HybridTimestamp:
        """The wall time as a timestamp: for readers and writers, what expires by now is over.

        No stamp that comes from elsewhere moves it, so a time to live is as long as this node's clock says.
        """
        return from_wall_ms(self._step.now.wall_ms)

    @property
    def hybrid_now(self) -> HybridTimestamp:
        """The latest time this node has seen: it never goes back while the node runs."""
        return max(self.clock.last, from_wall_ms(self._step.now.wall_ms))

    def read(self, storage_key: bytes) -> tuple[bytes | None, bool]:
        """Return the stored bytes of a key, and whether they are durable."""
        entry = self._stored(storage_key)
        return entry.to_bytes() if entry is not None else None, storage_key not in self._dirty

    def encoded(self, storage_key: bytes) -> bytes | None:
        """Return the stored bytes of a key that need not be remembered for it."""
        if storage_key in self._cache:
            return self.read(storage_key)[0]
        return self._store.get(rows.data_row(storage_key))

    def shown(self, storage_key: bytes) -> tuple[bytes | None, bool]:
        """Return what a reader sees of a key now, and whether it is durable."""
        entry, is_durable = self.read(storage_key)
        return self.as_of_now(entry), is_durable

    def as_of_now(self, encoded: bytes | None) -> bytes | None:
        """Return what a reader sees of an entry now."""
        if encoded is None or not may_expire(encoded):
            return encoded
        return Entry.from_bytes(encoded).at(self.expiry_now).to_bytes()

    def entry(self, storage_key: bytes) -> Entry | None:
        """Return the stored entry of a key, for this node's own use."""
        return self._stored(storage_key)

    def lacking(self, storage_key: bytes, seen: CausalContext) -> Entry | None:
        """Return what somebody who has seen this lacks of the stored entry; None if only the whole will do."""
        stored = self._stored(storage_key)
        part = self.recent.behind(storage_key, seen)
        return part if stored and part and Change(seen, part).makes_up(stored.context) else None

    def changed_lately(self, storage_key: bytes) -> Change | None:
        """Return all that is known to have changed of a large entry, None if there is nothing to be told by that."""
        stored, recent = self._stored(storage_key), self.recent.all_of(storage_key)
        return recent if stored and recent and recent.makes_up(stored.context) else None

    def mutate(
        self,
        key: PlacedKey,
        operation: str,
        arguments: list[object],
        seen: CausalContext | None,
        observed: HybridTimestamp,
        ttl_ms: int,
    ) -> Write:
        """Carry out a client's operation as a new dot, with its outbox row; return what other replicas must merge.

        Raises:
            InvalidRequest: the operation is wrong; nothing was written.
            InsufficientRights: a bounded counter cannot be decremented so far here; nothing was written.
            StaleReplica: this node has not seen what the client had read; nothing was written.
            InsufficientStorage: the disk is almost full; nothing was written.
            ValueTooLarge: the entry would become too large; nothing was written.
        """
        before = self._stored(key.storage_key)
        stored = before or Entry.empty(key.type_tag)
        write, merged = self.made(self.actor, stored, operation, arguments, seen, observed, ttl_ms)
        self._put(key, before, merged, write.delta)
        self.send_elsewhere(key)
        self.note_made(key, write, stored, operation, arguments, seen, ttl_ms)
        if merged is write.entry and self._may_be_adopted(merged, stored, seen, write.event.timestamp):
            return write._replace(made_on=before.digest(key.storage_key) if before is not None else 0)
        return write

    def note_made(
        self,
        key: PlacedKey,
        write: Write,
        stored: Entry,
        operation: str,
        arguments: list[object],
        seen: CausalContext | None,
        ttl_ms: int,
    ) -> None:
        """Tell the observer of an operation, if there is one."""
        if self.observer is not None:
            made = MadeOperation(write.event, self.expiry_now, stored, operation, arguments, seen, ttl_ms)
            self.observer.made(key, made)

    def made(
        self,
        actor: Actor,
        stored: Entry,
        operation: str,
        arguments: list[object],
        seen: CausalContext | None,
        observed: HybridTimestamp,
        ttl_ms: int,
    ) -> tuple[Write, Entry]:
        """Make the write of an operation of `actor` on what is stored; return it, and what is to be stored then.

        Raises:
            InvalidRequest, InsufficientRights, StaleReplica, ValueTooLarge: as `mutate` does.
        """
        if seen is not None and seen.highest(actor) > stored.context.highest(actor):
            raise InvalidRequest("the context names writes of this node that never happened: read the key again")
        is_partial = stored.state.has_partial_deltas
        if is_partial and seen is not None and not stored.context.descends(seen):
            raise StaleReplica("no replica in reach has what the context was read from: read the key again")
        event, now = self.event(actor, stored, observed), self.expiry_now
        expires_at = now + from_wall_ms(ttl_ms) if ttl_ms else None
        delta = stored.delta(operation, arguments, event, seen, expires_at, now)
        # A whole delta without a context of its client has seen all that it was made on: it is the result.
        merged = delta if seen is None and not is_partial else stored.merge(delta)
        self.limits.check(merged, stored, operation, arguments)
        if not is_partial:
            return Write(delta, event, delta), merged
        if not self.limits.is_large(merged):
            # Sent whole it also mends what its receivers have missed.
            return Write(merged, event, delta), merged
        return Write(merged, event, delta, Part(delta.to_bytes(), stored.context.to_wire())), merged

    def has_seen(self, storage_key: bytes, context: CausalContext) -> bool:
        """Tell whether what is stored under a key has seen all of a context."""
        stored = self._stored(storage_key)
        return not context if stored is None else stored.context.descends(context)

    def merge(self, key: PlacedKey, incoming: Entry, supersede_before: HybridTimestamp = 0) -> bytes | None:
        """Merge an entry from elsewhere; return what is stored now if older versions were superseded, else None.

        Raises:
            InsufficientStorage: the disk is almost full; nothing was written.
        """
        if supersede_before and self.observer is not None:
            self.observer.superseding(key, supersede_before)
        before = self._stored(key.storage_key)
        known = before.context if before is not None else NOTHING
        has_later_name = any(self._write_actor.is_later_name(name) for name in incoming.context.actors())
        if has_later_name or incoming.context.highest(self.actor) > known.highest(self.actor):
            self.renew_incarnation(
                f"{parse_identity(key.identity)!r} holds a write of {self.actor} that this node does not know"
            )
        self.clock.observe(incoming.state.newest(), self._step.now.wall_ms)
        merged = before.merge(incoming) if before is not None else incoming
        trimmed = None
        if supersede_before:
            dot = Dot(self.actor, merged.context.highest(self.actor) + 1)
            trimmed = merged.without_older(supersede_before, Event(dot, supersede_before))
        result = trimmed or merged
        if result is not before and _differs(result, before) and result.context:
            is_change = result is merged and _brings_only_new(incoming, known)
            self._put(key, before, result, incoming if is_change else None)
        if trimmed is None:
            return None
        # Dropping older versions is this replica's own decision and dot: other data centers hear of it from here.
        self.send_elsewhere(key)
        if self.observer is not None:
            self.observer.superseded(key, supersede_before, trimmed.context)
        return trimmed.to_bytes()

    def adopt(self, key: PlacedKey, encoded: bytes, made_on: bytes, newest: HybridTimestamp) -> bool:
        """Store what another replica has made of an entry, if the same entry is stored here; False if another one is.

        Merging would come to the same: whatever is merged into what it was made on is the result itself. `newest` is
        the highest timestamp in it.

        Raises:
            ProtocolError: the bytes begin like no entry of this type.
            InsufficientStorage: the disk is almost full; nothing was written.
        """
        before = self._stored(key.storage_key)
        held = before.digest(key.storage_key) if before is not None else 0
        if held != int.from_bytes(made_on, "big") or key.type_tag not in TYPES:
            return False
        entry = Entry.lasting(encoded, key.type_tag)
        if self.limits.is_large(entry) or self.limits.is_large(before):
            return False
        self.clock.observe(newest, self._step.now.wall_ms)
        self._put(key, before, entry, None)
        return True

    def is_news(self, key: PlacedKey, encoded: bytes) -> bool:
        """Tell whether an entry may hold what is not stored here; of a large one that is cheaper than merging it.

        Raises:
            ProtocolError: it is not an entry, or of another type.
        """
        stored = self._stored(key.storage_key) if len(encoded) > self.limits.whole_entry_bytes else None
        if stored is None:
            return True
        context = Entry.unchecked(encoded, key.type_tag).context
        if stored.context == context:
            return stored.size != len(encoded) or stored.to_bytes() != encoded
        return not stored.context.descends(context)

    def send_elsewhere(self, key: PlacedKey) -> None:
        """Put a key into the outbox, in the same commit as what was written under it."""
        self._outbox.record(key.storage_key, self._step.now.monotonic_s)

    def event(self, actor: Actor, stored: Entry, observed: HybridTimestamp) -> Event:
        """Mint the dot and timestamp of a new operation of `actor` on `stored`."""
        wall_ms = self._step.now.wall_ms
        if self.clock.is_ahead(observed, wall_ms):
            self._step.stats.count("clock_ahead")
            observed = 0  # a client's stamp from the far future orders nothing
        timestamp = self.clock.tick(wall_ms, above=max(stored.state.newest(), observed))
        return Event(Dot(actor, stored.context.highest(actor) + 1), timestamp)

    def renew_incarnation(self, reason: str) -> None:
        """Write under a new name from now on, because this node has forgotten something."""
        incarnation = self._random.getrandbits(64)
        self._write_actor.begin(incarnation)
        self._store.put(rows.IDENTITY, incarnation.to_bytes(8, "big"))
        self._step.effects.new_incarnation = incarnation
        self._step.effects.notes.append(f"new incarnation {self.actor}: {reason}")
        self._step.stats.count("incarnations_renewed")

    def renew_actor(self) -> None:
        """Make dots under a new name from now on, so that entries with dots of the old one may be dropped."""
        self._write_actor.renew(self._step.now.wall_ms)
        self._step.effects.notes.append(f"writes as {self.actor} from now on")
        self._step.stats.count("actors_renewed")

    def stay_above(self, timestamp: HybridTimestamp) -> None:
        """Stamp nothing at or below this from now on, also after a restart; it must not lie in the future."""
        if timestamp > self._collected_until:
            self._collected_until = timestamp
            self._store.put(rows.COLLECTED_UNTIL, timestamp.to_bytes(8, "big"))
            self.clock.pass_by(timestamp)

    def note_alive(self) -> None:
        """Note that this disk was in use now: a copy of it tells how old it is (`storage.identity.is_fenced`)."""
        self._store.put(rows.ALIVE_AT, self._step.now.wall_ms.to_bytes(8, "big"))

    def drop(self, storage_key: bytes) -> None:
        """Forget a tombstone that nobody needs any more: entry, note, and its share of the Merkle tree."""
        entry = self._stored(storage_key)
        assert entry is not None
        assert entry.expires_at is not None
        assert entry.expires_at <= self.hybrid_now, "what a reader may see is no tombstone"
        assert not entry.context.highest(self.actor), "a name under which something was forgotten must not count on"
        self._forest.changed(token_in(storage_key), storage_key, entry.digest(storage_key), 0)
        self._store.delete(rows.data_row(storage_key))
        self.tombstones.forget(storage_key)
        self.recent.forget(storage_key)
        self._changed(storage_key, None)
        self._step.stats.count("tombstones_collected")

    def forget_cached(self) -> None:
        """Read everything from the disk again."""
        self._cache.clear()
        self.recent.clear()
        self._store.forget_known()

    def _put(self, key: PlacedKey, before: Entry | None, entry: Entry, change: Entry | None) -> None:
        if not self.has_disk_space:
            raise disk_is_full()
        storage_key = key.storage_key
        # First, because it reads: a disk that fails now has been told nothing yet.
        expires_at = entry.expires_at
        if expires_at is not None:
            self.tombstones.note(storage_key, entry.to_bytes(), self._step.now.wall_ms, wall_ms_of(expires_at))
        elif before is not None and before.expires_at is not None:
            self.tombstones.forget(storage_key)
        if self.limits.is_large(before) or self.limits.is_large(entry):
            self._put_large(key, before, entry, change)
        else:
            digest_before = before.digest(storage_key) if before is not None else 0
            self._forest.changed(key.token, storage_key, digest_before, entry.digest(storage_key))
            self._store.put(rows.data_row(storage_key), entry.to_bytes())
        self._changed(storage_key, entry)
        self.changes.note(storage_key)

    def _may_be_adopted(
        self, entry: Entry, stored: Entry, seen: CausalContext | None, timestamp: HybridTimestamp
    ) -> bool:
        """Tell whether a replica that stores the same as this one did may store what this one made of it unread.

        Everything that merging it there would look at is known here then: it names no operations that are new besides
        the write's own, leaves no tombstone, and a blind write finds nothing to supersede in it.
        """
        if (
            entry.expires_at is not None
            or entry.expiries
            or self.limits.is_large(entry)
            or self.limits.is_large(stored)
        ):
            return False
        if seen is not None:
            return stored.context.descends(seen)
        return entry.state.without_older(timestamp) is None

    def _put_large(self, key: PlacedKey, before: Entry | None, entry: Entry, change: Entry | None) -> None:
        """Put an entry that is large, or was: in trees, for others, and on disk only what `change` changed counts."""
        self._forest.changed_largely(key.token, key.storage_key, before.to_bytes if before is not None else _nothing)
        if before is not None and change is not None and self.limits.is_large(entry):
            self.recent.note(key.storage_key, before.context, change)
        else:
            self.recent.forget(key.storage_key)
        self._store.put_entry(key.storage_key, entry.pieces, entry.size, self.limits.is_large(before))

    def _changed(self, storage_key: bytes, entry: Entry | None) -> None:
        self._cache.put(storage_key, entry)
        self.commits.touch(storage_key)

    def _stored(self, storage_key: bytes) -> Entry | None:
        cache = self._cache
        if storage_key in cache:
            return cache[storage_key]
        encoded = self._store.get(rows.data_row(storage_key))
        entry = Entry.from_bytes(encoded) if encoded is not None else None
        cache.put(storage_key, entry)
        return entry


def _brings_only_new(incoming: Entry, known: CausalContext) -> bool:
    """Tell whether nothing in an entry was seen before: what was, may have been let go since, and is no change."""
    return not any(dot in known for dot in incoming.state.dots())
