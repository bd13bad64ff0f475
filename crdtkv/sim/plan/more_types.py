"""Calls on all other types. They replace calls that were drawn before, so that a run has as many as without them.

`_TYPES` has the operations of each type. An operation on a map is one of another type, on a field of the map or of a
map inside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from crdtkv.sim.plan.workload import Argument, Call

Calls = tuple[Call, ...]
#: The name of an operation, and its argument.
Asked = tuple[str, Argument]

#: Types without a delete.
NOT_DELETED = frozenset(("bcounter",))
#: By type: the operations that accept a context.
_TAKE_CONTEXT = {
    "gset": ("add", "delete"),
    "flag": ("enable", "disable", "delete"),
    "dwflag": ("enable", "disable", "delete"),
    "maxreg": ("delete",),
    "minreg": ("delete",),
    "hll": ("delete",),
    "set": ("add", "remove", "delete"),
    "register": ("put", "delete"),
}
_TTLS_MS = (100, 400, 1500, 5000)


def with_sets(random: Random, calls: Calls) -> Calls:
    """Replace one of the types by a type of sets, in some runs."""
    ordinary = [call for call in calls if call.level != "LINEARIZABLE"]
    if not ordinary or random.random() < 0.6:
        return calls
    replaced = random.choice(sorted({call.type for call in ordinary}))
    type_tag = random.choice(("set", "set", "rwset"))
    added: dict[str, list[str]] = {}

    def changed(call: Call, number: int) -> Call:
        if call.type != replaced or call.level == "LINEARIZABLE":
            return call
        call = replace(call, type=type_tag, with_context=False)
        if call.kind not in ("put", "increment"):
            return call
        elements = added.setdefault(call.key, [])
        if elements and random.random() < 0.35:
            element = random.choice(elements[-6:])
            return replace(call, kind="remove", argument=element, with_context=random.random() < 0.5)
        if elements and random.random() < 0.3:
            return replace(call, kind="add", argument=random.choice(elements[-6:]))
        elements.append(f"e{number}")
        return replace(call, kind="add", argument=f"e{number}")

    return tuple(changed(call, number) for number, call in enumerate(calls))


def with_types(random: Random, calls: Calls) -> Calls:
    """Replace some calls by calls on a few other types, but none at `LINEARIZABLE`, which is for registers."""
    types = random.sample(sorted(_TYPES), random.choice((1, 1, 2, 3)))
    share = random.choice((0.3, 0.5, 0.8))

    def changed(call: Call, number: int) -> Call:
        if call.level == "LINEARIZABLE" or random.random() >= share:
            return call
        type_tag = random.choice(types)
        call = replace(call, type=type_tag, with_context=False)
        if call.kind == "get" or (call.kind == "delete" and type_tag not in NOT_DELETED):
            kind, argument = call.kind, None
        else:
            kind, argument = _TYPES[type_tag](random, number)
        has_context = _takes_context(type_tag, kind, argument) and random.random() < 0.4
        return replace(call, kind=kind, argument=argument, with_context=has_context)

    return tuple(changed(call, number) for number, call in enumerate(calls))


def with_expiries(random: Random, calls: Calls) -> Calls:
    """Give some writes of some types a time to live, in half of the runs."""
    share = random.choice((0.0, 0.0, 0.3, 0.8))
    types = {call.type for call in calls if call.level != "LINEARIZABLE"} - NOT_DELETED
    # More checks apply to keys without expiries, so some types have none.
    expiring = [type_tag for type_tag in sorted(types) if random.random() < (0.8 if type_tag in _TYPES else 0.3)]

    def changed(call: Call) -> Call:
        if call.kind in ("get", "delete") or call.type not in expiring or call.level == "LINEARIZABLE":
            return call
        return replace(call, ttl_ms=random.choice(_TTLS_MS)) if random.random() < share else call

    return tuple(map(changed, calls)) if share else calls


def _takes_context(type_tag: str, kind: str, argument: Any) -> bool:
    if kind == "update":
        path, inner, *_ = argument
        return inner in _TAKE_CONTEXT.get(path[-2], ())
    return kind in _TAKE_CONTEXT.get(type_tag, ())


def _one_of(*choices: Callable[[Random, int], Asked]) -> Callable[[Random, int], Asked]:
    return lambda random, number: random.choice(choices)(random, number)


def _always(kind: str) -> Callable[[Random, int], Asked]:
    return lambda _, __: (kind, None)


def _amount(kind: str, low: int, high: int) -> Callable[[Random, int], Asked]:
    return lambda random, _: (kind, random.randint(low, high))


def _element(kind: str) -> Callable[[Random, int], Asked]:
    """Return a new element, or one that may be in the set."""
    return lambda random, number: (kind, f"e{random.choice((number, random.randrange(number + 1), number // 9))}")


def _score(kind: str, *amounts: int | float) -> Callable[[Random, int], Asked]:
    return lambda random, _: (
        kind,
        (f"m{random.randrange(3)}", *([random.choice(amounts)] if amounts else [])),
    )


def _number(random: Random, number: int) -> Asked:
    return "set", random.choice((number, random.randint(-20, 200), round(random.uniform(0, 150), 2)))


def _put(_: Random, number: int) -> Asked:
    return "put", f"v{number}"


def _field(path: Sequence[str], operation: Callable[[Random, int], Asked]) -> Callable[[Random, int], Asked]:
    def asked(random: Random, number: int) -> Asked:
        kind, argument = operation(random, number) if random.random() < 0.85 else ("delete", None)
        rest = argument if isinstance(argument, tuple) else () if argument is None else (argument,)
        return "update", (tuple(path), kind, *rest)

    return asked


_FLAG = _one_of(_always("enable"), _always("disable"))
_INNER = ("map", "inner")
_TYPES: dict[str, Callable[[Random, int], Asked]] = {
    "gset": _element("add"),
    "flag": _FLAG,
    "dwflag": _FLAG,
    "maxreg": _number,
    "minreg": _number,
    "hll": _element("add"),
    "board": _one_of(_score("set", 5, 10, 2.5), _score("increment", 1, 2, -1, 0.5), _score("remove")),
    "map": _one_of(
        _field(("register", "name"), _put),
        _field(("lww", "seen"), _put),
        _field(("counter", "logins"), _amount("increment", -2, 5)),
        _field(("set", "tags"), _one_of(_element("add"), _element("add"), _element("remove"))),
        _field(("board", "scores"), _score("increment", 1, 2)),
        _field((*_INNER, "flag", "on"), _FLAG),
        _field((*_INNER, "counter", "visits"), _amount("increment", 1, 3)),
        _field((*_INNER, "maxreg", "top"), _number),
        _field(_INNER, _always("delete")),
    ),
    "bcounter": _one_of(_amount("increment", 1, 5), _amount("decrement", 1, 3)),
}
