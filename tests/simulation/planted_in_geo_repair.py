"""Planted bugs of anti-entropy between data centers (`planted_bugs`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crdtkv.node.enrollment.enrollment import Enrollment
from crdtkv.node.geo.anti_entropy import GeoAntiEntropy, _Pair, _Session
from crdtkv.node.geo.lost_outboxes import LostOutboxes
from crdtkv.node.quorum_calls.applying import ApplyCall
from crdtkv.node.repair.exchange import SILENCE_S, ExchangeCall, Findings, Taken
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


def given_to_one_replica() -> Any:
    """A partition counts as given when one replica of the other data center holds it."""
    note = _Session.note

    def wrong(self: _Session, findings: Findings) -> None:
        note(self, findings)
        self._not_given -= findings.compared

    return replaced(_Session, "note", wrong)


def mark_cleared_although_it_was_set_again() -> Any:
    """A session clears its mark, also if rows were dropped while it compared."""
    return replaced(ComparisonMarks, "times_set", lambda self, datacenter: 0)


def silent_node_counted_as_compared() -> Any:
    """An exchange that ends without an answer counts as done."""
    timer = ExchangeCall.timer

    def wrong(self: ExchangeCall, purpose: str) -> None:
        if self._step.now.monotonic_s - self._heard_at >= SILENCE_S:
            self._findings.compared = set(self._findings.asked)
        timer(self, purpose)

    return replaced(ExchangeCall, "timer", wrong)


def entries_taken_before_a_majority_has_them() -> Any:
    """Entries of an exchange are acknowledged when this node alone has them."""
    take, start = GeoAntiEntropy.take, ApplyCall.start

    def wrong(self: GeoAntiEntropy, partition: int, items: list[object], then: Any) -> None:
        def alone(call: ApplyCall, entries: Any, homes: Any, required: int, deadline_s: float) -> None:
            start(call, entries, homes, 1, deadline_s)

        with replaced(ApplyCall, "start", alone):
            take(self, partition, items, then)

    return replaced(GeoAntiEntropy, "take", wrong)


def entries_that_were_refused_counted_as_taken() -> Any:
    """A full disk, or a lost majority, counts as success."""
    take = GeoAntiEntropy.take

    def wrong(self: GeoAntiEntropy, partition: int, items: list[object], then: Any) -> None:
        take(self, partition, items, lambda taken: then(Taken(len(items), taken.size_bytes, is_whole=True)))

    return replaced(GeoAntiEntropy, "take", wrong)


def lost_outbox_not_noticed() -> Any:
    """Nobody compares anything when a replica has lost its outbox."""
    return replaced(LostOutboxes, "incarnation_seen", lambda self, node, incarnation: None)


def lost_data_center_not_filled() -> Any:
    """Nodes that have learned from learners do not ask other data centers."""
    learn = Enrollment._learn

    def wrong(self: Enrollment) -> None:
        self._learned_from_learners = False
        with replaced(ComparisonMarks, "set_all", lambda marks, kind: None):
            learn(self)

    return replaced(Enrollment, "_learn", wrong)


def exchange_that_only_takes() -> Any:
    """A node takes what it lacks, and gives nothing."""
    return replaced(ExchangeCall, "_give", lambda self, partition, wishes: None)


def learner_that_answers_other_data_centers() -> Any:
    """A node that does not count answers exchanges, and counts as a replica that holds what was given."""

    @contextmanager
    def planted() -> Iterator[None]:
        with replaced(GeoAntiEntropy, "counts", property(lambda self: True)):
            yield

    return planted()


def no_comparison_without_a_mark() -> Any:
    """Data centers compare nothing as long as no mark is set."""
    run_due = _Pair.run_due

    def wrong(self: _Pair) -> None:
        if self._session is not None or self._needs_session:
            run_due(self)
        else:
            self._next_at = self._step.now.monotonic_s + 3600

    return replaced(_Pair, "run_due", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_GEO_REPAIR: dict[Bug, int] = {
    mark_cleared_after_the_first_exchange: 150,
    given_to_one_replica: 300,
    mark_cleared_although_it_was_set_again: 300,
    silent_node_counted_as_compared: 300,
    entries_taken_before_a_majority_has_them: 300,
    entries_that_were_refused_counted_as_taken: 300,
    lost_outbox_not_noticed: 300,
    lost_data_center_not_filled: 300,
    exchange_that_only_takes: 150,
    no_comparison_without_a_mark: 300,
}
#: The class of runs in which they are searched.
CLASSES_OF_GEO_REPAIR: dict[Bug, str] = {
    silent_node_counted_as_compared: "nats",
    lost_outbox_not_noticed: "disks",
    lost_data_center_not_filled: "disks",
    no_comparison_without_a_mark: "disks",
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_GEO_REPAIR: dict[Bug, int] = {}
