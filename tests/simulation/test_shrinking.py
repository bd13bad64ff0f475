"""A failing run is cut down to one that is short enough to read."""

from dataclasses import replace
from itertools import chain, islice

import pytest

from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.runs.runner import run_plan, run_seed
from crdtkv.sim.runs.shrink import shrink

from .planted_bugs import lost_rows_never_sent_again

pytestmark = pytest.mark.interpreted

#: Seeds of short runs: shrinking takes hundreds of runs, each about as long as the first one.
SHORT = (145, 11, 87)


def test_failing_lives_shrink_to_a_few_calls_and_incidents_and_fail_in_the_same_way() -> None:
    with lost_rows_never_sent_again():
        verdicts = map(run_seed, chain(SHORT, range(200)))
        failures = (verdict for verdict in verdicts if verdict.failure is not None)
        pairs = [(verdict, shrink(verdict)) for verdict in islice(failures, 3)]
        for verdict, smaller in pairs:
            assert smaller.invariant == verdict.invariant
            assert len(smaller.plan.calls) < len(verdict.plan.calls) / 2
            assert len(smaller.plan.incidents) <= 3
        smallest = min((smaller for _, smaller in pairs), key=lambda smaller: len(smaller.plan.calls))
        assert len(smallest.plan.calls) <= 3
        assert len(smallest.plan.incidents) <= 2
        stored = Plan.from_json(smallest.plan.to_json())
        again = run_plan(stored)
    assert again.failure == smallest.failure
    assert again.digest == smallest.digest
    assert run_plan(stored).failure is None, "without the bug the story ends well"


def test_a_shrunk_life_says_how_to_replay_it() -> None:
    whole = run_plan(Plan.draw(1))
    whole.failure = "it failed"
    assert "replay: python -m crdtkv.sim 1 --trace" in str(whole)
    of_class = replace(whole, plan=Plan.draw(1, "disks"))
    assert "replay: python -m crdtkv.sim 1 --class disks --trace" in str(of_class)
    whole.plan = Plan.from_json(whole.plan.to_json().replace('"seconds": ', '"seconds": 1'))
    assert "--plan FILE" in str(whole)
