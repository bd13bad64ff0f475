"""The traps of rocksdict and RocksDB that `RocksStore` steps around, each pinned by what happens without its care.

A test of the first half of a pair fails when a new version no longer has the trap; then the care can go.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rocksdict import AccessType, Options, Rdict, ReadOptions

from crdtkv.errors import DamagedStore, StorageError
from crdtkv.storage import identity
from crdtkv.storage.identity import Owner
from crdtkv.storage.rocks import OPEN_FILES_MAX, RocksStore, _opening_failed, _reading_failed

ROWS = 20_000
ALL = (b"", b"\xff")
EVERYTHING = 10**9
OWNER = Owner("shop", "eu", "eu-1")


def row(number: int) -> bytes:
    return b"row %06d" % number


def fill(store: RocksStore, rows: int, per_commit: int) -> None:
    for number in range(rows):
        store.put(row(number), b"value %06d" % number)
        if (number + 1) % per_commit == 0:
            store.commit()
            store.sync()


def count(store: RocksStore) -> int:
    return len(store.scan(*ALL, EVERYTHING, EVERYTHING))


def damage(path: Path, share: float, length: int = 16) -> None:
    """Flip some bytes, `share` of the way into a file."""
    content = bytearray(path.read_bytes())
    begin = int(len(content) * share)
    for position in range(begin, begin + length):
        content[position] ^= 0xFF
    path.write_bytes(content)


def only(directory: Path, pattern: str) -> Path:
    """Return the one non-empty file of that name."""
    (found,) = [path for path in directory.glob(pattern) if path.stat().st_size]
    return found


@pytest.fixture
def damaged_table(tmp_path: Path) -> Path:
    """A database with a corrupt block in the middle of its only table."""
    directory = tmp_path / "db"
    store = RocksStore(directory)
    fill(store, ROWS, per_commit=1_000)
    store.close()
    damage(only(directory, "*.sst"), 0.5)
    return directory


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The files of a database that never closed: 2,000 synced rows, all of them in the write-ahead log only."""
    directory = tmp_path / "open"
    store = RocksStore(directory)
    fill(store, 2_000, per_commit=2)
    image = tmp_path / "crashed"
    shutil.copytree(directory, image)
    store.close()
    assert not list(image.glob("*.sst"))
    return image


# Scans at damage.


@pytest.mark.parametrize("convenience", ["items", "keys", "values"])
def test_the_convenient_iterators_stop_silently_at_damage(damaged_table: Path, convenience: str) -> None:
    database = Rdict(str(damaged_table), Options(raw_mode=True), access_type=AccessType.read_write())
    met = sum(1 for _ in getattr(database, convenience)())
    database.close()
    assert 0 < met < ROWS


def test_our_scan_raises_at_damage_instead_of_being_short(damaged_table: Path) -> None:
    store = RocksStore(damaged_table)
    with pytest.raises(StorageError, match="a scan is incomplete") as caught:
        count(store)
    assert "\n" not in str(caught.value)
    store.close()


def test_our_scan_before_the_damage_is_answered(damaged_table: Path) -> None:
    store = RocksStore(damaged_table)
    assert [name for name, _ in store.scan(*ALL, 100)] == [row(number) for number in range(100)]
    store.close()


def test_our_get_raises_at_damage_instead_of_finding_nothing(damaged_table: Path) -> None:
    store = RocksStore(damaged_table)
    unreadable = 0
    for number in range(0, ROWS, 10):
        try:
            assert store.get(row(number)) == b"value %06d" % number
        except StorageError:
            unreadable += 1
    store.close()
    assert 0 < unreadable < ROWS // 10


# Bounds.


def test_setting_a_lower_bound_sets_the_upper_bound(tmp_path: Path) -> None:
    database = Rdict(str(tmp_path / "db"), Options(raw_mode=True))
    for number in range(10):
        database[b"%d" % number] = b"v"
    options = ReadOptions()
    options.set_iterate_lower_bound(b"5")
    iterator = database.iter(options)
    iterator.seek_to_first()
    met = []
    while iterator.valid():
        met.append(iterator.key())
        iterator.next()
    del iterator
    database.close()
    assert met == [b"0", b"1", b"2", b"3", b"4"]


