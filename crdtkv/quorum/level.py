"""Consistency levels: how many replicas a read asks and a write waits for.

A level is chosen per request. Counts refer to the home replicas of the key in the data center that receives the
request. At `EACH_QUORUM`, `REMOTE_QUORUM` and `ALL` other data centers count, too: all of them, or one at
`REMOTE_QUORUM`. At the two *sloppy* levels, `ANY` and `SLOPPY_QUORUM`, fallback replicas count in the place of replicas
that are down.

If `R + W > N`, a read sees every earlier acknowledged write of this data center. That is not linearizability. Only
`LINEARIZABLE` guarantees that, for registers that are used at no other level.

Every later read at `LOCAL_QUORUM`, in any data center, sees a write at `EACH_QUORUM`; and a read at `EACH_QUORUM` sees
every earlier write at `LOCAL_QUORUM`, of any data center. A write at `REMOTE_QUORUM` survives the loss of its whole
data center.
"""

from dataclasses import dataclass, field

from crdtkv.errors import InvalidRequest

MAX_TEXT = 16
#: The largest explicit count, above the number of replicas of any data center.
MAX_COUNT = 9_999
#: The names of all levels, the weakest first.
LEVEL_NAMES = (
    "ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL", "LINEARIZABLE", "REMOTE_QUORUM", "EACH_QUORUM", "ALL",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConsistencyLevel:
    """A level by name; `read` and `write` are explicit counts, set only for `Quorum`."""

    name: str
    read: int = 0
    write: int = 0
    #: Whether fallback replicas count.
    is_sloppy: bool = field(init=False, repr=False, compare=False)
    #: Whether writes have two phases, and reads return nothing that a later read could miss.
    is_linearizable: bool = field(init=False, repr=False, compare=False)
    #: Whether other data centers count.
    spans_datacenters: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that a node accepts the level.

        Raises:
            InvalidRequest: there is no such level.
        """
        object.__setattr__(self, "is_sloppy", self.name in ("ANY", "SLOPPY_QUORUM"))
        object.__setattr__(self, "is_linearizable", self.name == "LINEARIZABLE")
        object.__setattr__(self, "spans_datacenters", self.name in ("REMOTE_QUORUM", "EACH_QUORUM", "ALL"))
        counts = self.read, self.write
        are_counts = all(type(count) is int and 1 <= count <= MAX_COUNT for count in counts)
        if not (are_counts if self.name == "QUORUM" else self.name in LEVEL_NAMES and counts == (0, 0)):
            raise InvalidRequest(
                f"no such level: {self.name!r:.40}, one of {', '.join(LEVEL_NAMES)}, or Quorum(r=, w=)"
            )

    def __repr__(self) -> str:
        return f"Quorum(r={self.read}, w={self.write})" if self.name == "QUORUM" else self.name

    def read_quorum(self, replication_factor: int) -> int:
        """Return how many of N replicas a read waits for.

        Raises:
            InvalidRequest: the count exceeds N.
        """
        return self._count(self.read, replication_factor)

    def write_quorum(self, replication_factor: int) -> int:
        """Return how many of N replicas must have fsynced a write.

        Raises:
            InvalidRequest: the count exceeds N.
        """
        return self._count(self.write, replication_factor)

    def remote_quorum(self, others: int) -> int:
        """Return how many of the other data centers a request waits for."""
        if not self.spans_datacenters:
            return 0
        return min(1, others) if self.name == "REMOTE_QUORUM" else others

    def to_wire(self) -> str:
        """Return the level as text: its name, or `r,w` for explicit counts."""
        return f"{self.read},{self.write}" if self.read else self.name

    def _count(self, explicit: int, replication_factor: int) -> int:
        match self.name:
            case "ANY" | "ONE":
                return 1
            case "LOCAL_QUORUM" | "SLOPPY_QUORUM" | "LINEARIZABLE" | "REMOTE_QUORUM" | "EACH_QUORUM":
                return majority(replication_factor)
            case "LOCAL_ALL" | "ALL":
                return replication_factor
        if explicit > replication_factor:
            raise InvalidRequest(f"{self!r} asks more replicas than the {replication_factor} there are")
        return explicit


def majority(count: int) -> int:
    """Return the size of the smallest sets of `count` replicas of which any two overlap."""
    return count // 2 + 1


ANY = ConsistencyLevel("ANY")
ONE = ConsistencyLevel("ONE")
SLOPPY_QUORUM = ConsistencyLevel("SLOPPY_QUORUM")
LOCAL_QUORUM = ConsistencyLevel("LOCAL_QUORUM")
LOCAL_ALL = ConsistencyLevel("LOCAL_ALL")
LINEARIZABLE = ConsistencyLevel("LINEARIZABLE")
REMOTE_QUORUM = ConsistencyLevel("REMOTE_QUORUM")
EACH_QUORUM = ConsistencyLevel("EACH_QUORUM")
ALL = ConsistencyLevel("ALL")

_NAMED = {
    level.name: level
    for level in (
        ANY, ONE, SLOPPY_QUORUM, LOCAL_QUORUM, LOCAL_ALL, LINEARIZABLE, REMOTE_QUORUM, EACH_QUORUM, ALL,
    )
}  # fmt: skip


def Quorum(r: int, w: int) -> ConsistencyLevel:  # noqa: N802 - reads as a level among the others
    """Return the level at which a read waits for `r` replicas and a write for `w`.

    Raises:
        InvalidRequest: a count is not between 1 and `MAX_COUNT`.
    """
    if type(r) is not int or type(w) is not int or not (1 <= r <= MAX_COUNT and 1 <= w <= MAX_COUNT):
        raise InvalidRequest("Quorum(r=, w=) takes whole numbers from 1")
    return ConsistencyLevel("QUORUM", r, w)


def level_named(text: str) -> ConsistencyLevel:
    """Return the level of that name, in upper or lower case; `2,1` means Quorum(r=2, w=1).

    Raises:
        InvalidRequest: there is no such level.
    """
    if isinstance(text, str) and len(text) <= MAX_TEXT:
        level = _NAMED.get(text.upper())
        if level is not None:
            return level
        read, comma, write = text.partition(",")
        if comma and read.strip().isdecimal() and write.strip().isdecimal():
            return Quorum(r=int(read), w=int(write))
    raise InvalidRequest(f"unknown consistency level {text!r}: one of {', '.join(_NAMED)}, or r,w as numbers")
