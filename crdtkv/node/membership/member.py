"""`Member`: one row of the table, what is known of one node, and the one rule which of two rows holds.

A row is written by its own node only: it counts its heartbeat up every round, and nobody else can. Two rows about a
node are ordered by `(generation, heartbeat)`. The generation counts the node's starts, because its incarnation is a
random number and orders nothing. The higher row wins as a whole, and with it goes every doubt about the lower one:
a suspicion says "since this very heartbeat I have seen no other", and a newer heartbeat has answered it. Doubts about
the same heartbeat are united.

Of the observers who doubt, only the first `SUSPICIONS_MAX` by name are kept. Two are enough to tell every reader that
somebody other than itself doubts as well, and a node that dies in a ring of a thousand does not make its row carry a
thousand names. The smallest names of a union do not depend on the order of uniting, so `joined` is commutative,
associative and idempotent.

Source: van Renesse, Minsky, Hayden, "A Gossip-Style Failure Detection Service" (1998).
"""

from collections.abc import Iterable
from typing import NamedTuple

SUSPICIONS_MAX = 2


class Load(NamedTuple):
    """How busy a node is, in whole numbers, because they are small on the wire."""

    operations_per_s: int = 0
    queue_depth: int = 0
    commit_us: int = 0
    disk_used_percent: int = 0


NO_LOAD = Load()


class Member(NamedTuple):
    """What is known of one node; `suspicions` are the observers who doubt this very heartbeat, sorted."""

    node: str
    generation: int = 0
    heartbeat: int = 0
    incarnation: int = 0
    load: Load = NO_LOAD
    suspicions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        doubted = f" doubted by {', '.join(self.suspicions)}" if self.suspicions else ""
        return f"{self.node} {self.generation}:{self.heartbeat}{doubted}"

    @property
    def version(self) -> tuple[int, int]:
        """What orders rows about one node."""
        return self.generation, self.heartbeat

    def with_suspicions(self, observers: Iterable[str]) -> "Member":
        """Return this row, doubted by these observers as well."""
        doubting = tuple(sorted({*self.suspicions, *observers})[:SUSPICIONS_MAX])
        return self if doubting == self.suspicions else self._replace(suspicions=doubting)


def joined(one: Member, other: Member) -> Member:
    """Return the join of two rows about the same node: one of them, if it says it all."""
    # As tuples, rows about a node are ordered by generation, then heartbeat. What follows matters only for a node that
    # lost count of its starts and reuses a generation: until it hears of itself, all agree on the greater content.
    greater, lesser = (one, other) if one >= other else (other, one)
    if lesser.suspicions and lesser.version == greater.version:
        return greater.with_suspicions(lesser.suspicions)
    return greater
