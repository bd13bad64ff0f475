"""One quorum read: which replicas it asks, when it asks more, its result, and which replicas are repaired."""

import pytest

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.errors import ProtocolError
from crdtkv.quorum.read_call import ReadCall, join
from crdtkv.quorum.tally import Outcome

FIVE = ("a", "b", "c", "d", "e")


def put(on: Entry, actor: str, counter: int, value: bytes, seen: CausalContext | None = None) -> Entry:
    return on.merge(on.delta("put", [value], Event(Dot(actor, counter), 10 * counter), seen))


EMPTY = Entry.empty("register")
ONE = put(EMPTY, "n1", 1, b"one")
NEWER = put(ONE, "n1", 2, b"newer")
OTHER = put(EMPTY, "n2", 1, b"other")
BOTH = NEWER.merge(OTHER)


def read_of(answers: dict[str, Entry | None], required: int) -> ReadCall:
    """Return a read that all of these replicas have answered."""
    call = ReadCall(list(answers), required)
    for replica, entry in answers.items():
        call.answer(replica, entry.to_bytes() if entry else None)
    return call


def test_as_many_replicas_as_required_are_asked_the_preferred_first() -> None:
    assert ReadCall(FIVE, 3).to_ask == ["a", "b", "c"]
    assert ReadCall(FIVE, 5).to_ask == list(FIVE)


def test_the_read_is_reached_with_the_required_answers() -> None:
    call = ReadCall(("a", "b", "c"), 2)
    call.answer("a", None)
    assert (call.outcome, call.received) == (Outcome.PENDING, 1)
    call.answer("b", None)
    assert (call.outcome, call.received) == (Outcome.REACHED, 2)


def test_when_one_fails_the_next_spare_is_asked() -> None:
    call = ReadCall(FIVE, 2)
    assert call.fail("a") == "c"
    assert call.fail("b") == "d"
    assert call.outcome is Outcome.PENDING


def test_when_a_spare_fails_that_was_asked_another_is_asked() -> None:
    call = ReadCall(FIVE, 2)
    assert call.fail("a") == "c"
    assert call.fail("c") == "d"


def test_a_spare_that_fails_before_it_was_asked_is_not_asked() -> None:
    call = ReadCall(FIVE, 2)
    assert call.fail("c") is None
    assert call.fail("a") == "d"


def test_a_replica_that_fails_twice_is_replaced_once() -> None:
    call = ReadCall(FIVE, 2)
    assert call.fail("a") == "c"
    assert call.fail("a") is None


def test_a_replica_that_fails_after_its_answer_is_not_replaced() -> None:
    call = ReadCall(FIVE, 2)
    call.answer("a", None)
    assert call.fail("a") is None
    assert call.received == 1


def test_without_spares_a_failure_ends_the_read() -> None:
    call = ReadCall(("a", "b", "c"), 2)
    assert call.fail("a") == "c"
    assert call.fail("b") is None
    assert call.outcome is Outcome.IMPOSSIBLE


def test_each_hedge_asks_one_spare_until_there_are_none() -> None:
    call = ReadCall(FIVE, 2)
    assert call.fail("b") == "c"
    assert [call.hedge(), call.hedge()] == ["d", "e"]
    assert not call.has_spares


def test_after_all_hedges_a_failure_has_nobody_left_to_ask() -> None:
    call = ReadCall(FIVE, 2)
    while call.has_spares:
        call.hedge()
    assert call.fail("a") is None
    assert call.outcome is Outcome.PENDING
    call.answer("e", None)
    call.answer("d", None)
    assert call.outcome is Outcome.REACHED


def test_a_second_answer_of_a_replica_changes_nothing() -> None:
    call = ReadCall(("a", "b"), 2)
    call.answer("a", ONE.to_bytes())
    call.answer("a", OTHER.to_bytes())
    call.answer("b", ONE.to_bytes())
    assert call.result() == (ONE.to_bytes(), [])


def test_an_answer_of_a_replica_that_failed_or_is_unknown_changes_nothing() -> None:
    call = ReadCall(("a", "b", "c"), 2)
    call.fail("a")
    call.answer("a", OTHER.to_bytes())
    call.answer("z", OTHER.to_bytes())
    call.answer("b", ONE.to_bytes())
    call.answer("c", ONE.to_bytes())
    assert call.result() == (ONE.to_bytes(), [])


def test_equal_answers_are_the_result_as_they_are() -> None:
    assert read_of({"a": ONE, "b": ONE}, 2).result() == (ONE.to_bytes(), [])


