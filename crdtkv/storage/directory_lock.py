"""The lock of a directory: a process holds it until it ends, and it names the process to others.

`crdtkv up` holds the lock of its data directory, `crdtkv node` that of its own, before either changes anything else.
The lock is the kernel's (`flock`): it ends with the process, however that ends, and needs no cleanup. The text in the
file is for people only; the file itself stays.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from crdtkv.errors import StorageError
from crdtkv.storage.files import PRIVATE_FILE, make_private_directory

FILE_NAME = "lock"


@contextlib.contextmanager
def holding(directory: Path, holder: str) -> Iterator[None]:
    """Create the directory if it does not exist, and hold its lock inside the block; `holder` is the name to show.

    Raises:
        StorageError: another process holds it, or the directory cannot be written.
    """
    try:
        make_private_directory(directory)
        descriptor = os.open(directory / FILE_NAME, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        raise StorageError(
            f"{directory}: not writable ({error.strerror}): choose another --data directory, or change its permissions"
        ) from None
    try:
        _lock(descriptor, directory)
        with contextlib.suppress(OSError):  # later writes report a full disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{holder}, process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder_of(directory: Path) -> str | None:
    """Return the name of the process that holds the lock of a directory, None if there is none."""
    try:
        descriptor = os.open(directory / FILE_NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _text_in(descriptor)
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageError(
            f"{directory}: in use by {_text_in(descriptor)}: stop that first, or choose another --data directory"
        ) from None
    except OSError as error:
        raise StorageError(f"{directory}: cannot be locked ({error.strerror}): choose a local disk") from None


def _text_in(descriptor: int) -> str:
    text = os.pread(descriptor, 500, 0).decode(errors="replace").strip()
    return text if text.isprintable() and text else "another process"
