"""`Replica`: the entries a node stores, and the only code that changes them.

Entries from elsewhere are merged by `merge`. Client writes are made by `mutate`, because they need the store: the dot
is the next counter of this node's actor *for this key*, read from the stored context, so a dot of a failed write is
never used again. Data row and outbox row of one write go into the same commit.

A read also returns whether its key is durable (`commits`); an answer with a key that is not durable is held back.

If a message contains a dot of this node's own incarnation that the node does not know, the node has lost data (a disk
that lost a synced write, a restored copy). It then takes a new incarnation at once; it never skips a counter ahead.
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
from crdtkv.hashing import DIGEST_BYTES
from crdtkv.ids import Actor, node_of, parse_identity
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
    """The delta of an operation, to be merged by a replica that has seen all of the context `basis`."""

    entry: bytes
    basis: WireContext


class Write(NamedTuple):
    """A write that this node coordinated: the entry for the other replicas, and its dot and timestamp.

    Any replica may merge `entry`; if that is large, `part` is sent first. `delta` is what the operation changed. If
    `made_on` is not empty, it is the digest of the entry before the write (zeros: none), and `entry` is the stored
    entry after it.
    """

    entry: Entry
    event: Event
    delta: Entry
    part: Part | None = None
    made_on: bytes = b""


class Merged(NamedTuple):
    """The result of a merge: the entry for the other replicas, and what lets them adopt it (`Write.made_on`)."""

    entry: Entry
    made_on: bytes


#: The digest that stands for no entry.
NO_ENTRY = bytes(DIGEST_BYTES)
#: Stands for an entry of which the cache knows nothing.
_UNKNOWN = Entry.empty("register")


def _made_on(before: Entry | None, storage_key: bytes) -> bytes:
    """Return the digest of the entry before a write, zeros for none (`Write.made_on`)."""
    return before.digest_bytes(storage_key) if before is not None else NO_ENTRY


def _nothing() -> None:
    """Return None: no entry is stored."""


def _differs(entry: Entry, before: Entry | None) -> bool:
    """Return whether an entry differs from the one it was merged into; comparing contexts first is faster."""
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
        self._cluster = kernel.cluster
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
        #: Whether the disk accepts entries; below its free-space floor it accepts none, whatever their origin.
        self.has_disk_space = True

    @property
    def actor(self) -> Actor:
        """The actor under which this node writes."""
        return self._write_actor.name

    @property
    def incarnation(self) -> int:
        """The incarnation of this node."""
        return self._write_actor.incarnation

    @property
    def actor_renewed_ms(self) -> int:
        """When this incarnation last renewed its actor, by the wall clock; 0 if never."""
        return self._write_actor.renewed_ms

    @property
    def expiry_now(self) -> HybridTimestamp:
        """The wall time as a timestamp; values that expire by then are invisible to readers and writers.

        Timestamps from elsewhere do not move it, so a time to live is as long as this node's clock says.
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
        """Return the stored bytes of a key without caching the entry."""
        if storage_key in self._cache:
            return self.read(storage_key)[0]
        return self._store.get(rows.data_row(storage_key))

    def shown(self, storage_key: bytes) -> tuple[bytes | None, bool]:
        """Return the bytes that a reader sees of a key now, and whether they are durable."""
        entry, is_durable = self.read(storage_key)
        return self.as_of_now(entry), is_durable

    def as_of_now(self, encoded: bytes | None) -> bytes | None:
        """Return the bytes that a reader sees of an entry now."""
        if encoded is None or not may_expire(encoded):
            return encoded
        return Entry.from_bytes(encoded).at(self.expiry_now).to_bytes()

    def entry(self, storage_key: bytes) -> Entry | None:
        """Return the stored entry of a key, None if there is none."""
        return self._stored(storage_key)

    def lacking(self, storage_key: bytes, seen: CausalContext) -> Entry | None:
        """Return the part of the stored entry that a replica that has seen `seen` lacks; None if that is not known."""
        stored = self._stored(storage_key)
        part = self.recent.behind(storage_key, seen)
        return part if stored and part and Change(seen, part).makes_up(stored.context) else None

    def changed_lately(self, storage_key: bytes) -> Change | None:
        """Return all recent changes of a large entry as one; None if they do not lead to its current context."""
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
            InsufficientRights: this node has too few rights of the bounded counter; nothing was written.
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
        if merged is write.entry and self._may_be_adopted(before, merged, seen, write.event.timestamp):
            return Write(write.entry, write.event, write.delta, None, _made_on(before, key.storage_key))
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
        """Report an operation to the observer, if there is one."""
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
        """Make the write of an operation of `actor` on `stored`; return it, and the entry to be stored.

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
        # A complete delta without a context of its client has seen everything in the entry before: it is the result.
        merged = delta if seen is None and not is_partial else stored.merge(delta)
        self.limits.check(merged, stored, operation, arguments)
        if not is_partial:
            return Write(delta, event, delta), merged
        if not self.limits.is_large(merged):
            # The whole entry also repairs receivers that have missed earlier writes.
            return Write(merged, event, delta), merged
        return Write(merged, event, delta, Part(delta.to_bytes(), stored.context.to_wire())), merged

    def has_seen(self, storage_key: bytes, context: CausalContext) -> bool:
        """Return whether the stored entry of a key has seen all of a context."""
        stored = self._stored(storage_key)
        return not context if stored is None else stored.context.descends(context)

    def merge(self, key: PlacedKey, incoming: Entry, supersede_before: HybridTimestamp = 0) -> bytes | None:
        """Merge an entry from elsewhere; return the stored bytes if older versions were superseded, else None.

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
        # Dropping older versions is an operation of this replica, with its own dot: send it to other data centers.
        self.send_elsewhere(key)
        if self.observer is not None:
            self.observer.superseded(key, supersede_before, trimmed.context)
        return trimmed.to_bytes()

    def merge_from_elsewhere(self, key: PlacedKey, incoming: Entry) -> Merged:
        """Merge an entry of another data center; return what the other replicas here must merge or may adopt.

        Raises:
            InsufficientStorage: the disk is almost full; nothing was written.
        """
        before = self._stored(key.storage_key)
        self.merge(key, incoming)
        after = self._stored(key.storage_key)
        if after is None or after is before or not self._merges_alike(before, after, incoming):
            return Merged(incoming, b"")
        return Merged(after, _made_on(before, key.storage_key))

    def _merges_alike(self, before: Entry | None, after: Entry, incoming: Entry) -> bool:
        """Return whether a replica that holds `before` may store `after` in the place of merging `incoming`.

        Then a merge there would do nothing else: no new dot in it is of a node of this data center, which would be
        evidence that the node has lost data.
        """
        if not self._is_adoptable(before, after) or after.type_tag not in TYPES:
            return False
        known, topology = before.context if before is not None else NOTHING, self._cluster.ring.topology
        return not any(
            topology.node(node_of(actor)) is not None and incoming.context.highest(actor) > known.highest(actor)
            for actor in incoming.context.actors()
        )

    def adopt(self, key: PlacedKey, encoded: bytes, made_on: bytes, newest: HybridTimestamp) -> bool:
        """Store the result of another replica's write if the entry before it is stored here; else return False.

        The result of a merge would be the same: merging into the entry before the write gives the entry after it.
        `newest` is the highest timestamp in it.

        Raises:
            ProtocolError: the bytes do not begin like an entry of this type.
            InsufficientStorage: the disk is almost full; nothing was written.
        """
        if not made_on:
            return False
        storage_key = key.storage_key
        before = self._stored(storage_key)
        if before is None:
            held = 0
        elif before.size > self.limits.whole_entry_bytes:
            return False
        else:
            held = before.digest(storage_key)
        if held != int.from_bytes(made_on, "big") or len(encoded) > self.limits.whole_entry_bytes:
            return False
        if key.type_tag not in TYPES:
            return False
        entry = Entry.lasting(encoded, key.type_tag)
        self.clock.observe(newest, self._step.now.wall_ms)
        self._put(key, before, entry, None)
        return True

    def is_news(self, key: PlacedKey, encoded: bytes) -> bool:
        """Return whether an entry may hold anything that is not stored here; cheaper than a merge for a large one.

        Raises:
            ProtocolError: a large entry is malformed, or of another type.
        """
        stored = self._stored(key.storage_key) if len(encoded) > self.limits.whole_entry_bytes else None
        if stored is None:
            return True
        context = Entry.unchecked(encoded, key.type_tag).context
        if stored.context == context:
            return stored.size != len(encoded) or stored.to_bytes() != encoded
        return not stored.context.descends(context)

    def send_elsewhere(self, key: PlacedKey) -> None:
        """Put a key into the outbox, in the same commit as its write."""
        self._outbox.record(key.storage_key, self._step.now.monotonic_s)

    def event(self, actor: Actor, stored: Entry, observed: HybridTimestamp) -> Event:
        """Mint the dot and timestamp of a new operation of `actor` on `stored`."""
        wall_ms = self._step.now.wall_ms
        if self.clock.is_ahead(observed, wall_ms):
            self._step.stats.count("clock_ahead")
            observed = 0  # a client's timestamp from the far future is ignored
        timestamp = self.clock.tick(wall_ms, above=max(stored.state.newest(), observed))
        return Event(Dot(actor, stored.context.highest(actor) + 1), timestamp)

    def renew_incarnation(self, reason: str) -> None:
        """Take a new incarnation, because this node has lost data."""
        incarnation = self._random.getrandbits(64)
        self._write_actor.begin(incarnation)
        self._store.put(rows.IDENTITY, incarnation.to_bytes(8, "big"))
        self._step.effects.new_incarnation = incarnation
        self._step.effects.notes.append(f"new incarnation {self.actor}: {reason}")
        self._step.stats.count("incarnations_renewed")

    def renew_actor(self) -> None:
        """Mint dots under a new actor from now on, so that entries with dots of the old one may be dropped."""
        self._write_actor.renew(self._step.now.wall_ms)
        self._step.effects.notes.append(f"writes as {self.actor} from now on")
        self._step.stats.count("actors_renewed")

    def stay_above(self, timestamp: HybridTimestamp) -> None:
        """Assign no timestamp at or below this one from now on, also after a restart; it must not be in the future."""
        if timestamp > self._collected_until:
            self._collected_until = timestamp
            self._store.put(rows.COLLECTED_UNTIL, timestamp.to_bytes(8, "big"))
            self.clock.pass_by(timestamp)

    def note_alive(self) -> None:
        """Store the current wall time: a copy of this disk then shows its age (`storage.identity.is_fenced`)."""
        self._store.put(rows.ALIVE_AT, self._step.now.wall_ms.to_bytes(8, "big"))

    def drop(self, storage_key: bytes) -> None:
        """Drop a tombstone that all nodes have agreed to: entry, note, and its share of the Merkle tree."""
        entry = self._stored(storage_key)
        assert entry is not None
        assert entry.expires_at is not None
        assert entry.expires_at <= self.hybrid_now, "an entry that a reader may see is no tombstone"
        assert not entry.context.highest(self.actor), "an actor whose entry was dropped must not mint dots"
        if self.observer is not None:
            self.observer.dropping(storage_key)
        self._forest.changed(token_in(storage_key), storage_key, entry.digest(storage_key), 0)
        self._store.delete(rows.data_row(storage_key))
        self.tombstones.forget(storage_key)
        self.recent.forget(storage_key)
        self._cache.put(storage_key, None)
        self.commits.touch(storage_key)
        self._step.stats.count("tombstones_collected")

    def forget_cached(self) -> None:
        """Drop all caches, so that everything is read from the disk again."""
        self._cache.clear()
        self.recent.clear()
        self._store.forget_known()

    def _put(self, key: PlacedKey, before: Entry | None, entry: Entry, change: Entry | None) -> None:
        if not self.has_disk_space:
            raise disk_is_full()
        storage_key = key.storage_key
        # First, because it reads: if the disk fails now, nothing was written yet.
        expires_at = entry.expires_at
        if expires_at is not None:
            self.tombstones.note(storage_key, entry.to_bytes(), self._step.now.wall_ms, wall_ms_of(expires_at))
        elif before is not None and before.expires_at is not None:
            self.tombstones.forget(storage_key)
        whole_bytes = self.limits.whole_entry_bytes
        if entry.size > whole_bytes or (before is not None and before.size > whole_bytes):
            self._put_large(key, before, entry, change)
        else:
            digest_before = before.digest(storage_key) if before is not None else 0
            self._forest.changed(key.token, storage_key, digest_before, entry.digest(storage_key))
            self._store.put(rows.data_row(storage_key), entry.to_bytes())
        self._cache.put(storage_key, entry)
        self.commits.touch(storage_key)
        if self.changes.identity is not None:
            self.changes.note(storage_key)

    def _may_be_adopted(
        self, before: Entry | None, after: Entry, seen: CausalContext | None, timestamp: HybridTimestamp
    ) -> bool:
        """Return whether a replica with the same entry before the write may store the entry after it without parsing.

        Then a merge there would find nothing that is not known here: the entry has no new dots but the write's own, and
        a blind write supersedes nothing in it.
        """
        if not self._is_adoptable(before, after):
            return False
        if seen is not None:
            return (before.context if before is not None else NOTHING).descends(seen)
        return after.state.without_older(timestamp) is None

    def _is_adoptable(self, before: Entry | None, after: Entry) -> bool:
        """Return whether two entries are small, and the one after is no tombstone and has nothing that expires."""
        whole_bytes = self.limits.whole_entry_bytes
        if after.expires_at is not None or after.expiries or after.size > whole_bytes:
            return False
        return before is None or before.size <= whole_bytes

    def _put_large(self, key: PlacedKey, before: Entry | None, entry: Entry, change: Entry | None) -> None:
        """Put an entry that is large, or was: trees are updated later, other replicas and the disk get differences."""
        self._forest.changed_largely(key.token, key.storage_key, before.to_bytes if before is not None else _nothing)
        if before is not None and change is not None and self.limits.is_large(entry):
            self.recent.note(key.storage_key, before.context, change)
        else:
            self.recent.forget(key.storage_key)
        self._store.put_entry(key.storage_key, entry.pieces, entry.size, self.limits.is_large(before))

    def _stored(self, storage_key: bytes) -> Entry | None:
        cache = self._cache
        known = cache.get(storage_key, _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        encoded = self._store.get(rows.data_row(storage_key))
        entry = Entry.from_bytes(encoded) if encoded is not None else None
        cache.put(storage_key, entry)
        return entry


def _brings_only_new(incoming: Entry, known: CausalContext) -> bool:
    """Return whether no dot of an entry was seen before; one that was may have been removed since, and is no change."""
    return not any(dot in known for dot in incoming.state.dots())
