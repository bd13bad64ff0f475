"""The result of reading a key or field: `ValueEntry`, with values, siblings and the causal context (`ReadContext`)."""

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
    """The causal context of a read. A `put`, `remove` or `delete` of the key with it acts on what was read only."""

    identity: bytes
    seen: CausalContext

    def __repr__(self) -> str:
        return repr(self.seen)

    def to_text(self) -> str:
        """Return the context as URL-safe text, for `from_text` in any process."""
        return cbor.encode_text([_FORMAT, self.identity, self.seen.to_wire()])

    @classmethod
    def from_text(cls, text: str) -> "ReadContext":
        """Return the context whose `to_text` is `text`.

        Raises:
            InvalidRequest: `text` is not the text of a context.
        """
        try:
            fields = cbor.decode_text(text)
        except ProtocolError:
            fields = None
        match fields:
            case [int() as version, bytes() as identity, wire] if version is not True and version == _FORMAT:
                if is_identity(identity):
                    return cls(identity, CausalContext.from_wire(wire))
        raise InvalidRequest("this is not a context that was read")

    def for_key(self, identity: bytes) -> WireContext:
        """Return the context in its wire format, for a request about the key `identity`.

        Raises:
            InvalidRequest: the context was read from another key, or its fields have wrong types.
        """
        if not isinstance(self.identity, bytes) or not isinstance(self.seen, CausalContext):
            raise InvalidRequest("this is not a context that was read")
        if identity != self.identity:
            raise InvalidRequest(f"the context was read from {parse_identity(self.identity)!r}, not from this key")
        return self.seen.to_wire()


class ValueEntry(Generic[V]):
    """One key, or one field of a map, as it was read.

    - `exists`: False for a key that was never written, was deleted or has expired.
    - `context`: the causal context of the read; `put(context=…)` replaces exactly what was read.
    - `timestamp`: the highest hybrid timestamp of the value, 0 if there is none.
    - `expires_at_s`: the Unix time in seconds from which a reader sees nothing, None if there is none.
    - `state`: the CRDT state, for tools; None if there is none.

    Values are decoded on access. A value that the codec refuses raises an error only then, and does not hide the
    others: `readable` returns these, `undecodable` the refused ones.
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
        """The value that `get` returns: of siblings the one with the highest timestamp; None if there is none.

        Raises:
            InvalidRequest: the codec refuses that value.
            ProtocolError: the stored bytes are not valid CBOR.
        """
        read = self._decoded
        if read.winner_refused is not None:
            raise read.winner_refused
        return read.values[0] if read.values else None

    @property
    def siblings(self) -> list[V]:
        """All concurrent values without duplicates, first that of `value`. Only registers have more than one.

        Raises:
            InvalidRequest: the codec refuses one of them; `readable` returns the others.
        """
        read = self._decoded
        if read.undecodable:
            raise read.undecodable[0].error
        return list(read.values)

    @property
    def readable(self) -> list[V]:
        """The siblings that the codec accepts. For a set or board: one value with the members that it accepts."""
        return list(self._decoded.values)

    @property
    def undecodable(self) -> list[Undecodable]:
        """The siblings, or members of a set or board, that the codec refuses."""
        return list(self._decoded.undecodable)

    @property
    def _decoded(self) -> "Read[V]":
        if self._read is None:
            self._read = read_of(self.state, self._codec)
        return self._read

    @property
    def written_at_s(self) -> float:
        """The Unix time of the last write in seconds, by the coordinator's hybrid clock; 0 if there is no value."""
        return wall_ms_of(self.timestamp) / 1000


def _expires_at(entry: Entry, state: CausalState) -> HybridTimestamp | None:
    """Return the time from which a reader sees nothing of `state`, the state of `entry` or of a field in it."""
    if not entry.expiries:
        return None
    expiries = {dot: entry.expiries[dot] for dot in state.dots() if dot in entry.expiries}
    return Entry(state, entry.context, expiries).expires_at
