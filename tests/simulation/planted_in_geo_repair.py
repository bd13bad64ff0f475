"""Planted bugs of anti-entropy between data centers (`planted_bugs`)."""

from typing import Any

from crdtkv.node.geo.anti_entropy import GeoAntiEntropy, _Session
from crdtkv.node.repair.exchange import ExchangeCall, Findings, Taken
from crdtkv.node.replica.comparison_marks import ComparisonMarks

from .planting import Bug, replaced


def mark_cleared_after_the_first_exchange() -> Any:
    """A session counts as done after one exchange, whatever is left."""
    note = _Session.note

    def wrong(self: _Session, findings: Findings) -> None:
        note(self, findings)
        self._not_given = set()
        self.left = {}

    return replaced(_Session, "note", wrong)


def mark_cleared_although_it_was_set_again() -> Any:
    """A session clears its mark, also if rows were dropped while it compared."""
    return replaced(ComparisonMarks, "times_set", lambda self, datacenter: 0)


def entries_that_were_refused_counted_as_taken() -> Any:
    """A full disk, or a lost majority, counts as success."""
    take = GeoAntiEntropy.take

    def wrong(self: GeoAntiEntropy, partition: int, items: list[object], then: Any) -> None:
        take(self, partition, items, lambda taken: then(Taken(len(items), taken.size_bytes, is_whole=True)))

    return replaced(GeoAntiEntropy, "take", wrong)


def exchange_that_only_takes() -> Any:
    """A node takes what it lacks, and gives nothing."""
    return replaced(ExchangeCall, "_give", lambda self, partition, wishes: None)


#: Bug: within how many seeds it must be found.
BUGS_OF_GEO_REPAIR: dict[Bug, int] = {
    mark_cleared_after_the_first_exchange: 150,
    mark_cleared_although_it_was_set_again: 300,
    entries_that_were_refused_counted_as_taken: 300,
    exchange_that_only_takes: 150,
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_GEO_REPAIR: dict[Bug, int] = {
    mark_cleared_after_the_first_exchange: 25,
    mark_cleared_although_it_was_set_again: 100_005,
    entries_that_were_refused_counted_as_taken: 25,
}
