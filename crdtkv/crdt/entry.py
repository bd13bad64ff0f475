"""`Entry`: what a replica stores under a key, and the only merge of stored state.

An entry is type tag, state, causal context and expiry, encoded as one canonical CBOR array (`FORMAT` first), so that
equal entries are equal bytes. Client writes, quorum reads, read repair and geo replication all end in `merge`.

Entries keep the bytes they were parsed from, and parse their parts when they are needed: on the common paths (nothing
stored yet; the newcomer has seen all that is stored) the received bytes are stored as they are, nothing is encoded,
and of what was stored only the context is looked at.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import CausalState, Event
from crdtkv.crdt.registry import TYPES, type_named
from crdtkv.errors import InvalidRequest, ProtocolError

FORMAT = 1

T = TypeVar("T")


class Entry:
    """The stored form of one key; immutable. `expires_at` is a hybrid timestamp, None for ever."""

    __slots__ = ("_context", "_encoded", "_state", "_wire", "expires_at", "type_tag")

    def __init__(self, state: CausalState, context: CausalContext, expires_at: HybridTimestamp | None = None) -> None:
        self.type_tag = state.type_tag
        self.expires_at = expires_at
        self._state: CausalState | None = state
        self._context: CausalContext | None = context
        self._encoded: bytes | None = None
        self._wire: list[Any] | None = None

    @property
    def state(self) -> CausalState:
        """The state of the value type; parsed when it is first needed."""
        state = self._state
        if state is None:
            assert self._wire is not None
            state = self._state = _checked(type_named(self.type_tag).from_wire, self._wire[2])
        return state

    @property
    def context(self) -> CausalContext:
        """The operations this entry has seen; parsed when it is first needed."""
        context = self._context
        if context is None:
            assert self._wire is not None
            context = self._context = _checked(CausalContext.from_wire, self._wire[3:5])
        return context

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.to_bytes() == other.to_bytes()

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
        """Whether a reader sees nothing."""
        return self.state.is_empty

    def merge(self, other: "Entry") -> "Entry":
        """Return the join of two entries of one key; either may be older, newer or concurrent.

        Raises:
            InvalidRequest: the types differ (their keys would, too).
        """
        if other.type_tag != self.type_tag:
            raise InvalidRequest(f"a {other.type_tag} cannot be merged into a {self.type_tag}")
        expires_at = _longest(self, other)
        # Equal contexts take the long way round, so that states which should be equal and are not still join.
        if self.context != other.context:
            if expires_at == other.expires_at and other.context.descends(self.context):
                return other
            if expires_at == self.expires_at and self.context.descends(other.context):
                return self
        state = self.state.merge(self.context, other.state, other.context)
        return Entry(state, self.context.merge(other.context), expires_at)

    def delta(
        self, operation: str, arguments: list[object], event: Event, seen: CausalContext | None = None
    ) -> "Entry":
        """Return the delta of one operation on this entry; merging it in is the operation's effect.

        Raises:
            InvalidRequest: unknown operation or wrong argument.
        """
        state, context = self.state.apply(self.context, operation, arguments, event, seen)
        return Entry(state, context, self.expires_at)

    def without_older(self, timestamp: HybridTimestamp, event: Event) -> "Entry | None":
        """Drop, as the operation `event`, what a blind write of `timestamp` supersedes; None if that is nothing."""
        state = self.state.without_older(timestamp)
        return None if state is None else Entry(state, self.context.with_dot(event.dot), self.expires_at)

    def to_bytes(self) -> bytes:
        """Return the canonical encoding."""
        if self._encoded is None:
            self._encoded = self._encode()
        return self._encoded

    def _encode(self) -> bytes:
        state = self.state.to_wire()
        return cbor.encode([FORMAT, self.type_tag, state, *self.context.to_wire(), self.expires_at])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """Parse an entry that this program stored or already checked; its parts when they are first needed.

        Raises:
            ProtocolError: it is damaged (also from `state` and `context`).
        """
        return cls._lazy(cbor.decode_own(data), data)

    @classmethod
    def from_replica(cls, data: bytes, type_tag: str) -> "Entry":
        """Parse an entry that another replica of this data center stored, for a key of this type.

        Raises:
            ProtocolError: it is not an entry, or of another type.
        """
        entry = cls._lazy(cbor.decode(data), data)
        if entry.type_tag != type_tag:
            raise ProtocolError(f"an entry of type {entry.type_tag} under a key of type {type_tag}")
        if not all(dot in entry.context for dot in entry.state.dots()):
            raise ProtocolError("an entry's state names only operations its context has seen")
        return entry

    @classmethod
    def from_peer(cls, data: bytes, type_tag: str) -> "Entry":
        """Parse an entry that enters this data center, for a key of this type: it must be in canonical form.

        Raises:
            ProtocolError: it is not an entry, of another type, or the same entry is encoded otherwise here.
        """
        entry = cls.from_replica(data, type_tag)
        if entry._encode() != data:
            raise ProtocolError("an entry is canonical CBOR")
        return entry

    @classmethod
    def _lazy(cls, wire: Any, data: bytes) -> "Entry":
        if type(wire) is not list or len(wire) != 6 or type(wire[0]) is not int or type(wire[1]) is not str:
            raise ProtocolError("an entry is [format, type, state, vector, cloud, expiry]")
        if wire[0] != FORMAT:
            raise ProtocolError(f"an entry of format {wire[0]}, this version knows {FORMAT}")
        if wire[1] not in TYPES:
            raise ProtocolError(f"an entry of a type this version does not know: {wire[1]!r:.40}")
        if wire[5] is not None and type(wire[5]) is not int:
            raise ProtocolError("an expiry is a timestamp")
        entry = cls.__new__(cls)
        entry.type_tag = wire[1]
        entry.expires_at = wire[5]
        entry._state = entry._context = None
        entry._encoded = data
        entry._wire = wire
        return entry


def _checked(parse: Callable[[object], T], wire: object) -> T:
    try:
        return parse(wire)
    except InvalidRequest as error:
        raise ProtocolError(str(error)) from None


def _longest(one: Entry, other: Entry) -> HybridTimestamp | None:
    """Return the later expiry; no expiry is the latest, and an entry that saw no operation has no say."""
    if one.expires_at is None and other.expires_at is None:
        return None
    if not one.context or not other.context:
        return one.expires_at if one.context else other.expires_at
    if one.expires_at is None or other.expires_at is None:
        return None
    return max(one.expires_at, other.expires_at)
