"""The checks are checked: every planted bug is found within a stated number of seeds."""

import pytest

from .planted_bugs import BUGS, CLASSES_OF, FIRST_SEEDS, Bug, seeds_until_found

FIRST_SEED = 0


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    found = seeds_until_found(bug, FIRST_SEEDS.get(bug, FIRST_SEED), BUGS[bug], CLASSES_OF.get(bug, ""))
    assert found is not None, f"not found within {BUGS[bug]} seeds"


def test_without_a_bug_the_same_seeds_hold() -> None:
    """Otherwise the tests above would find anything but the bug."""
    from crdtkv.sim.runner import live_seed

    failures = [str(verdict) for seed in range(FIRST_SEED, 60) if (verdict := live_seed(seed)).failure]
    assert not failures
