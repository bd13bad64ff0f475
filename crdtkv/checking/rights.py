"""Bounded counters: no node decrements without rights, so no read is below 0 (`rights`).

Rights belong to an incarnation of a node: those of its increments, and those it was given, without those it used and
gave away. A node may use the rights that it had seen at that time.
"""

from collections.abc import Iterator, Mapping

from crdtkv.checking.history import Dot, KeyHistory, dots_of
from crdtkv.checking.specification.operation import Operation as Made
from crdtkv.checking.violation import Violation

_SPENDING = frozenset(("decrement", "transfer"))


def check(key: KeyHistory, made: Mapping[Dot, Made]) -> Iterator[Violation]:
    """Check one key, if it is a bounded counter."""
    if key.type != "bcounter":
        return
    for read in key.results:
        if any(value < 0 for value in read.values or ()):
            yield Violation("rights", f"a bounded counter is below 0: {read}")
    for dot in sorted({dot for final in key.finals for dot in dots_of(final.context)}):
        spent = made.get(dot)
        if spent is not None and spent.name in _SPENDING:
            owner = _owner(dot[0])
            had = sum(_change(made[held], owner) for held in spent.held if held in made)
            if spent.arguments[0] > had:
                yield Violation("rights", f"{owner} had rights for {had}, and used more: {spent}")


def _change(one: Made, owner: str) -> int:
    """Return by how much an operation changes the rights of an incarnation."""
    is_own = _owner(one.dot[0]) == owner
    amount: int = one.arguments[0]
    if one.name == "transfer" and _owner(one.arguments[1]) == owner:
        return amount
    if not is_own:
        return 0
    return -amount if one.name in _SPENDING else amount


def _owner(actor: str) -> str:
    """Return an actor's incarnation, without its renewals."""
    node, _, incarnation = actor.rpartition(".")
    return f"{node}.{incarnation.partition('-')[0]}"
