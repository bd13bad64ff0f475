"""The value that a reader sees, in the form of the checkers: a list of plain values, empty if the key is absent.

`checking.specification` computes what it must be.
"""

from collections.abc import Callable
from typing import Any

from crdtkv.causality.context import CausalContext
from crdtkv.checking.history import Context
from crdtkv.crdt.causal import CausalState
from crdtkv.crdt.hll import registers_of


def values_of(state: CausalState) -> list[Any]:
    """Return the value of a state."""
    return [] if state.is_empty else _VALUES[state.type_tag](state)


def plain(something: Any) -> Any:
    """Return values or arguments in the form of a history: text in place of bytes, lists in place of tuples."""
    if isinstance(something, bytes):
        return something.decode()
    return [plain(one) for one in something] if isinstance(something, (list, tuple)) else something


def plain_context(context: CausalContext) -> Context:
    """Return a context in the form that the checkers read."""
    plain = {actor: [counter] for actor, counter in context.vector.items()}
    for actor, counter in sorted(context.cloud):
        plain.setdefault(actor, [0]).append(counter)
    return plain


def _members(state: Any) -> list[Any]:
    return list(state.members)


def _joined(state: Any) -> list[Any]:
    return [state.joined]


_VALUES: dict[str, Callable[[Any], list[Any]]] = {
    "register": lambda state: [version.value for version in state.siblings()],
    "lww": lambda state: [state.winner.value],
    "counter": lambda state: [state.value],
    "bcounter": lambda state: [state.value],
    "set": _members,
    "rwset": _members,
    "gset": _members,
    "flag": lambda state: [state.is_on],
    "dwflag": lambda state: [state.is_on],
    "maxreg": _joined,
    "minreg": _joined,
    "hll": lambda state: [[[index, rank] for index, rank in enumerate(registers_of(state.joined)) if rank]],
    "board": lambda state: [list(pair) for pair in state.ranking()],
    "map": lambda state: [[*field, values_of(inner)] for field, inner in state.shown()],
}