def test_our_scan_keeps_both_bounds(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db")
    fill(store, 10, per_commit=10)
    assert [name for name, _ in store.scan(row(3), row(6), 100)] == [row(3), row(4), row(5)]
    store.close()


# Recovery of the write-ahead log.


def test_the_default_recovery_silently_drops_what_follows_damage(crashed: Path) -> None:
    damage(only(crashed, "*.log"), 0.5)
    database = Rdict(str(crashed), Options(raw_mode=True), access_type=AccessType.read_write())
    met = sum(1 for _ in database.keys())  # noqa: SIM118 - this is no dict
    database.close()
    assert 0 < met < 2_000


def test_our_options_refuse_to_open_over_damage_in_the_middle(crashed: Path) -> None:
    damage(only(crashed, "*.log"), 0.5)
    with pytest.raises(StorageError, match=r"damaged or not a database .* move the directory away") as caught:
        RocksStore(crashed)
    assert "\n" not in str(caught.value)
    assert str(crashed) in str(caught.value)


def test_refusing_to_open_leaves_the_damaged_files_as_evidence(crashed: Path) -> None:
    log = only(crashed, "*.log")
    damage(log, 0.5)
    before = log.read_bytes()
    with pytest.raises(StorageError):
        RocksStore(crashed)
    assert log.read_bytes() == before


@pytest.mark.parametrize("torn_bytes", [1, 7, 60, 300])
def test_our_options_accept_a_torn_tail_and_lose_only_the_last_batches(crashed: Path, torn_bytes: int) -> None:
    log = only(crashed, "*.log")
    log.write_bytes(log.read_bytes()[:-torn_bytes])
    store = RocksStore(crashed)
    found = [name for name, _ in store.scan(*ALL, EVERYTHING, EVERYTHING)]
    store.close()
    # Two rows a batch: a torn batch is lost whole, and what is left is a prefix.
    assert found == [row(number) for number in range(len(found))]
    assert len(found) % 2 == 0
    assert 1_980 <= len(found) < 2_000


def test_an_undamaged_log_is_replayed_completely(crashed: Path) -> None:
    store = RocksStore(crashed)
    assert count(store) == 2_000
    store.close()


def test_a_missing_log_opens_silently_with_the_data_gone(crashed: Path) -> None:
    only(crashed, "*.log").unlink()
    store = RocksStore(crashed)
    assert count(store) == 0
    store.close()


def test_the_identity_file_notices_a_missing_log(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db")
    assert identity.establish(identity.IdentityFile(tmp_path), store, OWNER, 11).incarnation == 11
    fill(store, 10, per_commit=1)
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path / "db", crashed)
    store.close()
    only(crashed, "*.log").unlink()
    reopened = RocksStore(crashed)
    renewed = identity.establish(identity.IdentityFile(tmp_path), reopened, OWNER, 22)
    reopened.close()
    assert renewed == identity.Identity(22, 2, "the store has lost its identity", is_replacement=True)


# Closing.


def test_a_store_is_released_by_closing_it_after_a_scan_that_was_cut_short(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db")
    fill(store, 100, per_commit=100)
    assert len(store.scan(*ALL, 3)) == 3
    store.close()
    again = RocksStore(tmp_path / "db")
    assert count(again) == 100
    again.close()


# Directories that cannot be used: one line that says what to do.


def _under_a_file(directory: Path) -> Path:
    (directory / "file").write_text("")
    return directory / "file" / "db"


def _a_file(directory: Path) -> Path:
    (directory / "db").write_text("")
    return directory / "db"


def _below_proc(directory: Path) -> Path:
    return Path("/proc/crdtkv")


@pytest.mark.parametrize("place", [_under_a_file, _a_file, _below_proc])
def test_an_unwritable_directory_is_told_in_one_line(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    directory = place(tmp_path)
    with pytest.raises(StorageError, match=r"not writable .*: choose another --data directory") as caught:
        RocksStore(directory)
    assert "\n" not in str(caught.value)
    assert str(directory) in str(caught.value)


def test_a_directory_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db")
    with pytest.raises(StorageError, match="in use by another process: stop that node first") as caught:
        RocksStore(tmp_path / "db")
    assert "\n" not in str(caught.value)
    store.close()


def test_a_directory_in_use_by_another_process_is_told_in_one_line(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from crdtkv.storage.rocks import RocksStore; "
        "store = RocksStore(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StorageError, match="in use by another process: stop that node first"):
            RocksStore(tmp_path / "db")
    finally:
        holder.kill()
        holder.communicate()
    RocksStore(tmp_path / "db").close()


def test_a_directory_that_holds_no_database_of_ours_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("a photo album\n")
    with pytest.raises(StorageError, match="damaged or not a database") as caught:
        RocksStore(tmp_path)
    assert "\n" not in str(caught.value)


def test_trying_whether_a_directory_is_writable_leaves_nothing_there(tmp_path: Path) -> None:
    RocksStore(tmp_path / "db").close()
    assert not list((tmp_path / "db").glob(".*"))


# What is no damage: nobody may set a store aside because it could not be looked at.


FEW_FILES = """
import os, resource, sys
from pathlib import Path
from crdtkv.errors import CrdtkvError
from crdtkv.storage.rocks import RocksStore
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
while True:
    try:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
for _ in range(int(sys.argv[2])):
    os.close(taken.pop())
try:
    RocksStore(Path(sys.argv[1])).close()
    print("opened", flush=True)
except CrdtkvError as error:
    print(type(error).__name__, error, flush=True)
os._exit(0)
"""


def test_a_process_without_free_file_descriptors_calls_no_store_damaged(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "db")
    fill(store, 100, per_commit=10)
    store.close()
    told = []
    for free in range(12):
        done = subprocess.run(
            [sys.executable, "-c", FEW_FILES, str(tmp_path / "db"), str(free)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        told.append(done.stdout.strip())
    assert not [line for line in told if line != "opened" and not line.startswith("StorageError ")]
    advice = [line for line in told if "may not open more files" in line]
    assert len(advice) >= 5, told
    assert all("ulimit -n" in line and "limits.connections_max" in line for line in advice)
    again = RocksStore(tmp_path / "db")
    assert count(again) == 100
    again.close()


def test_a_table_that_is_gone_or_cut_is_damage(tmp_path: Path) -> None:
    for number, harm in enumerate((Path.unlink, lambda table: table.write_bytes(table.read_bytes()[:100]))):
        directory = tmp_path / str(number)
        store = RocksStore(directory)
        fill(store, 100, per_commit=10)
        store.close()
        harm(only(directory, "*.sst"))
        with pytest.raises(DamagedStore, match="damaged or not a database"):
            RocksStore(directory)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Corruption: block checksum mismatch: in db/000009.sst", DamagedStore),
        ("Corruption: IO error: No such file or directory: While open a file: 9.sst: No such file", DamagedStore),
        ("Corruption: IO error: While open a file for random read: 9.sst: Too many open files", StorageError),
        ("IO error: While appending to file: 9.log: No space left on device", StorageError),
        ("IO error: While pread offset 0 len 53: 9.sst: Input/output error", StorageError),
        ("IO error: No such file or directory: While opening a file: MANIFEST-000005", StorageError),
        ("Invalid argument: Found options incompatible with filesystem", StorageError),
    ],
)
def test_only_what_rocksdb_calls_corruption_is_damage(text: str, kind: type[StorageError]) -> None:
    told = [_opening_failed(Path("db"), Exception(text)), _reading_failed("db: reading failed", Exception(text))]
    assert [type(error) for error in told] == [kind, kind]


def test_a_manifest_that_cannot_be_found_is_an_error_to_look_at_and_changes_nothing(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    fill(store, 10, per_commit=10)
    store.close()
    next(tmp_path.glob("MANIFEST-*")).unlink()
    before = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("LOG"))
    with pytest.raises(StorageError, match=r"cannot be opened .* nothing was changed") as caught:
        RocksStore(tmp_path)
    assert not isinstance(caught.value, DamagedStore)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("LOG")) == before


def test_a_store_opens_only_so_many_tables(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    fill(store, 10, per_commit=10)
    options = max(tmp_path.glob("OPTIONS-*")).read_text()
    store.close()
    assert f"max_open_files={OPEN_FILES_MAX}" in options
