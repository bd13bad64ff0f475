"""One seed, one trace: whatever the process, and whatever its hash seed."""

import os
import subprocess
import sys

import pytest

from crdtkv.sim.runs.runner import run_seed

_PROGRAM = """
import sys
from crdtkv.sim.runs.runner import run_seed
print(run_seed(int(sys.argv[1]), sys.argv[2]).digest)
"""


def _digest_in_a_process_of_its_own(seed: int, fault_class: str, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _PROGRAM, str(seed), fault_class]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(("seed", "fault_class"), [(3, ""), (17, "disks"), (3627, ""), (18, "fallbacks")])
def test_the_same_seed_gives_the_same_trace_under_different_hash_seeds(seed: int, fault_class: str) -> None:
    digests = {_digest_in_a_process_of_its_own(seed, fault_class, hash_seed) for hash_seed in ("0", "1", "4711")}
    assert digests == {run_seed(seed, fault_class).digest}


def test_different_seeds_give_different_traces() -> None:
    assert len({run_seed(seed, fault_class).digest for seed in (1, 2, 3) for fault_class in ("", "disks")}) == 6
