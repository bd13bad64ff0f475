"""Planted bugs of value types and of times to live; see `planted_bugs`."""

from typing import Any

from crdtkv.causality.context import CausalContext
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.board import Board, Score
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.causal import Delta
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.flags import EnableWinsFlag
from crdtkv.crdt.hll import HyperLogLog
from crdtkv.crdt.joined import MaxRegister
from crdtkv.crdt.map import Map
from crdtkv.ids import node_of
from crdtkv.node.replica.replica import Replica

from .planting import Bug, replaced


def disable_takes_what_its_client_had_not_read() -> Any:
    """A disable that is handed a context takes all enables its coordinator holds, instead of those that were read."""
    right = EnableWinsFlag.apply

    def wrong(self: Any, context: Any, operation: str, arguments: list[object], event: Any, seen: Any) -> Delta:
        return right(self, context, operation, arguments, event, None if operation == "disable" else seen)

    return replaced(EnableWinsFlag, "apply", wrong)


def later_instead_of_greater() -> Any:
    """A `maxreg` keeps what was written last."""
    return replaced(MaxRegister, "_join", classmethod(lambda cls, one, other: other))


def sketch_of_the_last_add() -> Any:
    """An add to an `hll` drops all that was counted before."""
    return replaced(HyperLogLog, "_join", classmethod(lambda cls, one, other: other))


def decrement_without_rights() -> Any:
    """Nobody looks whether the rights suffice."""
    return replaced(BoundedCounter, "_check_rights", lambda self, owner, amount: None)


def rights_of_the_whole_counter() -> Any:
    """Whoever decrements looks at the value, and not at the rights that are its own."""
    return replaced(BoundedCounter, "rights_of", lambda self, actor: self.value)


def field_removed_with_all_that_is_beside_it() -> Any:
    """The removal of a field of a map claims to have seen the whole map: other replicas remove other fields, too."""
    right = Map.apply

    def wrong(self: Map, context: Any, operation: str, arguments: list[object], event: Any, seen: Any) -> Delta:
        delta = right(self, context, operation, arguments, event, seen)
        is_removal = operation == "update" and arguments[1] == "delete"
        return Delta(delta.state, delta.context.merge(context)) if is_removal else delta

    return replaced(Map, "apply", wrong)


def set_score_swallows_increments_beside_it() -> Any:
    """A score is the last one that was set; what was added at the same time does not count."""
    right = Score.__dict__["value"].fget

    def wrong(self: Score) -> Any:
        return right(Score(self.sets, {})) if self.sets else right(self)

    return replaced(Score, "value", property(wrong))


def board_increment_lost_with_its_slot() -> Any:
    """Of two nodes' increments of one member only one is kept."""
    right = Board.merge

    def wrong(self: Board, mine: CausalContext, other: Board, theirs: CausalContext) -> Board:
        merged = right(self, mine, other, theirs)
        scores = {
            member: Score(score.sets, dict(sorted(score.slots.items())[-1:])) for member, score in merged.scores.items()
        }
        return Board(scores)

    return replaced(Board, "merge", wrong)


def expired_shown_by_one_node() -> Any:
    """The first node of a data center shows what it has stored, whether that is over or not."""
    right = Replica.as_of_now

    def wrong(self: Replica, encoded: bytes | None) -> bytes | None:
        return encoded if node_of(self.actor).endswith("-1") else right(self, encoded)

    return replaced(Replica, "as_of_now", wrong)


def expiry_lost_in_a_merge() -> Any:
    """An entry that is merged keeps its own expiries, and takes over none: what was over elsewhere comes back."""
    right = Entry.merge

    def wrong(self: Entry, other: Entry) -> Entry:
        merged = right(self, other)
        return merged if merged is self or merged is other else Entry(merged.state, merged.context, self.expiries)

    return replaced(Entry, "merge", wrong)


def short_time_to_live_takes_the_longer_with_it() -> Any:
    """What is counted or joined expires when the last write does, whatever it goes on with."""

    def wrong(self: Entry, expires_at: HybridTimestamp, continued: Any) -> HybridTimestamp | None:
        return expires_at

    return replaced(Entry, "_latest", wrong)


def expires_a_little_early() -> Any:
    """A time to live has a tenth of its length."""
    right = Replica.made

    def wrong(self: Replica, *request: Any) -> Any:
        *rest, ttl_ms = request
        return right(self, *rest, ttl_ms // 10 if ttl_ms else 0)

    return replaced(Replica, "made", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_TYPES: dict[Bug, int] = {
    disable_takes_what_its_client_had_not_read: 150,
    later_instead_of_greater: 150,
    sketch_of_the_last_add: 150,
    decrement_without_rights: 150,
    rights_of_the_whole_counter: 150,
    field_removed_with_all_that_is_beside_it: 150,
    set_score_swallows_increments_beside_it: 150,
    board_increment_lost_with_its_slot: 150,
    expired_shown_by_one_node: 150,
    expiry_lost_in_a_merge: 150,
    short_time_to_live_takes_the_longer_with_it: 150,
    expires_a_little_early: 150,
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_TYPES: dict[Bug, int] = {
    disable_takes_what_its_client_had_not_read: 100_044,
    later_instead_of_greater: 100_002,
    sketch_of_the_last_add: 9,
    decrement_without_rights: 100_000,
    rights_of_the_whole_counter: 9,
    set_score_swallows_increments_beside_it: 22,
    board_increment_lost_with_its_slot: 20,
    short_time_to_live_takes_the_longer_with_it: 200_000,
}
