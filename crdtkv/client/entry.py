"""What a client reads of a key or field: values, siblings, context."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from crdtkv.causality.context import EMPTY, CausalContext, WireContext
from crdtkv.causality.hybrid_clock import HybridTimestamp, wall_ms_of
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.values import values_of
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InvalidRequest
from crdtkv.ids import parse_identity

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What was read of one key: hand it to `put`, `remove` or `delete` of that key to act on exactly that."""

    identity: bytes
    seen: CausalContext

    def __repr__(self) -> str:
        return repr(self.seen)

    def for_key(self, identity: bytes) -> WireContext:
        """Return the context for the wire.

        Raises:
            InvalidRequest: it was read from another key.
        """
        if identity != self.identity:
            raise InvalidRequest(
                f"the context was read from {parse_identity(self.identity)!r}, it says nothing of this key"
            )
        return self.seen.to_wire()


class ValueEntry(Generic[V]):
    """One key, or one field of a map, as it was read.

    `value` is what `get` returns: among concurrent writes the one with the highest timestamp. `siblings` are all of
    them, that one first; equal values are shown once. `context` names exactly what was read; hand it to
    `put(context=…)` to replace that and nothing else. `timestamp` is the value's hybrid timestamp, 0 if there is none.
    `expires_at_s` is when the last of it expires, in Unix seconds, None for never.
    `state` is what all of these were taken from, for tools; None if nothing is there.
    `exists` is False for a key that was never written, or deleted, or has expired.
    """

    __slots__ = ("context", "exists", "expires_at_s", "siblings", "state", "timestamp", "value")

    def __init__(self, identity: bytes, entry: Entry | None, state: CausalState | None, codec: Codec[V] = CBOR) -> None:
        self.state = state
        self.siblings: list[V] = values_of(state, codec) if state is not None else []
        self.exists = state is not None and not state.is_empty
        self.value: V | None = self.siblings[0] if self.siblings else None
        self.context = ReadContext(identity, entry.context if entry is not None else EMPTY)
        self.timestamp: HybridTimestamp = state.newest() if state is not None else 0
        over_at = _over_at(entry, state) if entry is not None and state is not None else None
        self.expires_at_s: float | None = wall_ms_of(over_at) / 1000 if over_at else None

    def __repr__(self) -> str:
        more = f" +{len(self.siblings) - 1} siblings" if len(self.siblings) > 1 else ""
        return f"ValueEntry({self.value!r}{more})" if self.exists else "ValueEntry(absent)"

    @property
    def written_at_s(self) -> float:
        """When the value was written, Unix seconds by its coordinator's clock."""
        return wall_ms_of(self.timestamp) / 1000


def _over_at(entry: Entry, state: CausalState) -> HybridTimestamp | None:
    """Return from when on a reader sees nothing of a state, which is an entry's or that of a field in it."""
    if not entry.expiries:
        return None
    expiries = {dot: entry.expiries[dot] for dot in state.dots() if dot in entry.expiries}
    return Entry(state, entry.context, expiries).over_at
