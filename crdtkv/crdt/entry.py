"""`Entry`: the stored form of a key, and the only merge of stored state.

An entry is type tag, state, causal context and expiries, encoded as one canonical CBOR array (`FORMAT` first), so that
equal entries are equal bytes. Client writes, quorum reads, read repair and geo replication all end in `merge`.

Entries keep the bytes they were parsed from, and parse their parts on first use: on the common paths (nothing is stored
yet; the new entry has seen all of the stored one) the received bytes are stored as they are, nothing is encoded, and
only the context of the stored entry is parsed.

The effects of single operations expire: an expiry belongs to a dot of the state, and is removed with it. So a write
replaces the expiries of the values it supersedes, concurrent writes have separate expiries, and expired values cannot
come back by merging. At one hybrid time every replica shows the same (`at`); later writes remove expired values.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import CausalState, Event
from crdtkv.crdt.dotted import Payload
from crdtkv.crdt.parts import Parts
from crdtkv.crdt.registry import TYPES, type_named
from crdtkv.crdt.unread import Unread, UnreadVersion
from crdtkv.errors import InvalidRequest, ProtocolError
from crdtkv.hashing import DIGEST_BYTES, entry_digest

FORMAT = 1
#: `[BUNDLE, type, [entry, …]]`: versions of a type that is unknown to the node that stored them (`unread`).
BUNDLE = 2

#: The most times that `Entry.expires_at` tries.
_MAX_STEPS_BACK = 32

T = TypeVar("T")
Expiries = Mapping[Dot, HybridTimestamp]
_NEVER: Expiries = {}


class Entry:
    """The stored form of one key; immutable. `expiries` maps dots of the state that expire to hybrid timestamps."""

    __slots__ = (
        "_context", "_digest", "_encoded", "_expiries", "_lasts", "_pieces", "_size", "_state", "_wire", "type_tag",
    )  # fmt: skip

    def __init__(
        self,
        state: CausalState | None,
        context: CausalContext | None,
        expiries: Expiries | None = _NEVER,
        encoded: bytes | None = None,
        wire: list[Any] | None = None,
        type_tag: str = "",
    ) -> None:
        """Wrap these parts; a part that is None is parsed on first use, from `wire`, the decoded form of `encoded`.

        `type_tag` is required if `state` is None.
        """
        self.type_tag: str = type_tag if state is None else state.type_tag
        self._state = state
        self._context = context
        self._expiries = expiries
        self._encoded = encoded
        self._pieces: list[bytes] | None = None
        self._size = 0 if encoded is None else len(encoded)
        self._wire = wire
        self._digest: int | None = None
        #: Whether it is known that the entry never becomes a tombstone by itself.
        self._lasts = False

    @property
    def state(self) -> CausalState:
        """The state of the value type; parsed on first use."""
        state = self._state
        if state is None:
            state = self._state = parsed(type_named(self.type_tag).from_wire, self._decoded()[2])
        return state

    @property
    def context(self) -> CausalContext:
        """The operations this entry has seen; parsed on first use."""
        context = self._context
        if context is None:
            context = self._context = parsed(CausalContext.from_wire, self._decoded()[3:5])
        return context

    @property
    def expiries(self) -> Expiries:
        """The expiry of each dot whose effects expire; parsed on first use."""
        expiries = self._expiries
        if expiries is None:
            expiries = self._expiries = parsed(_expiries_from_wire, self._decoded()[5])
        return expiries

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Entry) and self.size == other.size and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"Entry({self.state!r} seen {self.context})"

    @classmethod
    def empty(cls, type_tag: str) -> "Entry":
        """Return the entry of a key that was never written.

        Raises:
            InvalidRequest: unknown type.
        """
        return cls(type_named(type_tag)(), EMPTY)

    @property
    def is_tombstone(self) -> bool:
        """Whether a reader sees nothing, even before anything expires."""
        return self.state.is_empty

    @property
    def expires_at(self) -> HybridTimestamp | None:
        """The time from which a reader sees nothing: 0 if always, None if never.

        A value that expires may also hide others, such as a remove that wins. So this tries the expiries from the last
        one back, and stops after `_MAX_STEPS_BACK`; the result is then later than necessary.
        """
        if self._lasts:
            return None
        if not self.expiries:
            self._lasts = not self.state.is_empty
            return None if self._lasts else 0
        if not self.state.without(frozenset(self.expiries)).is_empty:
            return None
        for steps, expires_at in enumerate(sorted(set(self.expiries.values()), reverse=True), 1):
            if steps > _MAX_STEPS_BACK or not self.at(expires_at - 1).state.is_empty:
                return expires_at
        return 0

    def expired(self, now: HybridTimestamp) -> frozenset[Dot]:
        """Return the dots that have expired at a hybrid time."""
        return frozenset(dot for dot, expires_at in self.expiries.items() if expires_at <= now)

    def at(self, now: HybridTimestamp) -> "Entry":
        """Return what a reader sees at a hybrid time: the same context, without expired dots. Not to be merged."""
        expired = self.expired(now)
        if not expired:
            return self
        state = self.state.without(expired)
        return Entry(state, self.context, _of_state(state, self.expiries))

    def merge(self, other: "Entry") -> "Entry":
        """Return the join of two entries of one key; either may be older, newer or concurrent.

        Raises:
            InvalidRequest: the types differ (their keys would, too).
        """
        if other.type_tag != self.type_tag:
            raise InvalidRequest(f"a {other.type_tag} cannot be merged into a {self.type_tag}")
        # Equal contexts are merged in full, so that states that should be equal but are not still join.
        if self.context != other.context:
            if other.context.descends(self.context) and not self._is_chunked:
                return other
            if self.context.descends(other.context):
                return self
        state = self.state.merge(self.context, other.state, other.context)
        expiries = _of_state(state, {**self.expiries, **other.expiries}) if self.expiries or other.expiries else _NEVER
        return Entry(state, self.context.merge(other.context), expiries)

    @property
    def _is_chunked(self) -> bool:
        """Whether the entry is so large that the merge result should share its unchanged chunks."""
        return isinstance(self._state, Parts) and self._state.chunked is not None

    def delta(
        self,
        operation: str,
        arguments: list[object],
        event: Event,
        seen: CausalContext | None = None,
        expires_at: HybridTimestamp | None = None,
        now: HybridTimestamp | None = None,
    ) -> "Entry":
        """Return the delta of one operation on this entry; merging it in is the operation's effect.

        The written values expire at `expires_at`. The delta removes the values that have expired by `now` (by default
        the event's timestamp); the operation treats all others as if they had no expiry.

        Raises:
            InvalidRequest: unknown operation or wrong argument.
            InsufficientRights: from a bounded counter.
        """
        if not self.expiries and expires_at is None:
            return Entry(*self.state.apply(self.context, operation, arguments, event, seen))
        expired = self.expired(event.timestamp if now is None else now)
        before = self.state.without(expired)
        if expires_at is not None:
            expires_at = self._latest(expires_at, before.carried_dots(operation, arguments, event.dot.actor))
        state, context = before.apply(self.context, operation, arguments, event, seen)
        # Expired counter slots travel with their reset. Other expired dots travel only as context. That omits the dots
        # they had superseded, so only types whose deltas require a basis may do that (`Delta`).
        gone: frozenset[Dot] = expired.difference(before.dots()) if before.has_partial_deltas else frozenset()
        if gone:
            context = context.merge(CausalContext(cloud=gone))
        known = {dot: when for dot, when in self.expiries.items() if dot not in gone}
        if expires_at is not None:
            known.update((dot, expires_at) for dot in state.dots() if dot not in self.context)
        return Entry(state, context, _of_state(state, known))

    def _latest(self, expires_at: HybridTimestamp, carried_dots: Iterable[Dot]) -> HybridTimestamp | None:
        """Return when a write that carries on these dots expires: not before they do; None if one never does."""
        for dot in carried_dots:
            if dot not in self.expiries:
                return None
            expires_at = max(expires_at, self.expiries[dot])
        return expires_at

    def without_older(self, timestamp: HybridTimestamp, event: Event) -> "Entry | None":
        """Return the entry without the versions that a blind write of `timestamp` supersedes, None if there are none.

        The removal is the operation `event`.
        """
        state = self.state.without_older(timestamp)
        if state is None:
            return None
        return Entry(state, self.context.with_dot(event.dot), _of_state(state, self.expiries))

    @property
    def pieces(self) -> list[bytes]:
        """The parts of the canonical encoding, in order.

        If a large entry was made from another one, the unchanged pieces are the same objects, so that the cost of a
        change does not depend on the size of the whole.
        """
        if self._pieces is None:
            self._pieces = [self._encoded] if self._encoded is not None else self._encode()
        return self._pieces

    @property
    def size(self) -> int:
        """The size of the canonical encoding in bytes."""
        if not self._size:
            self._size = sum(map(len, self.pieces))
        return self._size

    def to_bytes(self) -> bytes:
        """Return the canonical encoding."""
        if self._encoded is None:
            self._encoded = b"".join(self.pieces)
        return self._encoded

    def digest(self, storage_key: bytes) -> int:
        """Return the 128-bit digest of this entry under its key, as Merkle trees contain it."""
        if self._digest is None:
            self._digest = entry_digest(storage_key, self.to_bytes())
        return self._digest

    def digest_bytes(self, storage_key: bytes) -> bytes:
        """Return the digest as bytes, as messages carry it."""
        return self.digest(storage_key).to_bytes(DIGEST_BYTES, "big")

    def _encode(self) -> list[bytes]:
        state = self.state
        if isinstance(state, Unread):
            versions = [version.encoded for version in state.versions]
            return [versions[0] if len(versions) == 1 else cbor.encode([BUNDLE, self.type_tag, versions])]
        vector, cloud = self.context.to_wire()
        tail = (
            cbor.encode(vector)
            + (cbor.encode(cloud) if cloud else _NO_DOTS)
            + (cbor.encode(_EXPIRIES.group_to_wire(self.expiries)) if self.expiries else _NO_EXPIRIES)
        )
        head = _HEADS[self.type_tag]
        if isinstance(state, Parts):
            return [head, *state.encode(), tail]
        return [head + cbor.encode(state.to_wire()) + tail]

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """Parse an entry that this program stored or already checked; its parts are parsed on first use.

        Raises:
            ProtocolError: it is damaged (also from `state` and `context`).
        """
        return cls._lazy(cbor.decode_own(data), data)

    @classmethod
    def lasting(cls, data: bytes, type_tag: str) -> "Entry":
        """Wrap the bytes of an entry of a known type that has a value and no expiries; nothing is parsed now.

        Raises:
            ProtocolError: the bytes do not begin like such an entry.
        """
        if not data.startswith(_HEADS[type_tag]):
            raise ProtocolError(f"not an entry of format {FORMAT} and type {type_tag}")
        entry = cls(None, None, _NEVER, data, None, type_tag)
        entry._lasts = True
        return entry

    @classmethod
    def from_replica(cls, data: bytes, type_tag: str) -> "Entry":
        """Parse an entry that another replica of this data center stored, for a key of this type.

        Raises:
            ProtocolError: it is not an entry, or of another type.
        """
        entry = cls.unchecked(data, type_tag)
        dots = frozenset(entry.state.dots())
        if not all(dot in entry.context for dot in dots):
            raise ProtocolError("an entry's state names only operations its context has seen")
        if entry.expiries and not dots.issuperset(entry.expiries):
            raise ProtocolError("an entry's expiries are of operations of its state")
        return entry

    @classmethod
    def unchecked(cls, data: bytes, type_tag: str) -> "Entry":
        """Parse an entry of another replica only to read its context; it must not be merged or stored.

        Raises:
            ProtocolError: it is not an entry, or of another type.
        """
        entry = cls._lazy(cbor.decode(data), data)
        if entry.type_tag != type_tag:
            raise ProtocolError(f"an entry of type {entry.type_tag} under a key of type {type_tag}")
        return entry

    @classmethod
    def from_peer(cls, data: bytes, type_tag: str) -> "Entry":
        """Parse an entry that enters this data center, for a key of this type: it must be in canonical form.

        Raises:
            ProtocolError: it is not an entry, of another type, or not in canonical form.
        """
        entry = cls.from_replica(data, type_tag)
        if b"".join(entry._encode()) != data:
            raise ProtocolError("an entry is canonical CBOR")
        return entry

    def _decoded(self) -> list[Any]:
        """Return the decoded form of the bytes of this entry."""
        wire = self._wire
        if wire is None:
            assert self._encoded is not None
            wire = self._wire = cbor.decode_own(self._encoded)
        return wire

    @classmethod
    def _lazy(cls, wire: Any, data: bytes) -> "Entry":
        if type(wire) is not list or len(wire) < 3 or type(wire[0]) is not int or type(wire[1]) is not str:
            raise ProtocolError("an entry is [format, type, state, vector, cloud, expiries]")
        if wire[0] == BUNDLE:
            return cls._unbundled(wire)
        if wire[0] != FORMAT:
            raise ProtocolError(f"an entry of format {wire[0]}, this version knows {FORMAT} and {BUNDLE}")
        if len(wire) != 6:
            raise ProtocolError("an entry is [format, type, state, vector, cloud, expiries]")
        if wire[1] not in TYPES:
            context = parsed(CausalContext.from_wire, wire[3:5])
            return cls(cast(CausalState, Unread(wire[1], [UnreadVersion(data, context)])), context)
        return cls(None, None, _NEVER if wire[5] is None else None, data, wire, wire[1])

    @classmethod
    def _unbundled(cls, wire: list[Any]) -> "Entry":
        type_tag, versions = wire[1], wire[2] if len(wire) == 3 else None
        if type(versions) is not list or len(versions) < 2 or {type(version) for version in versions} != {bytes}:
            raise ProtocolError("a bundle is [format, type, entries], with two entries or more")
        decoded = [cbor.decode(version) for version in versions]
        if any(type(inner) is not list or inner[:2] != [FORMAT, type_tag] for inner in decoded):
            raise ProtocolError("a bundle holds entries of its own type, and no bundles")
        entries = [cls._lazy(inner, version) for inner, version in zip(decoded, versions, strict=True)]
        joined = entries[0]
        for entry in entries[1:]:
            joined = joined.merge(entry)
        return joined


def may_expire(encoded: bytes) -> bool:
    """Return false if an entry has no expiries, judged from its bytes; true if it has, or may have."""
    if len(encoded) < _LONGEST_NUMBER or encoded[-1] != 0xF6 or encoded[1] == BUNDLE:
        return True
    # Such a byte may also be the last one of a timestamp.
    return encoded[-9] == 0x1B or encoded[-5] == 0x1A or encoded[-3] == 0x19 or encoded[-2] == 0x18


def parsed(parse: Callable[[object], T], wire: object) -> T:
    """Return data of a peer, parsed.

    Raises:
        ProtocolError: it is malformed.
    """
    try:
        return parse(wire)
    except InvalidRequest as error:
        raise ProtocolError(str(error)) from None


def _of_state(state: CausalState, expiries: Expiries) -> Expiries:
    """Return the expiries of the dots in the state."""
    if not expiries:
        return _NEVER
    dots: Iterable[Dot] = state.dots()
    return {dot: expiries[dot] for dot in dots if dot in expiries}


def _expiries_from_wire(wire: object) -> Expiries:
    """Parse `[actor, counter, timestamp, actor, …]`, sorted by dot, or None for none."""
    if wire is None:
        return _NEVER
    expiries = _EXPIRIES.group_from_wire(wire)
    if not expiries:
        raise InvalidRequest("no expiries are null")
    return expiries


def _expiry_from_wire(parts: list[object]) -> HybridTimestamp:
    (expires_at,) = parts
    if type(expires_at) is not int or not 0 < expires_at < 2**63:  # nothing is added to it
        raise InvalidRequest("an expiry is a timestamp")
    return expires_at


#: The bytes of an encoded timestamp, at most.
_LONGEST_NUMBER: Final = 9
#: The first bytes of the encoding of an entry, by type.
_HEADS: Final = {
    type_tag: b"".join((cbor.array_head(6), cbor.encode(FORMAT), cbor.encode(type_tag))) for type_tag in TYPES
}
_NO_DOTS: Final = cbor.encode([])
_NO_EXPIRIES: Final = cbor.encode(None)
_EXPIRIES: Final = Payload[HybridTimestamp](1, lambda expires_at: [expires_at], _expiry_from_wire)
