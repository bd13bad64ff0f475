"""The calls of the clients: on few hot keys of registers, last-writer-wins registers and counters, at all levels.

`more_types` replaces some of them by calls on the other types.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

#: `_draw_level` also draws `Quorum(r, w)`.
GEO_LEVELS = ("REMOTE_QUORUM", "EACH_QUORUM", "ALL")
LEVELS = ("ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL")

#: The kinds of calls without a key: a scan of a type, and the move of a session to another client.
NO_KEY = frozenset(("scan", "move"))

Argument = str | int | float | tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client.

    `argument` is an amount, a value to write, or a tuple of all arguments; a write expires after `ttl_ms`, if that is
    not 0; `others` are more keys to read. A `scan` reads all keys of a type, by pages of
    `argument` rows; after a `move` client number `argument` continues the session of this client.
    """

    at_s: float
    client: int
    datacenter: str
    kind: str
    type: str
    key: str
    argument: Argument
    level: str
    with_context: bool
    others: tuple[str, ...] = ()
    ttl_ms: int = 0

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Call":
        """Return a call from its JSON document, which has lists in place of tuples."""
        return cls(**{name: _tuples(value) for name, value in document.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def draw_calls(
    random: Random, datacenters: tuple[str, ...], clients: int, replicas: int, seconds: float, count: int
) -> list[Call]:
    """Draw calls on few hot keys, of all types and levels, and on registers that only `LINEARIZABLE` calls use."""
    keys = [f"k{number}" for number in range(random.randint(1, 3))]
    types = random.sample(("register", "lww", "counter"), random.randint(1, 3))
    deletes = random.choice((0.0, 0.05, 0.2))
    linearizable = random.choice((0.0, 0.0, 0.3, 0.9))
    calls = []
    for number in range(count):
        if random.random() < linearizable:
            calls.append(_draw_linearizable(random, datacenters, clients, seconds, number))
            continue
        type_tag = random.choice(types)
        chance = random.random()
        kind = "get"
        argument: Argument = None
        if chance < deletes:
            kind = "delete"
        elif chance < 0.6 and type_tag == "counter":
            kind, argument = "increment", random.randint(-3, 9)
        elif chance < 0.6:
            kind, argument = "put", f"v{number}"
        key, *others = random.sample(keys, len(keys))
        calls.append(
            Call(
                round(random.uniform(0, seconds), 4),
                random.randrange(clients),
                random.choice(datacenters),
                kind,
                type_tag,
                key,
                argument,
                _draw_level(random, replicas),
                with_context=type_tag == "register" and kind in ("put", "delete") and random.random() < 0.4,
                others=tuple(others) if kind == "get" and random.random() < 0.3 else (),
            )
        )
    return sorted(calls, key=lambda call: call.at_s)


def draw_scans(
    random: Random, datacenters: tuple[str, ...], clients: int, types: list[str], until_s: float, count: int
) -> list[Call]:
    """Draw scans, most of them with small pages."""
    return [
        Call(
            round(random.uniform(0, until_s), 4),
            random.randrange(clients),
            random.choice(datacenters),
            "scan",
            random.choice(types),
            "",
            random.choice((1, 1, 2, 500)),
            random.choice(LEVELS),
            with_context=False,
        )
        for _ in range(count)
    ]


def draw_moves(random: Random, datacenters: tuple[str, ...], clients: int, until_s: float) -> list[Call]:
    """Draw moves of sessions to other clients, if there are several."""
    moves = random.choice((0, 1, 2, 4)) if clients > 1 else 0
    pairs = [random.sample(range(clients), 2) for _ in range(moves)]
    return [
        Call(
            round(random.uniform(0, until_s), 4), one, datacenters[0], "move", "", "", other, "ONE", with_context=False
        )
        for one, other in pairs
    ]


def _draw_linearizable(random: Random, datacenters: tuple[str, ...], clients: int, seconds: float, number: int) -> Call:
    """Draw a call on the register that a data center uses at this level only."""
    datacenter = random.choice(datacenters)
    kind = random.choice(("get", "put"))
    return Call(
        round(random.uniform(0, seconds), 4),
        random.randrange(clients),
        datacenter,
        kind,
        "register",
        f"strict-{datacenter}",
        f"v{number}" if kind == "put" else None,
        "LINEARIZABLE",
        with_context=False,
    )


def _draw_level(random: Random, replicas: int) -> str:
    if random.random() < 0.15:
        return f"{random.randint(1, replicas)},{random.randint(1, replicas)}"
    return random.choice(LEVELS)
