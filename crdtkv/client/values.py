"""What the states of all types are in Python: the one place that turns stored states into values."""

from collections.abc import Callable
from typing import Any

from crdtkv import cbor
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.crdt.board import Board
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.flags import DisableWinsFlag, EnableWinsFlag
from crdtkv.crdt.hll import HyperLogLog
from crdtkv.crdt.joined import MaxRegister, MinRegister
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.map import Map
from crdtkv.crdt.register import Register
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet, GrowOnlySet
from crdtkv.errors import InvalidRequest
from crdtkv.ids import printable


def value_of(state: CausalState, default: Any, codec: Codec[Any] = CBOR) -> Any:
    """Return the value of a state, `default` if it is empty."""
    if type(state) is Register and len(state.versions) == 1:
        return codec.from_plain(cbor.decode_value(state.versions[0].value))
    values = values_of(state, codec)
    return values[0] if values else default


def values_of(state: CausalState, codec: Codec[Any] = CBOR) -> list[Any]:
    """Return all values of a state, the winner first; none if it is empty. Only registers have more than one."""
    if state.is_empty:
        return []
    if isinstance(state, Register):
        # Equal values written twice (a retried put, say) are no conflict to a reader.
        distinct = dict.fromkeys(version.value for version in state.siblings())
        return [codec.from_plain(cbor.decode_value(value)) for value in distinct]
    return [_VALUES[state.type_tag](state, codec)]


def fields_of(state: Map) -> dict[str, Any]:
    """Return the fields of a map by name; `name:type` for a name that several types share."""
    shown = sorted(state.shown(), key=lambda field: (field[0].name, field[0].type_tag))
    names = [name for (_, name), _ in shown]
    return {
        printable(name) if names.count(name) == 1 else f"{printable(name)}:{type_tag}": value_of(inner, None)
        for (type_tag, name), inner in shown
    }


def element_bytes(element: Any, codec: Codec[Any]) -> bytes:
    """Encode a member of a set or board.

    Raises:
        InvalidRequest: it is not hashable, or cannot be encoded.
    """
    try:
        hash(element)
    except TypeError:
        raise InvalidRequest(
            f"a member is hashable, which a {type(element).__name__} is not: use a tuple, or text"
        ) from None
    return cbor.encode_value(codec.to_plain(element))


def element_value(encoded: bytes, codec: Codec[Any]) -> Any:
    """Decode a member of a set or board; lists and sets in it come back as tuples and frozen sets."""
    return codec.from_plain(_hashable(cbor.decode_value(encoded)))


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_hashable(item) for item in value)
    return value


def _last_written(state: LastWriterWins, codec: Codec[Any]) -> Any:
    assert state.winner is not None
    assert state.winner.value is not None
    return codec.from_plain(cbor.decode_value(state.winner.value))


def _members(state: AddWinsSet | RemoveWinsSet, codec: Codec[Any]) -> set[Any]:
    return {element_value(member, codec) for member in state.members}


def _scores(state: Board, codec: Codec[Any]) -> dict[Any, Any]:
    return {element_value(member, codec): score for member, score in state.ranking()}


#: What the value of each type is, of a state that is not empty.
_VALUES: dict[str, Callable[[Any, Codec[Any]], Any]] = {
    LastWriterWins.type_tag: _last_written,
    Counter.type_tag: lambda counter, _: counter.value,
    BoundedCounter.type_tag: lambda counter, _: counter.value,
    AddWinsSet.type_tag: _members,
    RemoveWinsSet.type_tag: _members,
    GrowOnlySet.type_tag: _members,
    EnableWinsFlag.type_tag: lambda flag, _: flag.is_on,
    DisableWinsFlag.type_tag: lambda flag, _: flag.is_on,
    MaxRegister.type_tag: lambda number, _: number.joined,
    MinRegister.type_tag: lambda number, _: number.joined,
    HyperLogLog.type_tag: lambda sketch, _: sketch.count,
    Board.type_tag: _scores,
    Map.type_tag: lambda fields, _: fields_of(fields),
}
