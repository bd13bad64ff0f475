"""`ReadQuorum` and `ReadCall`: one quorum read in flight.

A read asks R replicas and keeps the others as spares. It asks one spare when a replica fails, and one whenever the
hedge timer fires (`ReadQuorum`). When R replicas have answered, `ReadCall` merges their entries. If all answers are the
same bytes, that is the result. Otherwise the replicas that lacked something get the merged entry, and the read returns
only when R replicas hold it (blocking read repair): a later quorum read then sees the same value. A replica that cannot
store the entry (its disk is full) counts as one that has not answered, and another one is asked instead. This is
correct because any R replicas together hold everything that a quorum has acknowledged.
"""

from collections.abc import Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.quorum.tally import Outcome, Tally

#: The answer, in place of an entry, of a replica that holds less than the reading node.
OLDER = b""


class ReadQuorum:
    """Which replicas a read has asked, which are its spares, and how many have answered."""

    def __init__(self, replicas: Sequence[str], required: int) -> None:
        """Prepare to read from `required` of `replicas`, the preferred first."""
        self.required = required
        self._spares = list(replicas[required:])
        self._asked = list(replicas[:required])
        self._tally = Tally(replicas, required)

    @property
    def to_ask(self) -> list[str]:
        """The replicas to ask first."""
        return list(self._asked)

    @property
    def outcome(self) -> Outcome:
        """Whether enough replicas have answered."""
        return self._tally.outcome

    @property
    def received(self) -> int:
        """The number of replicas that have answered."""
        return self._tally.received

    def count(self, replica: str) -> bool:
        """Count the answer of a replica; return False if it does not count (again)."""
        if not self._tally.is_open(replica):
            return False
        self._tally.ok(replica)
        return True

    def fail(self, replica: str) -> str | None:
        """Count a replica's failure; return the spare to ask instead, None if there is none or none is needed."""
        is_enough = self._tally.outcome is Outcome.REACHED
        was_asked = replica in self._asked and self._tally.is_open(replica)
        if was_asked:
            self._asked.remove(replica)
        self._tally.fail(replica)
        if replica in self._spares:
            self._spares.remove(replica)
        return self._next_spare() if was_asked and not is_enough else None

    @property
    def has_spares(self) -> bool:
        """Whether there is a replica that was not asked yet."""
        return bool(self._spares)

    def hedge(self) -> str:
        """Take the next spare, which the caller asks now; there must be one."""
        spare = self._spares.pop(0)
        self._asked.append(spare)
        return spare

    def _next_spare(self) -> str | None:
        return self.hedge() if self._spares else None


class ReadCall(ReadQuorum):
    """The bookkeeping of the read of one key; entries are stored bytes, None if a replica has no entry."""

    def __init__(self, replicas: Sequence[str], required: int) -> None:
        """Prepare to read from `required` of `replicas`, the preferred first."""
        super().__init__(replicas, required)
        self._answers: dict[str, bytes | None] = {}

    def answer(self, replica: str, entry: bytes | None) -> None:
        """Count a replica's answer."""
        if self.count(replica):
            self._answers[replica] = entry

    def result(self, known: Entry | None = None) -> tuple[bytes | None, list[str]]:
        """Return the merged entry, and the replicas that hold another one; call once the outcome is reached.

        `known` is the entry of the reading node, which replicas that answered `OLDER` lack in part.
        """
        distinct = dict.fromkeys(answer for answer in self._answers.values() if answer)
        if known is not None and OLDER in self._answers.values():
            distinct[known.to_bytes()] = None
        merged = join(list(distinct))
        stale = sorted(replica for replica, answer in self._answers.items() if answer != merged)
        return merged, stale

    def repaired(self, replica: str, merged: bytes) -> None:
        """Note that a replica that lacked something now holds the result."""
        if replica in self._answers:
            self._answers[replica] = merged

    def retract(self, replica: str) -> str | None:
        """Remove the answer of a replica that cannot be repaired; return the spare to ask instead, None if needless."""
        self._answers.pop(replica, None)
        if replica in self._asked:
            self._asked.remove(replica)
        answered, self._tally = self._answers, Tally([*self._asked, *self._spares], self.required)
        for name in answered:
            self._tally.ok(name)
        return self._next_spare() if self._tally.outcome is not Outcome.REACHED else None

    def repair_tally(self, stale: Sequence[str]) -> Tally:
        """Return a tally of the replicas that hold the result; those that need no repair are counted already."""
        tally = Tally(self._answers, self.required)
        for replica in self._answers:
            if replica not in stale:
                tally.ok(replica)
        return tally


def join(entries: Sequence[bytes]) -> bytes | None:
    """Return the join of the stored bytes of one key from several replicas; None if there are none."""
    if not entries:
        return None
    merged = Entry.from_bytes(entries[0]) if len(entries) > 1 else None
    if merged is None:
        return entries[0]
    for entry in entries[1:]:
        merged = merged.merge(Entry.from_bytes(entry))
    return merged.to_bytes()
