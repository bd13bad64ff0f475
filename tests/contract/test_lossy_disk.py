"""Durability on a disk that loses all unsynced data (`lossy_disk`), with killed processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crdtkv.storage.identity import FILE_NAME, Identity, IdentityFile, establish
from crdtkv.storage.rocks import RocksStore

from .lossy_disk import LossyDisk, built
from .writer import INCARNATION, OWNER, row, value

HERE = Path(__file__).parent
TOP = HERE.parents[1]


@pytest.fixture
def disk(tmp_path: Path) -> LossyDisk:
    built()
    return LossyDisk(tmp_path / "lossy")


def after_a_power_loss(disk: LossyDisk, rows: int, tmp_path: Path, fault: str = "") -> tuple[Path, int]:
    """Let a process write so many rows, kill it, forget what was not synced; return the rest, and what it promised."""
    command = [sys.executable, "-m", "tests.contract.writer", str(disk.root), fault]
    with subprocess.Popen(command, env=disk.environment, cwd=TOP, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "established\n"
        promised = 0
        while promised < rows:
            promised = int(writer.stdout.readline())
        writer.kill()
        # What it said in the end counts, too.
        promised = max([promised, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    return disk.image(tmp_path / "image"), promised


def lost_rows(image: Path, promised: int) -> list[int]:
    store = RocksStore(image / "db", block_cache_mib=1)
    try:
        return [number for number in range(1, promised + 1) if store.get(row(number)) != value(number)]
    finally:
        store.close()


def next_start(image: Path) -> Identity:
    store = RocksStore(image / "db", block_cache_mib=1)
    try:
        return establish(IdentityFile(image), store, OWNER, 99)
    finally:
        store.close()


@pytest.mark.parametrize("rows", [1, 500, 5_000])
def test_what_a_sync_has_covered_survives_a_power_loss(disk: LossyDisk, tmp_path: Path, rows: int) -> None:
    """500 rows are in the first log file, 5,000 in several and in tables."""
    image, promised = after_a_power_loss(disk, rows, tmp_path)
    assert promised >= rows
    assert lost_rows(image, promised) == []


def test_an_identity_that_was_established_survives_a_power_loss(disk: LossyDisk, tmp_path: Path) -> None:
    image, _ = after_a_power_loss(disk, 1, tmp_path)
    assert next_start(image) == Identity(INCARNATION, 2, None)


def test_a_log_that_is_not_synced_is_found(disk: LossyDisk, tmp_path: Path) -> None:
    image, promised = after_a_power_loss(disk, 500, tmp_path, "log not synced")
    assert len(lost_rows(image, promised)) > 400


def test_an_identity_file_that_is_not_synced_is_found(disk: LossyDisk, tmp_path: Path) -> None:
    image, _ = after_a_power_loss(disk, 1, tmp_path, "identity file not synced")
    assert (image / FILE_NAME).read_bytes() == b""
    assert next_start(image).incarnation != INCARNATION


def test_an_identity_file_of_which_the_directory_is_not_synced_is_found(disk: LossyDisk, tmp_path: Path) -> None:
    image, _ = after_a_power_loss(disk, 1, tmp_path, "directory of the identity file not synced")
    assert not (image / FILE_NAME).exists()
    assert next_start(image).incarnation != INCARNATION


@pytest.mark.parametrize("suite", ["test_store.py", "test_identity.py"])
def test_the_contract_suites_hold_on_a_disk_that_forgets(disk: LossyDisk, suite: str) -> None:
    """The same tests, in a process whose files are on such a disk."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-k", "rocks", "--basetemp", str(disk.root / "tests")]
    environment = {**disk.environment, "TMPDIR": str(disk.root), "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [*command, str(HERE / suite)], env=environment, cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert os.environ.get("LOSSY_ROOT") is None, "only that process writes to such a disk"
