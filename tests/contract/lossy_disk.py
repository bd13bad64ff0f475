"""A disk that loses unsynced data, for processes that tests start: builds and uses `lossy_disk.c`.

The files below the root when a process is killed are what it wrote; `image` makes of them what a power loss would
leave: the files whose names were synced, with their synced content. Directories exist once they are created. It needs a
C compiler and a dynamic libc, and no privileges.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("lossy_disk.c")
_ROOT, _SHADOW = "LOSSY_ROOT", "LOSSY_SHADOW"


class LossyDisk:
    """A directory, `root`, of which a shadow remembers what was synced."""

    def __init__(self, directory: Path) -> None:
        directory = directory.resolve()
        self.root, self._shadow = directory / "disk", directory / "shadow"
        self.root.mkdir(parents=True)
        for name in ("content", "names", "kept"):
            (self._shadow / name).mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to write to this disk."""
        return {
            **os.environ,
            "LD_PRELOAD": str(built()),
            _ROOT: str(self.root),
            _SHADOW: str(self._shadow),
        }

    def image(self, into: Path) -> Path:
        """Put together what a power loss now would leave of the root."""
        return durable_image(self.root, self._shadow, into)


def durable_image(directory: Path, shadow: Path, into: Path) -> Path:
    """Put together what a power loss now would leave of a directory."""
    into.mkdir()
    for child in directory.iterdir():
        if child.is_dir():
            durable_image(child, shadow, into / child.name)
    names = shadow / "names" / str(directory.stat().st_ino)
    for line in names.read_text().splitlines() if names.exists() else ():
        inode, name = line.split(" ", 1)
        content = shadow / "content" / inode
        (into / name).write_bytes(content.read_bytes() if content.exists() else b"")
    return into


def shadow_here() -> Path | None:
    """Return the shadow if this very process writes to a disk that loses unsynced data."""
    return Path(os.environ[_SHADOW]) if _SHADOW in os.environ else None


@functools.cache
def built() -> Path:
    """Build the library once; skip the test, and say why, where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc): the disk that forgets cannot be built")
    library = Path(tempfile.mkdtemp(prefix="crdtkv-lossy-")) / "lossy_disk.so"
    subprocess.run([compiler, "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"], check=True)
    return library
