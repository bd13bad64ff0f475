"""The stored states of all types: their claims about dots, and the dots that a reader sees.

A claim (`CLAIMS`) is about a dot, or about a dot at a place inside the state; no other state of the key may contradict
it. `LIVE` leaves out expired dots.
"""

from collections.abc import Callable, Iterator
from typing import Any

Dot = tuple[str, int]
Over = frozenset[Dot]
Claims = Iterator[tuple[object, object]]
State = list[Any]


def _rows(state: State, width: int) -> Iterator[list[Any]]:
    return (state[at : at + width] for at in range(0, len(state), width))


def _dotted_claims(width: int) -> Callable[[State], Claims]:
    """Read `[actor, counter, *payload, …]`."""
    return lambda state: (((actor, counter), tuple(rest)) for actor, counter, *rest in _rows(state, 2 + width))


def _dotted_live(width: int) -> Callable[[State, Over], list[Dot]]:
    return lambda state, over: [
        (actor, counter) for actor, counter, *_ in _rows(state, 2 + width) if (actor, counter) not in over
    ]


def _marked_live(state: State, over: Over) -> list[Dot]:
    """Read `[actor, counter, mark, …]`: nothing is seen if a mark is negative."""
    left = {(actor, counter): mark for actor, counter, mark in _rows(state, 3) if (actor, counter) not in over}
    return [] if 0 in left.values() else list(left)


def _lww_claims(state: State) -> Claims:
    if state:
        timestamp, actor, counter, value = state
        yield (actor, counter), (timestamp, value)


def _lww_live(state: State, over: Over) -> list[Dot]:
    return [(state[1], state[2])] if state and state[3] is not None and (state[1], state[2]) not in over else []


def _slot_claims(state: State) -> Claims:
    for actor, counter, total, reset_counter, reset_total in _rows(state, 5):
        yield (actor, counter), total
        if reset_counter:
            yield (actor, reset_counter), reset_total


def _slots_live(state: State, over: Over) -> list[Dot]:
    return [
        (actor, counter)
        for actor, counter, _, reset_counter, _ in _rows(state, 5)
        if counter != reset_counter and (actor, counter) not in over
    ]


def _share_claims(state: State) -> Claims:
    return (
        ((actor, counter), (incremented, used, tuple(given)))
        for actor, counter, incremented, used, given in _rows(state, 5)
    )


def _grouped_claims(width: int) -> Callable[[State], Claims]:
    """Read `[element, [actor, counter, *payload, …], element, …]`."""
    return lambda state: (
        (dot, (element, payload)) for element, group in _rows(state, 2) for dot, payload in _dotted_claims(width)(group)
    )


def _grouped_live(live: Callable[[State, Over], list[Dot]]) -> Callable[[State, Over], list[Dot]]:
    return lambda state, over: [dot for _, group in _rows(state, 2) for dot in live(group, over)]


def _board_claims(state: State) -> Claims:
    for member, (sets, slots) in _rows(state, 2):
        yield from (((member, dot), claim) for dot, claim in _dotted_claims(2)(sets))
        yield from (((member, dot), claim) for dot, claim in _slot_claims(slots))


def _board_live(state: State, over: Over) -> list[Dot]:
    return [
        dot for _, (sets, slots) in _rows(state, 2) for dot in (*_dotted_live(2)(sets, over), *_slots_live(slots, over))
    ]


def _map_claims(state: State) -> Claims:
    for type_tag, name, inner in _rows(state, 3):
        # A delete is an operation on several fields under one dot.
        yield from (((type_tag, name, about), claim) for about, claim in CLAIMS[type_tag](inner))


def _map_live(state: State, over: Over) -> list[Dot]:
    return [dot for type_tag, _, inner in _rows(state, 3) for dot in LIVE[type_tag](inner, over)]


CLAIMS: dict[str, Callable[[State], Claims]] = {
    "register": _dotted_claims(2),
    "lww": _lww_claims,
    "counter": _slot_claims,
    "bcounter": _share_claims,
    "set": _grouped_claims(0),
    "gset": _grouped_claims(0),
    "rwset": _grouped_claims(1),
    "flag": _dotted_claims(0),
    "dwflag": _dotted_claims(1),
    "maxreg": _dotted_claims(1),
    "minreg": _dotted_claims(1),
    "hll": _dotted_claims(1),
    "board": _board_claims,
    "map": _map_claims,
}

LIVE: dict[str, Callable[[State, Over], list[Dot]]] = {
    "register": _dotted_live(2),
    "lww": _lww_live,
    "counter": _slots_live,
    "bcounter": lambda state, _: [(actor, counter) for actor, counter, *_ in _rows(state, 5)],
    "set": _grouped_live(_dotted_live(0)),
    "gset": _grouped_live(_dotted_live(0)),
    "rwset": _grouped_live(_marked_live),
    "flag": _dotted_live(0),
    "dwflag": _marked_live,
    "maxreg": _dotted_live(1),
    "minreg": _dotted_live(1),
    "hll": _dotted_live(1),
    "board": _board_live,
    "map": _map_live,
}
