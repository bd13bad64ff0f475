"""One seed, one trace: whatever the process, and whatever its hash seed."""

import os
import subprocess
import sys

import pytest

from crdtkv.sim.runner import live_seed

_PROGRAM = "import sys; from crdtkv.sim.runner import live_seed; print(live_seed(int(sys.argv[1])).digest)"


def _digest_in_a_process_of_its_own(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _PROGRAM, str(seed)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("seed", [3, 17, 3627])
def test_the_same_seed_gives_the_same_trace_under_different_hash_seeds(seed: int) -> None:
    digests = {_digest_in_a_process_of_its_own(seed, hash_seed) for hash_seed in ("0", "1", "4711")}
    assert digests == {live_seed(seed).digest}


def test_different_seeds_give_different_traces() -> None:
    assert len({live_seed(seed).digest for seed in (1, 2, 3)}) == 3
