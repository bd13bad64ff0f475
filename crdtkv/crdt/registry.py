"""The table of all value types: a type is its file plus its line here."""

from crdtkv.crdt.board import Board
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.flags import DisableWinsFlag, EnableWinsFlag
from crdtkv.crdt.hll import HyperLogLog
from crdtkv.crdt.joined import MaxRegister, MinRegister
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.map import FIELD_TYPES, Map
from crdtkv.crdt.register import Register
from crdtkv.crdt.remove_wins_set import RemoveWinsSet
from crdtkv.crdt.sets import AddWinsSet, GrowOnlySet
from crdtkv.errors import InvalidRequest

TYPES: dict[str, type[CausalState]] = {
    state_type.type_tag: state_type
    for state_type in (
        Register,
        LastWriterWins,
        Counter,
        AddWinsSet,
        RemoveWinsSet,
        GrowOnlySet,
        EnableWinsFlag,
        DisableWinsFlag,
        MaxRegister,
        MinRegister,
        HyperLogLog,
        Board,
        Map,
        BoundedCounter,
    )
}

# A bounded counter cannot be removed, so it cannot be a field.
FIELD_TYPES.update((tag, state_type) for tag, state_type in TYPES.items() if state_type is not BoundedCounter)

OPERATIONS: frozenset[str] = frozenset().union(*(state_type.operations for state_type in TYPES.values()))


def type_named(type_tag: str) -> type[CausalState]:
    """Return the class of a type tag.

    Raises:
        InvalidRequest: this version does not support the type.
    """
    try:
        return TYPES[type_tag]
    except (KeyError, TypeError):  # an unhashable value is no type tag
        raise InvalidRequest(f"unknown type {type_tag!r}: this version knows {', '.join(TYPES)}") from None
