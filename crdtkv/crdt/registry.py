"""The one table of value types: a type is its file plus its line here."""

from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.counter import Counter
from crdtkv.crdt.lww import LastWriterWins
from crdtkv.crdt.register import Register
from crdtkv.errors import InvalidRequest

TYPES: dict[str, type[CausalState]] = {
    state_type.type_tag: state_type
    for state_type in (
        Register,
        LastWriterWins,
        Counter,
    )
}

OPERATIONS: frozenset[str] = frozenset().union(*(state_type.operations for state_type in TYPES.values()))


def type_named(type_tag: str) -> type[CausalState]:
    """Return the class of a type tag.

    Raises:
        InvalidRequest: this version does not know the type.
    """
    try:
        return TYPES[type_tag]
    except KeyError:
        raise InvalidRequest(f"unknown type {type_tag!r}: this version knows {', '.join(TYPES)}") from None
