"""The program `python -m crdtkv.sim`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_WITH_A_BUG = """
import sys
from tests.simulation import planted_bugs
from crdtkv.sim.__main__ import main
with planted_bugs.lost_rows_never_sent_again():
    sys.exit(main())
"""


def run(*arguments: str, bug: bool = False) -> subprocess.CompletedProcess[str]:
    program = ["-c", _WITH_A_BUG] if bug else ["-m", "crdtkv.sim"]
    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


def test_one_run_ends_in_one_line() -> None:
    done = run("3")
    assert done.returncode == 0
    assert done.stdout.startswith("seed 3: ")
    assert len(done.stdout.splitlines()) == 1


def test_a_trace_reads_like_the_protocol() -> None:
    text = run("3", "--trace").stdout
    for part in (" * everything heals", "MutateRequest(", "WriteReplica(", " final "):
        assert part in text


def test_many_runs_over_two_processes_end_in_their_sum_and_what_they_reached() -> None:
    done = run("--seeds", "0..20", "--jobs", "2", "--coverage")
    assert done.returncode == 0
    assert done.stdout.startswith("20 runs, ")
    assert "a quorum read wrote back to a replica that lacked something" in done.stdout


def test_a_run_of_a_class_of_faults_is_named_by_both_its_class_and_its_seed() -> None:
    done = run("3", "--class", "disks")
    assert done.returncode == 0
    assert done.stdout.startswith("seed 3 --class disks: ")
    assert run("3").stdout != done.stdout


def test_all_classes_take_turns_and_are_counted() -> None:
    done = run("--seeds", "0..16", "--class", "each")
    assert done.returncode == 0
    assert "disks that lose data, among replicas that differ" in done.stdout


@pytest.mark.interpreted
def test_a_failure_names_seed_faults_and_replay_and_is_cut_down(tmp_path: Path) -> None:
    many = run("--seeds", "143..148", bug=True)
    assert many.returncode == 1
    failed = next(line for line in many.stdout.splitlines() if line.endswith(" FAILED"))
    seed = failed.split()[1]
    assert f"replay: python -m crdtkv.sim {seed} --trace" in many.stdout
    saved = tmp_path / "plan.json"
    shrunk = run(seed, "--shrink", "--save", str(saved), bug=True)
    assert shrunk.returncode == 1
    assert "The smallest run found" in shrunk.stdout
    assert run("--plan", str(saved), bug=True).returncode == 1
    assert run("--plan", str(saved)).returncode == 0


def test_a_history_is_stored_and_checked_by_the_same_checkers(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    assert run("5", "--history", str(file)).returncode == 0
    assert all(json.loads(line)["client"] for line in file.read_text().splitlines())
    checked = subprocess.run(
        [sys.executable, "-m", "crdtkv.checking", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.stdout.endswith("0 violations\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1", "--seeds", "0..2"],
        ["--seeds", "5"],
        ["--seeds", "a..b"],
        ["1", "--jobs", "0"],
        ["x"],
        ["1", "--class", "x"],
        ["--plan", "x", "--class", "disks"],
    ],
)
def test_wrong_arguments_are_reported_in_one_line_and_exits_with_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("python -m crdtkv.sim: error: ")


def test_a_plan_that_is_missing_or_no_plan_is_reported_in_one_line(tmp_path: Path) -> None:
    junk = tmp_path / "junk.json"
    junk.write_text("{}")
    for file in (tmp_path / "absent.json", junk):
        done = run("--plan", str(file))
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
