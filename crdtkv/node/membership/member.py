"""`Member`: one row of the member table, and the rule that merges two rows about the same node.

Only the node itself writes its row: it increments its heartbeat every round, and no other node can. Two rows about a
node are ordered by `(generation, heartbeat)`. The generation counts the node's starts, because its incarnation is a
random number and orders nothing. The higher row wins as a whole, and all suspicions of the lower one are dropped: a
suspicion means "since this very heartbeat I have seen no other", and a newer heartbeat refutes it. Suspicions of the
same heartbeat are united.

Only the first `SUSPICIONS_MAX` suspecting observers by name are kept. Two are enough to show every reader that an
observer other than itself suspects the node as well, and a node that dies in a ring of a thousand does not make its row
carry a thousand names. The smallest names of a union do not depend on the order of uniting, so `joined` is commutative,
associative and idempotent.

Source: van Renesse, Minsky, Hayden, "A Gossip-Style Failure Detection Service" (1998).
"""

from collections.abc import Iterable
from typing import NamedTuple

SUSPICIONS_MAX = 2


class Load(NamedTuple):
    """The load of a node, in integers, because they are small on the wire."""

    operations_per_s: int = 0
    queue_depth: int = 0
    commit_us: int = 0
    disk_used_percent: int = 0


NO_LOAD = Load()


class Member(NamedTuple):
    """One node's row; `suspicions` are the observers that suspect the node at this very heartbeat, sorted."""

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
        """The order of rows about one node."""
        return self.generation, self.heartbeat

    def with_suspicions(self, observers: Iterable[str]) -> "Member":
        """Return this row with these observers added to its suspicions."""
        doubting = tuple(sorted({*self.suspicions, *observers})[:SUSPICIONS_MAX])
        return self if doubting == self.suspicions else self._replace(suspicions=doubting)


def joined(one: Member, other: Member) -> Member:
    """Return the join of two rows about the same node; one of the two objects, if it equals the join."""
    # As tuples, rows about a node are ordered by generation, then heartbeat. The other fields matter only for a node
    # that lost its count of starts and reuses a generation: until it receives its own row, all take the greater row.
    greater, lesser = (one, other) if one >= other else (other, one)
    if lesser.suspicions and lesser.version == greater.version:
        return greater.with_suspicions(lesser.suspicions)
    return greater
