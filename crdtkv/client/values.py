"""Conversion of the CRDT states of all types to Python values."""

from collections import Counter as Counted
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from crdtkv import cbor
from crdtkv.client.codecs import CBOR, Codec, decoded, encoded, from_plain
from crdtkv.crdt.board import Board
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.flags import DisableWinsFlag, EnableWinsFlag
from crdtkv.crdt.hll import HyperLogLog
from crdtkv.crdt.joined import MaxRegister, MinRegister
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.map import Field, Map
from crdtkv.crdt.register import Register
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet, GrowOnlySet
from crdtkv.errors import CrdtkvError, InvalidRequest

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A stored value that a codec refuses: its encoded bytes, and the error of the codec."""

    encoded: bytes
    error: CrdtkvError

    @property
    def plain(self) -> Any:
        """The stored value, decoded as CBOR without the codec.

        Raises:
            ProtocolError: the bytes are not valid CBOR of a value.
        """
        return cbor.decode_value(self.encoded)


class Read(NamedTuple, Generic[V]):
    """The decoded values of a state, the winner first, and those that the codec refuses."""

    values: list[V]
    undecodable: list[Undecodable]
    #: The error of the codec if it refuses the winner.
    winner_refused: CrdtkvError | None = None
    are_siblings: bool = False


def value_of(state: CausalState, default: Any, codec: Codec[Any] = CBOR) -> Any:
    """Return the value of a state, `default` if the state is empty.

    Raises:
        InvalidRequest: the codec refuses the value. (Other siblings are not decoded.)
    """
    if type(state) is Register and len(state.versions) == 1:
        return decoded(codec, state.versions[0].value)
    if state.is_empty:
        return default
    if isinstance(state, Register):
        return decoded(codec, next(iter(state.siblings())).value)
    return _VALUES[state.type_tag](state, lambda element: (element_value(element, codec),), codec)


def values_of(state: CausalState, codec: Codec[Any] = CBOR) -> list[Any]:
    """Return all values of a state, the winner first; `[]` if it is empty. Only registers have more than one.

    Raises:
        InvalidRequest: the codec refuses one of them.
    """
    read = read_of(state, codec)
    if read.undecodable:
        raise read.undecodable[0].error
    return read.values


def read_of(state: CausalState | None, codec: Codec[V]) -> Read[V]:
    """Return all values of a state, and the stored values that the codec refuses."""
    if state is None or state.is_empty:
        return Read([], [])
    values: list[Any] = []
    refused: list[Undecodable] = []

    def tolerant(stored: bytes, decode: Callable[[Codec[Any], bytes], Any]) -> tuple[Any, ...]:
        try:
            return (decode(codec, stored),)
        except CrdtkvError as error:
            refused.append(Undecodable(stored, error))
            return ()

    if isinstance(state, (Register, LastWriterWins)):
        versions = _stored(state)
        for version in versions:
            values += tolerant(version, decoded)
        is_refused = bool(refused) and refused[0].encoded == versions[0]
        return Read(values, refused, refused[0].error if is_refused else None, isinstance(state, Register))
    values = [_VALUES[state.type_tag](state, lambda element: tolerant(element, _element), codec)]
    return Read(values, refused, refused[0].error if refused else None)


def fields_of(state: Map) -> dict[str | bytes, Any]:
    """Return the values of a map's fields by their unique names (`shown_names`)."""
    shown = sorted(state.shown(), key=lambda field: (field[0].name, field[0].type_tag))
    names = shown_names([field for field, _ in shown])
    return {names[field]: value_of(inner, None) for field, inner in shown}


def shown_names(fields: Collection[Field]) -> dict[Field, str | bytes]:
    """Return a unique name for each field: str if it is UTF-8, else bytes.

    Fields that share a name get the form `name:type`. So does, repeatedly, a field whose name equals such a form of
    another field. Two `name:type` forms are never equal, because a type has no colon.
    """
    shared = Counted(field.name for field in fields)
    long = {field: field.name + b":" + field.type_tag.encode() for field in fields}
    by_name = {field.name: field for field in fields}
    waiting = [field for field in fields if shared[field.name] > 1]
    shown_long = set(waiting)
    while waiting:
        taken_for = by_name.get(long[waiting.pop()])
        if taken_for is not None and taken_for not in shown_long:
            shown_long.add(taken_for)
            waiting.append(taken_for)
    return {field: shown_key(long[field] if field in shown_long else field.name) for field in fields}


def shown_key(key: bytes) -> str | bytes:
    """Return a key as str if it is UTF-8, else as bytes."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key


def element_bytes(element: Any, codec: Codec[Any]) -> bytes:
    """Encode a member of a set or board.

    Raises:
        InvalidRequest: the member is not hashable, or the codec refuses it.
        ValueTooLarge: the encoded member has more than 512 KiB.
    """
    try:
        hash(element)
    except TypeError:
        raise InvalidRequest(
            f"a member must be hashable, and a {type(element).__name__} is not: use a tuple or text"
        ) from None
    return encoded(codec, element)


def element_value(element: bytes, codec: Codec[Any]) -> Any:
    """Decode a member of a set or board. Lists and sets in it become tuples and frozen sets.

    Raises:
        InvalidRequest: the codec refuses the member, or it is not hashable in Python.
    """
    return _element(codec, element)


def _element(codec: Codec[Any], element: bytes) -> Any:
    value = from_plain(codec, _hashable(cbor.decode_value(element)))
    try:
        hash(value)
    except TypeError:
        raise InvalidRequest(f"a {type(value).__name__} is stored as a member, but is not hashable in Python") from None
    return value


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_hashable(item) for item in value)
    return value


def _stored(state: Register | LastWriterWins) -> list[bytes]:
    if isinstance(state, Register):
        # Equal values that were written twice, for example by a repeated put, are no conflict for a reader.
        return list(dict.fromkeys(version.value for version in state.siblings()))
    assert state.winner is not None
    assert state.winner.value is not None
    return [state.winner.value]


#: Decodes an element; returns one value, or none if the codec refuses it (the caller collects the errors).
_Decode = Callable[[bytes], tuple[Any, ...]]


def _members(state: AddWinsSet | RemoveWinsSet, decode: _Decode, _: Codec[Any]) -> set[Any]:
    return {value for member in state.members for value in decode(member)}


def _scores(state: Board, decode: _Decode, _: Codec[Any]) -> dict[Any, Any]:
    return {value: score for member, score in state.ranking() for value in decode(member)}


#: Returns the value of a state that is not empty, by type.
_VALUES: dict[str, Callable[[Any, _Decode, Codec[Any]], Any]] = {
    LastWriterWins.type_tag: lambda state, _, codec: decoded(codec, _stored(state)[0]),
    Counter.type_tag: lambda counter, *_: counter.value,
    BoundedCounter.type_tag: lambda counter, *_: counter.value,
    AddWinsSet.type_tag: _members,
    RemoveWinsSet.type_tag: _members,
    GrowOnlySet.type_tag: _members,
    EnableWinsFlag.type_tag: lambda flag, *_: flag.is_on,
    DisableWinsFlag.type_tag: lambda flag, *_: flag.is_on,
    MaxRegister.type_tag: lambda number, *_: number.joined,
    MinRegister.type_tag: lambda number, *_: number.joined,
    HyperLogLog.type_tag: lambda sketch, *_: sketch.count,
    Board.type_tag: _scores,
    Map.type_tag: lambda fields, *_: fields_of(fields),
}
