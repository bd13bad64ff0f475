"""Tests of the checks: every planted bug is found within a stated number of runs."""

from functools import cache

import pytest

from crdtkv.sim.runs.runner import run_seed

from .planted_bugs import BUGS, CLASSES_OF, FIRST_SEEDS, Bug, seeds_until_found

pytestmark = pytest.mark.interpreted

FIRST_SEED = 0


@cache
def failure_without_a_bug(seed: int, fault_class: str) -> str | None:
    verdict = run_seed(seed, fault_class)
    return str(verdict) if verdict.failure else None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    first, fault_class = FIRST_SEEDS.get(bug, FIRST_SEED), CLASSES_OF.get(bug, "")
    found = seeds_until_found(bug, first, BUGS[bug], fault_class)
    assert found is not None, f"not found within {BUGS[bug]} seeds"
    # Otherwise the violation would not be due to the bug.
    assert failure_without_a_bug(first + found[0] - 1, fault_class) is None
