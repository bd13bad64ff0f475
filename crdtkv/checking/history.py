"""The operations of clients and their results: the only input of the checkers.

A history is a list of operations, one JSON object per line in a file, so that the simulator, the tests on real
processes and other programs can write one and have it checked (`python -m crdtkv.checking FILE`).

There are three outcomes: `ok`; `fail`, which was certainly not applied; and `info`, which may have been applied, may be
applied later, or never. Values written to one key are unique, so a read shows which writes it saw.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

#: A set of dots: per actor `[n, more…]`, which means its dots 1..n and the others.
Context = dict[str, list[int]]
Dot = tuple[str, int]

WRITES = frozenset(
    ("put", "delete", "increment", "decrement", "add", "remove", "enable", "disable", "set", "update", "transfer")
)
#: `scan` is a key in a page of a scan; `final` is a read of everything in one data center, at the end, when the cluster
#: is healed and idle.
KINDS = WRITES | {"get", "scan", "final"}
OUTCOMES = frozenset(("ok", "fail", "info"))


@dataclass(slots=True)
class Operation:
    """One call.

    `argument` is the value put, the element added or removed, or the amount, or a list of all arguments; `seen` is the
    context that the client passed. The written value expires after `ttl_ms`, unless that is 0. A read was answered
    between the hybrid times `earliest` and `latest`, if that is known.

    `reads` and `writes` say how many of the `replicas` in `datacenter` the level requires. `began` and `ended` are
    seconds of one clock; a call without an answer has not ended. An acknowledged write has its `dot` and `timestamp` if
    the client received them; a read has `values`, `context` and the `timestamp` of what it saw. Operations of one
    `session` have more guarantees. An operation that was carried out more than once, because a disk had lost it, has an
    unknown outcome, and `repeated` has its dots.
    """

    client: str
    datacenter: str
    kind: str
    type: str
    key: str
    began: float
    argument: Any = None
    seen: Context | None = None
    level: str = ""
    reads: int = 1
    writes: int = 1
    replicas: int = 1
    session: str = ""
    outcome: str = "info"
    ended: float = math.inf
    dot: Dot | None = None
    timestamp: int = 0
    values: list[Any] | None = None
    context: Context | None = None
    #: The highest timestamp the client had seen before.
    observed: int = 0
    repeated: list[Dot] | None = None
    ttl_ms: int = 0
    earliest: int = 0
    latest: int = 0

    def __str__(self) -> str:
        what = "" if self.argument is None else f" {self.argument}"
        named = f" {self.dot[0]}:{self.dot[1]}" if self.dot else ""
        read = f" -> {self.values}" if self.values is not None else ""
        return (
            f"{self.client} {self.kind}{what} {self.type}/{self.key} in {self.datacenter} at {self.level}, "
            f"{self.began:.3f}..{self.ended:.3f} {self.outcome}{named}{read}"
        )

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the operation."""
        if isinstance(self.argument, list):
            return tuple(self.argument)
        return () if self.argument is None else (self.argument,)

    @property
    def effect_ended(self) -> float:
        """The latest time of its effect: its end, or infinity for an unknown outcome."""
        return self.ended if self.outcome == "ok" else math.inf

    def is_before(self, other: "Operation") -> bool:
        """Return whether this operation had ended, including its effect, when the other began."""
        return self.effect_ended < other.began

    def may_be_in(self, context: Context | None) -> bool:
        """Return whether this write can be part of what was read with a context: that has its dot, or one of its dots.

        The dot of a write of unknown outcome may be unknown; then it can.
        """
        dots = self.repeated or ((self.dot,) if self.dot is not None else ())
        return not dots or any(covers(context, dot) for dot in dots)

    def to_json(self) -> str:
        """Return the operation as one line."""
        document = asdict(self)
        document["ended"] = None if math.isinf(self.ended) else self.ended
        return json.dumps(document)

    @classmethod
    def from_json(cls, line: str) -> "Operation":
        """Parse one line.

        Raises:
            ValueError: it is no operation.
        """
        document = json.loads(line)
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or not set(document) <= names:
            raise ValueError(f"not an operation: {line:.80}")
        try:
            operation = cls(**document)
        except TypeError as error:
            raise ValueError(f"not an operation ({error}): {line:.80}") from None
        if operation.kind not in KINDS or operation.outcome not in OUTCOMES:
            raise ValueError(f"unknown kind {operation.kind!r} or outcome {operation.outcome!r}")
        operation.ended = math.inf if operation.ended is None else operation.ended
        operation.dot = (operation.dot[0], operation.dot[1]) if operation.dot else None
        return operation


@dataclass(slots=True)
class KeyHistory:
    """All operations on one key, sorted for the checkers."""

    type: str
    key: str
    #: Acknowledged writes.
    acknowledged: list[Operation]
    #: Writes that may have been applied: the acknowledged ones and those of unknown outcome.
    possible: list[Operation]
    #: Writes that were certainly not applied.
    refused: list[Operation]
    #: All successful reads, at any level, including the last ones.
    results: list[Operation]
    finals: list[Operation]

    @property
    def name(self) -> str:
        """The key as text."""
        return f"{self.type}/{self.key}"

    @property
    def is_timed(self) -> bool:
        """Whether any value that may have been written expires."""
        return any(write.ttl_ms for write in self.possible)


def by_key(history: Iterable[Operation]) -> Iterator[KeyHistory]:
    """Sort a history by key."""
    keys: dict[tuple[str, str], list[Operation]] = {}
    for operation in history:
        keys.setdefault((operation.type, operation.key), []).append(operation)
    for (type_tag, key), operations in sorted(keys.items()):
        writes = [operation for operation in operations if operation.kind in WRITES]
        results = [op for op in operations if op.kind not in WRITES and op.outcome == "ok"]
        yield KeyHistory(
            type_tag,
            key,
            [op for op in writes if op.outcome == "ok"],
            [op for op in writes if op.outcome != "fail"],
            [op for op in writes if op.outcome == "fail"],
            results,
            [op for op in results if op.kind == "final"],
        )


def covers(context: Context | None, dot: Dot | None) -> bool:
    """Return whether a context contains a dot."""
    if not context or dot is None:
        return False
    counters = context.get(dot[0])
    return counters is not None and (dot[1] <= counters[0] or dot[1] in counters[1:])


def dots_of(context: Context | None) -> frozenset[Dot]:
    """Return the dots in a context."""
    return frozenset(
        (actor, counter) for actor, (run, *more) in (context or {}).items() for counter in (*range(1, run + 1), *more)
    )


def missing(context: Context, other: Context) -> Dot | None:
    """Return a dot of `other` that `context` lacks, None if it has all."""
    for actor, (run, *more) in sorted(other.items()):
        mine = context.get(actor, [0])
        if mine[0] < run:
            beyond = set(mine[1:])
            for counter in range(mine[0] + 1, run + 1):
                if counter not in beyond:
                    return actor, counter
        for counter in more:
            if not covers(context, (actor, counter)):
                return actor, counter
    return None


def read_lines(lines: Iterable[str]) -> list[Operation]:
    """Parse a file of operations; empty lines are skipped.

    Raises:
        ValueError: a line is no operation.
    """
    return [Operation.from_json(line) for line in lines if line.strip()]
