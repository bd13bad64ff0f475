"""The tally: reached, impossible or pending; each replica counts once, and a reached tally stays reached."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.quorum.tally import Outcome, Tally

THREE = ("a", "b", "c")


def test_a_tally_is_reached_with_the_required_number_of_answers() -> None:
    tally = Tally(THREE, 2)
    assert repr(tally) == "0/2 (pending)"
    tally.ok("a")
    assert repr(tally) == "1/2 (pending)"
    tally.ok("c")
    assert repr(tally) == "2/2 (reached)"


def test_a_tally_is_impossible_once_too_few_are_left() -> None:
    tally = Tally(THREE, 2)
    tally.fail("a")
    assert tally.outcome is Outcome.PENDING
    tally.fail("b")
    assert repr(tally) == "0/2 (impossible)"


def test_a_tally_of_too_few_replicas_is_impossible_from_the_start() -> None:
    assert Tally(["a"], 2).outcome is Outcome.IMPOSSIBLE


def test_a_tally_that_requires_nothing_is_reached_from_the_start() -> None:
    assert Tally(THREE, 0).outcome is Outcome.REACHED


def test_the_same_replica_answering_twice_counts_once() -> None:
    tally = Tally(THREE, 2)
    tally.ok("a")
    tally.ok("a")
    assert repr(tally) == "1/2 (pending)"


def test_a_replica_that_is_named_twice_counts_once() -> None:
    tally = Tally(["a", "a", "b"], 3)
    assert tally.outcome is Outcome.IMPOSSIBLE


def test_a_replica_that_was_never_asked_counts_nothing() -> None:
    tally = Tally(THREE, 1)
    tally.ok("d")
    tally.fail("d")
    assert repr(tally) == "0/1 (pending)"


def test_an_answer_after_the_replica_had_failed_counts_nothing() -> None:
    tally = Tally(THREE, 1)
    tally.fail("a")
    tally.ok("a")
    assert repr(tally) == "0/1 (pending)"


def test_failures_after_the_tally_was_reached_do_not_matter() -> None:
    tally = Tally(THREE, 2)
    tally.ok("a")
    tally.ok("b")
    tally.fail("c")
    assert repr(tally) == "2/2 (reached)"


def test_a_failure_after_the_answer_takes_nothing_back() -> None:
    tally = Tally(THREE, 2)
    tally.ok("a")
    tally.fail("a")
    tally.fail("b")
    assert repr(tally) == "1/2 (pending)"


def test_answers_past_the_required_number_leave_it_reached() -> None:
    tally = Tally(THREE, 1)
    for replica in THREE:
        tally.ok(replica)
    assert repr(tally) == "3/1 (reached)"


def test_a_replacement_makes_possible_what_a_failure_would_have_ended() -> None:
    tally = Tally(["a", "b"], 2)
    tally.fail("a")
    tally.replace("c")
    assert repr(tally) == "0/2 (pending)"
    tally.ok("b")
    tally.ok("c")
    assert repr(tally) == "2/2 (reached)"


def test_an_answer_is_awaited_until_it_comes_or_fails() -> None:
    tally = Tally(THREE, 3)
    tally.ok("a")
    tally.fail("b")
    assert [tally.is_open(replica) for replica in ("a", "b", "c", "d")] == [False, False, True, False]


@given(
    st.integers(0, 5),
    st.integers(0, 6),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5).map(str)), max_size=12),
)
def test_a_tally_is_what_counting_first_words_gives_and_never_changes_its_mind(
    replicas: int, required: int, answers: list[tuple[bool, str]]
) -> None:
    tally = Tally([str(number) for number in range(replicas)], required)
    first_words: dict[str, bool] = {}
    decided: Outcome | None = None
    for is_ok, replica in answers:
        tally.ok(replica) if is_ok else tally.fail(replica)
        if int(replica) < replicas:
            first_words.setdefault(replica, is_ok)
        ok = list(first_words.values()).count(True)
        waiting = replicas - len(first_words)
        expected = (
            Outcome.REACHED if ok >= required else Outcome.PENDING if ok + waiting >= required else Outcome.IMPOSSIBLE
        )
        assert (tally.outcome, tally.received) == (expected, ok)
        assert decided in (None, tally.outcome)
        decided = tally.outcome if tally.outcome is not Outcome.PENDING else None
