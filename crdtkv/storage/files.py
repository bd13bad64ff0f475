"""Files that are whole or not there: the one place that writes files the product must be able to rely on.

A file that others read, or that stands for an earlier one, is written beside it, fsynced, and renamed into its place;
then its directory is fsynced, so that the name survives a power failure as well. Whoever reads it, and whatever fails
meanwhile, sees all of the old file or all of the new one. What is made here, files and directories, may be read by
its owner only.

Errors are the `OSError` of the system: what that means, and what to do, only the caller knows.
"""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def write_whole(path: Path, text: str) -> None:
    """Make a file hold a text, durably; it holds what it held before, or nothing, if that fails."""
    with replacing(path, mode=PRIVATE_FILE) as file:
        file.write(text)


@contextlib.contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[TextIO]:
    """Open a text file (UTF-8) that takes the place of `path` when the block ends, durably, and not if it fails.

    It has the permissions of the file it replaces, unless `mode` names others. A symbolic link stays one: the file it
    names is replaced.
    """
    target = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:200]}.", suffix=".new", dir=target.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, _mode_of(target) if mode is None else mode)
            os.fsync(descriptor)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_directory(directory: Path) -> None:
    """Make a directory, and those above it, that nobody else looks into; one that is there stays as it is."""
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
    if not directory.is_dir():
        if directory.parent != directory:
            make_private_directory(directory.parent)
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def open_to_others(directory: Path) -> str | None:
    """Return the permissions of a directory that its group or others may read or write, None if they may not."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    return f"{mode:04o}" if mode & 0o077 else None


def _mode_of(target: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return PRIVATE_FILE
