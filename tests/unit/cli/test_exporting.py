"""The output of `crdtkv export`: a file that is replaced at the end, or a pipe or device."""

import os
from pathlib import Path

import pytest

from crdtkv.cli.import_export import exporting_to
from crdtkv.errors import StorageError, Unavailable


def fail_to_export(file: Path) -> None:
    with exporting_to(file) as write:
        write("half of it\n")
        raise Unavailable(2, 1)


def test_an_export_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("the last one\n")
    with pytest.raises(Unavailable):
        fail_to_export(file)
    assert file.read_text() == "the last one\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with exporting_to(pipe) as write:
        write("grüße\n")
    assert os.read(reading, 100) == "grüße\n".encode()
    os.close(reading)
    assert pipe.is_fifo()


@pytest.mark.parametrize("file", ["/dev/full", "/nowhere/file", "/"])
def test_what_cannot_be_written_is_told(file: str) -> None:
    with pytest.raises(StorageError, match=f"{file}: cannot be written: "), exporting_to(Path(file)) as write:
        write("x" * 100_000)
