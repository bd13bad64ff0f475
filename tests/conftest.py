"""What holds for all tests: Hypothesis profiles, and how tests are shared out among processes.

Hypothesis is random and without a deadline on a developer's machine, derandomized in CI (`CI=true`).

`make test` has one worker process a core (pytest-xdist). A file stays together in one of them, and with it the cluster
it starts; so do all files of `tests/deploy`, which share three data centers in containers. What takes long comes first,
so that no worker has to wait for the last one. A single file, or test, has no workers.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("derandomized", deadline=None, derandomize=True)
settings.load_profile("derandomized" if os.environ.get("CI") == "true" else "default")

TESTS = Path(__file__).parent
# A worker may run a cluster of eight processes.
MOST_WORKERS = 8
#: Files of few tests that take long: each of these tests goes to the worker that has nothing to do.
ONE_BY_ONE = {"test_seeds.py", "test_planted_bugs.py", "test_shrinking.py", "test_scale.py"}
#: The order in which lanes begin.
LANES = ["deploy", "simulation", "integration"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers there are; 0: the tests run in this process."""
    asked = [Path(argument.partition("::")[0]) for argument in config.option.file_or_dir]
    if asked and not any(path.is_dir() for path in asked):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS) if cores > 1 else 0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    items.sort(key=lambda item: _turn(item.path))
    for item in items:
        if item.path.name not in ONE_BY_ONE:
            lane = item.path.relative_to(TESTS).parts[0]
            item.add_marker(pytest.mark.xdist_group(lane if lane == "deploy" else str(item.path.relative_to(TESTS))))


def _turn(path: Path) -> int:
    lane = path.relative_to(TESTS).parts[0]
    return LANES.index(lane) if lane in LANES else len(LANES)
