"""Files that are whole or not there, and directories that one process uses at a time."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crdtkv.errors import StorageError
from crdtkv.storage.directory_lock import FILE_NAME, holder_of, holding
from crdtkv.storage.files import make_private_directory, open_to_others, replacing, write_whole


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_and_fail(path: Path) -> None:
    with replacing(path) as file:
        file.write("half of it")
        raise KeyboardInterrupt


def test_a_file_that_could_not_be_written_whole_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with replacing(path) as file:
        file.write("after")
        file.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"


def test_the_file_is_fsynced_before_it_takes_its_place_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(old: str, new: Path) -> None:
        done.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_whole(tmp_path / "file", "text")
    assert done == ["file", "replace", "directory"]


def test_new_files_are_their_owners_only_and_replaced_ones_stay_as_open_as_they_were(tmp_path: Path) -> None:
    with replacing(tmp_path / "new") as file:
        file.write("x")
    (tmp_path / "open").write_text("before")
    (tmp_path / "open").chmod(0o640)
    with replacing(tmp_path / "open") as file:
        file.write("x")
    assert (mode_of(tmp_path / "new"), mode_of(tmp_path / "open")) == (0o600, 0o640)
    write_whole(tmp_path / "open", "x")
    assert mode_of(tmp_path / "open") == 0o600


def test_a_link_stays_a_link_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"


def test_directories_that_are_made_are_their_owners_only(tmp_path: Path) -> None:
    make_private_directory(tmp_path / "a" / "b")
    assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")) == (0o700, 0o700)
    assert open_to_others(tmp_path / "a") is None
    (tmp_path / "a").chmod(0o710)
    assert open_to_others(tmp_path / "a") == "0710"
    make_private_directory(tmp_path / "a")
    assert mode_of(tmp_path / "a") == 0o710


def test_a_directory_is_held_by_one_and_the_next_is_told_by_whom(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with holding(home, "crdtkv node eu-1"):
        told = f"in use by crdtkv node eu-1, process {os.getpid()}: stop that first"
        with pytest.raises(StorageError, match=told), holding(home, "another"):
            pass
        assert holder_of(home) == f"crdtkv node eu-1, process {os.getpid()}"
    assert holder_of(home) is None
    with holding(home, "another"):
        assert holder_of(home) == f"another, process {os.getpid()}"
    assert holder_of(tmp_path) is None


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from crdtkv.storage.directory_lock import holding\n"
        "with holding(pathlib.Path(sys.argv[1]), 'a process'): print('held', flush=True); sys.stdin.read(); os.abort()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert holder_of(tmp_path) == f"a process, process {process.pid}"
        process.kill()
    assert holder_of(tmp_path) is None
    assert (tmp_path / FILE_NAME).exists()


def test_a_directory_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another --data directory"), holding(tmp_path / "file", "x"):
        pass
