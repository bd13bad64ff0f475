"""Files that are complete or absent: the one place that writes files on which the product relies.

A new version of a file is written beside it, fsynced, and renamed into its place; then its directory is fsynced, so
that the name survives a power failure as well. A reader sees all of the old file or all of the new one, whatever fails
meanwhile. Files and directories that are created here are readable by their owner only.

Errors are the `OSError` of the system: only the caller can explain them and name a remedy.
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
    """Write a text to a file, durably; if that fails, the earlier content stays."""
    with replacing(path, mode=PRIVATE_FILE) as file:
        file.write(text)


@contextlib.contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[TextIO]:
    """Open a text file (UTF-8) that replaces `path` when the block ends, durably, unless the block fails.

    It has the permissions of the file it replaces, unless `mode` is given. If `path` is a symbolic link, the target of
    the link is replaced.
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
    """Create a directory, and those above it, for their owner only; existing directories stay as they are."""
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
    if not directory.is_dir():
        if directory.parent != directory:
            make_private_directory(directory.parent)
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def open_to_others(directory: Path) -> str | None:
    """Return the permissions of a directory that its group or others may read or write, else None."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    return f"{mode:04o}" if mode & 0o077 else None


def _mode_of(target: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return PRIVATE_FILE
