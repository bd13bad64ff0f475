"""A node makes room for its files first, and lets in as many clients as are left."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, resource, sys
from crdtkv.errors import ConfigError
from crdtkv.server.open_files import places_for_clients
logging.basicConfig(format="%(message)s", stream=sys.stdout)
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    print(places_for_clients(wanted, nodes=3), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except ConfigError as error:
    print("refused:", error)
"""


def told(soft: int, hard: int, wanted: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(wanted)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert told(256, 4096, 1_000) == ["1000 4096"]


def test_fewer_clients_are_let_in_where_the_limit_is_low_and_it_is_said_what_is_needed() -> None:
    warning, places = told(256, 1024, 1_000)
    assert places == "474 1024"
    assert warning == (
        "this process may open 1024 files, limits.connections_max = 1000 needs 1550: raise the limit (`ulimit -Hn`, "
        "LimitNOFILE=); until then 474 clients may connect"
    )


def test_as_many_clients_as_wanted_need_no_warning() -> None:
    assert told(256, 1024, 474) == ["474 1024"]


@pytest.mark.parametrize(("hard", "wanted"), [(560, 1_000), (400, 1)])
def test_a_node_that_hardly_any_client_could_reach_does_not_start(hard: int, wanted: int) -> None:
    (line,) = told(256, hard, wanted)
    assert line.startswith(f"refused: this process may open {hard} files, limits.connections_max = {wanted} needs ")
    assert line.endswith("raise the limit (`ulimit -Hn`, LimitNOFILE=)")
