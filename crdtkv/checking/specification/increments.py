"""Increments of counters and boards: they add up until an operation that had seen them resets them.

All increments of one actor expire together, with the one that expires last; a later increment starts from 0.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crdtkv.checking.specification.operation import Dots, Operation
from crdtkv.checking.specification.view import Everything, View

#: Selects the operations on a value that concern the counter.
Concerns = Callable[[Iterable[Operation]], list[Operation]]


def left(view: View, concerns: Concerns, name: Any = "") -> Iterator[Operation]:
    """Yield the increments that count. `name` distinguishes several counters of one value."""
    here = concerns(view.operations)
    for increments in _by_actor(here).values():
        last = increments[-1]
        expires_at = _expires_at(last, view.everything, concerns, name)
        if _is_reset(last, here, view.everything, concerns, name):
            continue
        if expires_at is None or expires_at > view.now:
            yield from (one for one in increments if not _is_reset(one, here, view.everything, concerns, name))


def last_increments(operations: Iterable[Operation]) -> Dots:
    """Return the last increment of each actor, reset or not."""
    return frozenset(increments[-1].dot for increments in _by_actor(operations).values())


def _by_actor(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    by_actor: dict[str, list[Operation]] = {}
    for one in sorted(operations, key=lambda one: one.dot):
        if one.name == "increment":
            by_actor.setdefault(one.dot[0], []).append(one)
    return by_actor


def _is_reset(one: Operation, here: list[Operation], everything: Everything, concerns: Concerns, name: Any) -> bool:
    return any(
        one.dot in other.seen
        if other.name != "increment"
        else one.dot in other.held and _has_found_expired(one, other, everything, concerns, name)
        for other in here
    )


def _has_found_expired(one: Operation, by: Operation, everything: Everything, concerns: Concerns, name: Any) -> bool:
    """Return whether all increments of this actor had expired where another increment was made."""
    if not everything.is_timed:
        return False
    last = _last_of(one.dot[0], by.held, everything, concerns)
    expires_at = _expires_at(last, everything, concerns, name) if last is not None else None
    return expires_at is not None and expires_at <= by.moment


def _last_of(actor: str, dots: Dots, everything: Everything, concerns: Concerns) -> Operation | None:
    known = everything.operations
    here = concerns(known[dot] for dot in dots if dot[0] == actor and dot in known)
    return max((one for one in here if one.name == "increment"), key=lambda one: one.dot, default=None)


def _expires_at(one: Operation, everything: Everything, concerns: Concerns, name: Any) -> int | None:
    own = one.expires_at
    if own is None:
        return None

    def longest() -> int | None:
        before = _last_of(one.dot[0], one.held, everything, concerns)
        if before is None:
            return own
        held = concerns(View(everything, one.held).operations)
        expires_at = _expires_at(before, everything, concerns, name)
        if _is_reset(before, held, everything, concerns, name):
            return own
        if expires_at is None:
            return None
        return own if expires_at <= one.moment else max(own, expires_at)

    return everything.once((one.dot, name, "expires at"), longest)