def test_a_key_that_nobody_has_is_nothing_and_needs_no_repair() -> None:
    assert read_of({"a": None, "b": None}, 2).result() == (None, [])


def test_a_replica_without_the_entry_is_stale() -> None:
    assert read_of({"b": None, "a": None, "c": ONE}, 3).result() == (ONE.to_bytes(), ["a", "b"])


def test_a_replica_with_an_older_entry_is_stale() -> None:
    assert read_of({"a": ONE, "b": NEWER}, 2).result() == (NEWER.to_bytes(), ["a"])


def test_concurrent_entries_are_merged_and_all_are_stale() -> None:
    merged, stale = read_of({"a": NEWER, "b": OTHER}, 2).result()
    assert merged == BOTH.to_bytes()
    assert stale == ["a", "b"]


def test_the_order_of_the_answers_does_not_matter() -> None:
    one = read_of({"a": ONE, "b": OTHER, "c": NEWER}, 3)
    other = read_of({"c": NEWER, "b": OTHER, "a": ONE}, 3)
    assert one.result() == other.result() == (BOTH.to_bytes(), ["a", "b", "c"])


def test_who_answered_beyond_the_required_number_is_heard_too() -> None:
    assert read_of({"a": ONE, "b": ONE, "c": NEWER}, 2).result() == (NEWER.to_bytes(), ["a", "b"])


def test_a_deleted_entry_outlives_the_value_it_deleted() -> None:
    deleted = ONE.merge(ONE.delta("delete", [], Event(Dot("n2", 1), 99)))
    merged, stale = read_of({"a": ONE, "b": deleted, "c": None}, 3).result()
    assert merged == deleted.to_bytes()
    assert stale == ["a", "c"]
    assert Entry.from_bytes(merged).is_tombstone


def test_the_repair_is_reached_when_enough_replicas_hold_the_result() -> None:
    call = read_of({"a": ONE, "b": NEWER, "c": None}, 2)
    _, stale = call.result()
    tally = call.repair_tally(stale)
    assert repr(tally) == "1/2 (pending)"
    tally.ok("c")
    assert repr(tally) == "2/2 (reached)"


def test_the_repair_is_reached_at_once_when_enough_replicas_hold_the_result_already() -> None:
    call = read_of({"a": NEWER, "b": NEWER, "c": None}, 2)
    assert repr(call.repair_tally(call.result()[1])) == "2/2 (reached)"


def test_the_repair_fails_when_the_stale_replicas_do() -> None:
    call = read_of({"a": NEWER, "b": OTHER}, 2)
    tally = call.repair_tally(call.result()[1])
    assert repr(tally) == "0/2 (pending)"
    tally.fail("b")
    assert repr(tally) == "0/2 (impossible)"


def test_joining_nothing_is_nothing_and_joining_one_entry_is_that_entry() -> None:
    assert join([]) is None
    assert join([ONE.to_bytes()]) == ONE.to_bytes()


def test_joining_is_the_merge_of_all() -> None:
    assert join([ONE.to_bytes(), OTHER.to_bytes(), NEWER.to_bytes()]) == BOTH.to_bytes()


def test_joining_a_damaged_entry_is_an_error() -> None:
    with pytest.raises(ProtocolError):
        join([ONE.to_bytes(), b"\xff"])


def test_a_replica_that_cannot_be_repaired_is_done_without() -> None:
    read = ReadCall(["a", "b", "c"], required=2)
    read.answer("a", NEWER.to_bytes())
    read.answer("b", ONE.to_bytes())
    assert read.retract("b") == "c"
    assert read.outcome is Outcome.PENDING
    read.answer("c", NEWER.to_bytes())
    assert read.outcome is Outcome.REACHED
    assert read.result() == (NEWER.to_bytes(), [])


def test_without_a_spare_a_replica_that_cannot_be_repaired_ends_the_read() -> None:
    read = ReadCall(["a", "b"], required=2)
    read.answer("a", NEWER.to_bytes())
    read.answer("b", ONE.to_bytes())
    assert read.retract("b") is None
    assert read.outcome is Outcome.IMPOSSIBLE


def test_no_spare_is_asked_for_a_replica_that_cannot_be_repaired_if_enough_others_have_answered() -> None:
    read = ReadCall(["a", "b", "c", "d"], required=2)
    read.hedge()
    for replica, entry in (("a", NEWER), ("b", ONE), ("c", NEWER)):
        read.answer(replica, entry.to_bytes())
    assert read.retract("b") is None
    assert read.outcome is Outcome.REACHED
