"""Stored entries as the monitors read them: with cbor2 alone, so that no mistake of the product's hides another."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import cbor2

from crdtkv.checking.violation import Violation

Dot = tuple[str, int]


class InvariantViolated(AssertionError):
    """Something that must never be; `violations` tells what."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(str(violation) for violation in violations[:5]))
        self.violations = violations


class Stored(NamedTuple):
    """An entry: the dots it has seen, their bytes, what its state claims of single dots, and which a reader sees."""

    vector: dict[str, int]
    cloud: frozenset[Dot]
    seen: bytes
    claims: list[tuple[Dot, object]]
    live: tuple[Dot, ...] = ()
    newest: int = 0


def violated(invariant: str, story: str) -> NoReturn:
    """Raise what was found."""
    raise InvariantViolated([Violation(invariant, story)])


@lru_cache(maxsize=4096)
def parse(entry: bytes) -> Stored:
    """Parse an entry's bytes."""
    _, type_tag, state, vector, cloud, _ = cbor2.loads(entry)
    return Stored(
        dict(zip(vector[::2], vector[1::2], strict=True)),
        frozenset(zip(cloud[::2], cloud[1::2], strict=True)),
        cbor2.dumps([vector, cloud]),
        list(_CLAIMS[type_tag](state)),
        tuple(_LIVE[type_tag](state)),
        state[0] if type_tag == "lww" and state else 0,
    )


def has(stored: Stored, dot: Dot) -> bool:
    """Tell whether an entry has seen a dot."""
    return dot[1] <= stored.vector.get(dot[0], 0) or dot in stored.cloud


def descends(stored: Stored, other: Stored) -> bool:
    """Tell whether an entry has seen all that another has."""
    mine = stored.vector
    for actor, counter in other.vector.items():
        have = mine.get(actor, 0)
        if have < counter and not all((actor, n) in stored.cloud for n in range(have + 1, counter + 1)):
            return False
    return all(has(stored, dot) for dot in other.cloud)


def _register_claims(state: list[Any]) -> Any:
    for at in range(0, len(state), 4):
        yield (state[at], state[at + 1]), (state[at + 2], state[at + 3])


def _lww_claims(state: list[Any]) -> Any:
    if state:
        yield (state[1], state[2]), (state[0], state[3])


def _counter_claims(state: list[Any]) -> Any:
    for at in range(0, len(state), 5):
        actor, counter, total, reset_counter, reset_total = state[at : at + 5]
        yield (actor, counter), total
        if reset_counter:
            yield (actor, reset_counter), reset_total


def _live_counters(state: list[Any]) -> Any:
    for at in range(0, len(state), 5):
        actor, counter, _, reset_counter, _ = state[at : at + 5]
        if counter != reset_counter:
            yield actor, counter


def _groups(state: list[Any], width: int) -> Any:
    """Yield each element with its dots and what stands under them."""
    for at in range(0, len(state), 2):
        element, group = state[at], state[at + 1]
        starts = range(0, len(group), 2 + width)
        yield element, {(group[n], group[n + 1]): tuple(group[n + 2 : n + 2 + width]) for n in starts}


def _set_claims(width: int) -> Callable[[list[Any]], Any]:
    return lambda state: (
        (dot, (element, *payload)) for element, group in _groups(state, width) for dot, payload in group.items()
    )


def _live_members(width: int) -> Callable[[list[Any]], Any]:
    return lambda state: (dot for _, group in _groups(state, width) if (0,) not in group.values() for dot in group)


#: Per type: the dots of what a reader sees.
_LIVE: dict[str, Callable[[list[Any]], Any]] = {
    "register": lambda state: ((state[at], state[at + 1]) for at in range(0, len(state), 4)),
    "lww": lambda state: [(state[1], state[2])] if state and state[3] is not None else [],
    "counter": _live_counters,
    "set": _live_members(0),
    "rwset": _live_members(1),
}

#: Per type: what a state says of single dots, which nothing may ever contradict.
_CLAIMS: dict[str, Callable[[list[Any]], Any]] = {
    "register": _register_claims,
    "lww": _lww_claims,
    "counter": _counter_claims,
    "set": _set_claims(0),
    "rwset": _set_claims(1),
}
