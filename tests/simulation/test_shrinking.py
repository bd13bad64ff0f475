"""A failing life is cut down to a story short enough to read."""

from crdtkv.sim.plan import Plan
from crdtkv.sim.runner import live
from crdtkv.sim.shrink import shrink

from .planted_bugs import lost_rows_never_sent_again, seeds_until_found


def test_a_failing_life_shrinks_to_a_few_calls_and_incidents_and_fails_in_the_same_way() -> None:
    found = seeds_until_found(lost_rows_never_sent_again, 0, 50)
    assert found is not None
    verdict = found[1]
    with lost_rows_never_sent_again():
        smallest = shrink(verdict)
        assert smallest.invariant == verdict.invariant
        assert len(smallest.plan.calls) + len(smallest.plan.incidents) <= 6
        stored = Plan.from_json(smallest.plan.to_json())
        again = live(stored)
    assert again.failure == smallest.failure
    assert again.digest == smallest.digest
    assert live(stored).failure is None, "without the bug the story ends well"


def test_a_shrunk_life_says_how_to_replay_it() -> None:
    whole = live(Plan.draw(1))
    whole.failure = "it failed"
    assert "replay: python -m crdtkv.sim 1 --trace" in str(whole)
    whole.plan = Plan.from_json(whole.plan.to_json().replace('"seconds": ', '"seconds": 1'))
    assert "--plan FILE" in str(whole)
