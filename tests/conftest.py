"""What holds for all tests: Hypothesis profiles, and how tests are shared out among processes.

Hypothesis is random and without a deadline on a developer's machine, derandomized in CI (`CI=true`).

`make test` has one worker process a core (pytest-xdist). A file stays together in one of them, and with it the cluster
it starts; so do all files of `tests/deploy`, which share three data centers in containers. What takes long comes first,
so that no worker has to wait for the last one; clusters come last. A single file, or test, has no workers.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from crdtkv.version import BUILD

settings.register_profile("default", deadline=None)
settings.register_profile("derandomized", deadline=None, derandomize=True)
settings.load_profile("derandomized" if os.environ.get("CI") == "true" else "default")

# A worker may run a cluster of eight processes.
MOST_WORKERS = 8
#: Files of tests that take long and share nothing: each test goes to the worker that has nothing to do.
ONE_BY_ONE = {"test_seeds.py", "test_planted_bugs.py", "test_shrinking.py", "test_program.py", "test_scale.py"}
#: The lanes that begin, and the one that ends: a cluster takes part of a core also while nobody asks it anything.
FIRST, LAST = ["deploy", "simulation"], "integration"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers there are; 0: the tests run in this process."""
    asked = [Path(argument.partition("::")[0]) for argument in config.option.file_or_dir]
    if asked and not any(path.is_dir() for path in asked):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS) if cores > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return who gives each worker what it runs next.

    Not `--dist loadgroup`: xdist 3.8 names groups in a private field that pytest 9.2 does not have, and scatters them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return what_stays_together(nodeid)

    config.option.loadscopereorder = False
    return Together(config, log)


def what_stays_together(nodeid: str) -> str:
    """Return the name of what a test belongs to that one worker runs as a whole."""
    file = nodeid.partition("::")[0]
    if _lane(file) == "deploy":
        return "deploy"
    return nodeid if Path(file).name in ONE_BY_ONE else file


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", "interpreted: replaces methods, which a compiled class does not allow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in the order of their lanes, where there are workers; skip what the build does not allow."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _turn(item.nodeid))
    for item in items:
        if BUILD == "compiled" and item.get_closest_marker("interpreted"):
            item.add_marker(pytest.mark.skip(reason="replaces methods of a class, and the classes are compiled"))


def _turn(nodeid: str) -> int:
    lane = _lane(nodeid)
    return FIRST.index(lane) if lane in FIRST else len(FIRST) + (lane == LAST)


def _lane(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("/")[0]
