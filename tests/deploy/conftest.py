"""Three data centers in containers, for all tests of this directory; skipped where none can be run."""

from collections.abc import Iterator

import pytest

from . import deployment as containers
from .deployment import Deployment


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    reason = containers.why_not()
    if reason is not None:
        pytest.skip(reason)
    deployment = Deployment()
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()
