"""What a client reads: values, siblings, context."""

from dataclasses import dataclass
from typing import Any

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, CausalContext, WireContext
from crdtkv.causality.hybrid_clock import HybridTimestamp, wall_ms_of
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.register import Register
from crdtkv.errors import InvalidRequest
from crdtkv.ids import parse_identity


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What was read of one key: hand it to `put` or `delete` of that key to replace exactly that."""

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


class ValueEntry:
    """One key as it was read.

    `value` is what `get` returns: among concurrent writes the one with the highest timestamp. `siblings` are all of
    them, that one first; equal values are shown once. `context` names exactly what was read; hand it to
    `put(context=…)` to replace that and nothing else. `timestamp` is the value's hybrid timestamp, 0 if there is none.
    `exists` is False for a key that was never written, or deleted.
    """

    __slots__ = ("context", "exists", "siblings", "timestamp", "value")

    def __init__(self, identity: bytes, entry: Entry | None) -> None:
        self.siblings: list[Any] = values_of(entry.state) if entry is not None else []
        self.exists = entry is not None and not entry.is_tombstone
        self.value: Any = self.siblings[0] if self.siblings else None
        self.context = ReadContext(identity, entry.context if entry is not None else EMPTY)
        self.timestamp: HybridTimestamp = entry.state.newest() if entry is not None else 0

    def __repr__(self) -> str:
        more = f" +{len(self.siblings) - 1} siblings" if len(self.siblings) > 1 else ""
        return f"ValueEntry({self.value!r}{more})" if self.exists else "ValueEntry(absent)"

    @property
    def written_at_s(self) -> float:
        """When the value was written, Unix seconds by its coordinator's clock."""
        return wall_ms_of(self.timestamp) / 1000


def value_of(state: CausalState, default: Any) -> Any:
    """Return the value of a state, `default` if it is empty."""
    if type(state) is Register and len(state.versions) == 1:
        return cbor.decode_value(state.versions[0].value)
    values = values_of(state)
    return values[0] if values else default


def values_of(state: CausalState) -> list[Any]:
    """Return all values of a state, the winner first; none if it is empty."""
    if state.is_empty:
        return []
    match state:
        case Register() as register:
            # Equal values written twice (a retried put, say) are no conflict to a reader.
            distinct = dict.fromkeys(version.value for version in register.siblings())
            return [cbor.decode_value(value) for value in distinct]
        case LastWriterWins(winner=winner) if winner is not None and winner.value is not None:
            return [cbor.decode_value(winner.value)]
        case Counter() as counter:
            return [counter.value]
    raise AssertionError(f"no values are known for a {state.type_tag}")
