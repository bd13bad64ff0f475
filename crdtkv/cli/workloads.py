"""What a benchmark does: single operations on uniformly chosen records, and the core workloads A to F of YCSB.

A workload says how often each kind of operation comes, and on which record. YCSB's records have ten fields, and an
update writes one of them; a record here is one value, which an update replaces. What a kind of operation is in a store
is left to whoever carries it out.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from crdtkv.cli.record_choice import Choice, Latest, ScrambledZipfian, Uniform

READ, UPDATE, INSERT, SCAN, READ_MODIFY_WRITE = "read", "update", "insert", "scan", "read-modify-write"
LONGEST_SCAN = 100


class Call(NamedTuple):
    """One operation on a record; `length` is how many records a scan reads."""

    kind: str
    record: int
    length: int = 0


class Workload(NamedTuple):
    """Kinds of operations with their shares, which sum up to 1, and the choice of records among so many."""

    name: str
    shares: dict[str, float]
    choice: Callable[[int], Choice]


YCSB = {
    workload.name: workload
    for workload in (
        Workload("a", {READ: 0.5, UPDATE: 0.5}, ScrambledZipfian),
        Workload("b", {READ: 0.95, UPDATE: 0.05}, ScrambledZipfian),
        Workload("c", {READ: 1.0}, ScrambledZipfian),
        Workload("d", {READ: 0.95, INSERT: 0.05}, Latest),
        Workload("e", {SCAN: 0.95, INSERT: 0.05}, ScrambledZipfian),
        Workload("f", {READ: 0.5, READ_MODIFY_WRITE: 0.5}, ScrambledZipfian),
    )
}


def only(kind: str) -> Workload:
    """Return the workload of one kind of operation, on any record alike."""
    return Workload("", {kind: 1.0}, lambda _: Uniform())


class Records:
    """The records of a run: numbered from 0, the first `count` there from the beginning, the others inserted.

    `count` are those whose insertions, and all earlier ones, have ended: a read of them finds something if the
    insertion did not fail.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._next = count
        self._ended: set[int] = set()

    def begin(self) -> int:
        """Return the number of the record to insert next."""
        self._next += 1
        return self._next - 1

    def ended(self, record: int) -> None:
        """Note that the insertion of a record has ended."""
        self._ended.add(record)
        while self.count in self._ended:
            self._ended.remove(self.count)
            self.count += 1


class Mix:
    """The operations of a workload, drawn one after the other."""

    def __init__(self, workload: Workload, records: Records) -> None:
        self._shares = list(workload.shares.items())
        self._records = records
        self._choice = workload.choice(records.count)

    def draw(self, random: Random) -> Call:
        """Return the next operation. When it has ended, however, `ended` is to be called."""
        kind = self._kind(random)
        if kind == INSERT:
            return Call(kind, self._records.begin())
        record = self._choice.record(random, self._records.count)
        return Call(kind, record, 1 + int(random.random() * LONGEST_SCAN) if kind == SCAN else 0)

    def ended(self, call: Call) -> None:
        """Note that an operation has ended."""
        if call.kind == INSERT:
            self._records.ended(call.record)

    def _kind(self, random: Random) -> str:
        if len(self._shares) > 1:
            left = random.random()
            for kind, share in self._shares:
                if left < share:
                    return kind
                left -= share
        return self._shares[0][0]
