"""Stored entries, parsed with cbor2 alone, so that no mistake of the product hides another; and `InvariantViolated`.

`states` parses the states inside them.
"""

from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import cbor2

from crdtkv.checking.violation import Violation
from crdtkv.sim.world.states import CLAIMS, LIVE

Dot = tuple[str, int]


class InvariantViolated(AssertionError):
    """An invariant does not hold; `violations` has the details."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(str(violation) for violation in violations[:5]))
        self.violations = violations


class Stored(NamedTuple):
    """An entry: its context, the bytes of that, its claims about dots, its type and state, and its expiries."""

    vector: dict[str, int]
    cloud: frozenset[Dot]
    seen: bytes
    claims: list[tuple[object, object]]
    type_tag: str = ""
    state: Any = ()
    expiries: tuple[tuple[Dot, int], ...] = ()

    @property
    def newest(self) -> int:
        """The timestamp of a last-writer-wins register, 0 for other types."""
        return int(self.state[0]) if self.type_tag == "lww" and self.state else 0

    def live(self, now: int) -> list[Dot]:
        """Return the dots that a reader sees at a hybrid time."""
        over = frozenset(dot for dot, expires_at in self.expiries if expires_at <= now)
        return list(LIVE[self.type_tag](self.state, over)) if self.state else []


def violated(invariant: str, story: str) -> NoReturn:
    """Report a broken invariant.

    Raises:
        InvariantViolated: always.
    """
    raise InvariantViolated([Violation(invariant, story)])


@lru_cache(maxsize=4096)
def parse(entry: bytes) -> Stored:
    """Parse an entry's bytes."""
    _, type_tag, state, vector, cloud, timed = cbor2.loads(entry)
    expiries = tuple(((actor, counter), at) for actor, counter, at in zip(*[iter(timed or ())] * 3, strict=True))
    return Stored(
        dict(zip(vector[::2], vector[1::2], strict=True)),
        frozenset(zip(cloud[::2], cloud[1::2], strict=True)),
        cbor2.dumps([vector, cloud]),
        [*CLAIMS[type_tag](state), *(((dot, "expires at"), at) for dot, at in expiries)],
        type_tag,
        state,
        expiries,
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
