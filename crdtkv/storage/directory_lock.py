"""Who uses a directory: a lock that is held as long as its process lives, and names it to whoever comes next.

`crdtkv up` holds the one of its data directory, `crdtkv node` that of its own, before either touches anything else.
The lock is the kernel's (`flock`): it ends with the process, however that ends, and leaves nothing to clean up. The
text in the file is for people only; the file itself stays.
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
    """Make the directory if it is not there, and hold its lock inside the block; `holder` says for whom.

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
        with contextlib.suppress(OSError):  # a full disk is told by what needs the room
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{holder}, process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder_of(directory: Path) -> str | None:
    """Return who holds the lock of a directory, None if nobody does."""
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
