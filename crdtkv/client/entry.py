"""What a client reads of a key or field: values, siblings, context."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, CausalContext, WireContext
from crdtkv.causality.hybrid_clock import HybridTimestamp, wall_ms_of
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.values import Read, Undecodable, read_of
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InvalidRequest, ProtocolError
from crdtkv.ids import is_identity, parse_identity

V = TypeVar("V")

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What was read of one key: hand it to `put`, `remove` or `delete` of that key to act on exactly that."""

    identity: bytes
    seen: CausalContext

    def __repr__(self) -> str:
        return repr(self.seen)

    def to_text(self) -> str:
        """Return the context as one word, to be kept or sent anywhere: `from_text` gives it back."""
        return cbor.encode_text([_FORMAT, self.identity, self.seen.to_wire()])

    @classmethod
    def from_text(cls, text: str) -> "ReadContext":
        """Return the context that `to_text` made this text of.

        Raises:
            InvalidRequest: it made nothing of the kind.
        """
        try:
            fields = cbor.decode_text(text)
        except ProtocolError:
            fields = None
        match fields:
            case [int() as version, bytes() as identity, wire] if version is not True and version == _FORMAT:
                if is_identity(identity):
                    return cls(identity, CausalContext.from_wire(wire))
        raise InvalidRequest("this is no context that was read")

    def for_key(self, identity: bytes) -> WireContext:
        """Return the context for the wire.

        Raises:
            InvalidRequest: it was read from another key.
        """
        if not isinstance(self.identity, bytes) or not isinstance(self.seen, CausalContext):
            raise InvalidRequest("this is no context that was read")
        if identity != self.identity:
            raise InvalidRequest(
                f"the context was read from {parse_identity(self.identity)!r}, it says nothing of this key"
            )
        return self.seen.to_wire()


class ValueEntry(Generic[V]):
    """One key, or one field of a map, as it was read.

    `context` names exactly what was read; hand it to `put(context=…)` to replace that and nothing else. `timestamp` is
    the value's hybrid timestamp, 0 if there is none. `expires_at_s` is when the last of it expires, in Unix seconds,
    None for never. `state` is what all of these were taken from, for tools; None if nothing is there.
    `exists` is False for a key that was never written, or deleted, or has expired.

    Values are decoded when they are asked for. So what the codec refuses is no error before, and hides nothing else:
    `readable` are the others, `undecodable` says what is stored in its place.
    """

    __slots__ = ("_codec", "_read", "context", "exists", "expires_at_s", "state", "timestamp")

    def __init__(self, identity: bytes, entry: Entry | None, state: CausalState | None, codec: Codec[V] = CBOR) -> None:
        self.state = state
        self._codec = codec
        self._read: Read[V] | None = None
        self.exists = state is not None and not state.is_empty
        self.context = ReadContext(identity, entry.context if entry is not None else EMPTY)
        self.timestamp: HybridTimestamp = state.newest() if state is not None else 0
        expires_at = _expires_at(entry, state) if entry is not None and state is not None else None
        self.expires_at_s: float | None = wall_ms_of(expires_at) / 1000 if expires_at else None

    def __repr__(self) -> str:
        if not self.exists:
            return "ValueEntry(absent)"
        read = self._decoded
        count = len(read.values) + len(read.undecodable)
        more = f" +{count - 1} siblings" if count > 1 and read.are_siblings else ""
        return f"ValueEntry({'undecodable' if read.winner_refused else repr(self.value)}{more})"

    @property
    def value(self) -> V | None:
        """What `get` returns: among concurrent writes the one with the highest timestamp. None if there is none.

        Raises:
            InvalidRequest: the codec refuses it.
        """
        read = self._decoded
        if read.winner_refused is not None:
            raise read.winner_refused
        return read.values[0] if read.values else None

    @property
    def siblings(self) -> list[V]:
        """All concurrent values, that of `value` first; equal values once. Only registers have more than one.

        Raises:
            InvalidRequest: the codec refuses one of them; the others are in `readable`.
        """
        read = self._decoded
        if read.undecodable:
            raise read.undecodable[0].error
        return list(read.values)

    @property
    def readable(self) -> list[V]:
        """The siblings that the codec does not refuse; of a set or board, one value with the members it does not."""
        return list(self._decoded.values)

    @property
    def undecodable(self) -> list[Undecodable]:
        """What the codec refuses: siblings, or members of a set or board. Mostly none."""
        return list(self._decoded.undecodable)

    @property
    def _decoded(self) -> "Read[V]":
        if self._read is None:
            self._read = read_of(self.state, self._codec)
        return self._read

    @property
    def written_at_s(self) -> float:
        """When the value was written, Unix seconds by its coordinator's clock."""
        return wall_ms_of(self.timestamp) / 1000


def _expires_at(entry: Entry, state: CausalState) -> HybridTimestamp | None:
    """Return from when on a reader sees nothing of a state, which is an entry's or that of a field in it."""
    if not entry.expiries:
        return None
    expiries = {dot: entry.expiries[dot] for dot in state.dots() if dot in entry.expiries}
    return Entry(state, entry.context, expiries).expires_at
