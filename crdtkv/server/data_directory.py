"""A node's data directory: its store, its identity file, and the handling of a damaged store.

Damage is detected when the store is opened or, later, when a corrupt block is read. The node then stops, because its
data is not what it acknowledged, and leaves a mark. At the next start (`crdtkv node` restarts by itself) the damaged
store is set aside, never repaired and never deleted, and an empty one takes its place. The identity file detects that,
so the node returns with a new incarnation: as a learner that the other replicas fill. They serve its keys meanwhile.

A restored copy is set aside as well, if it is older than `gc_grace_s` (`fence`): it would resurrect data that was
deleted since.

A directory is created for its owner only, and a warning is logged if others can read one.

A directory without an identity file may not be this node's: there, damage is an error that an operator must examine.
"""

import contextlib
import logging
import stat
import time
from pathlib import Path

from crdtkv.config.model import StorageConfig
from crdtkv.errors import DamagedStore, StorageError
from crdtkv.storage.files import write_whole
from crdtkv.storage.identity import FILE_NAME
from crdtkv.storage.rocks import RocksStore

_STORE = "db"
_MARK = "damaged"

log = logging.getLogger("crdtkv.node")


def open_store(data: Path, config: StorageConfig) -> RocksStore:
    """Open the store of a data directory; a damaged one is set aside, and an empty one opened.

    Raises:
        StorageError: the directory is unwritable, in use, or damaged and without an identity file.
    """
    _keep_private(data)
    if (data / _MARK).exists():
        _set_aside(data, "a corrupt block was read")
        (data / _MARK).unlink()
    try:
        return _open(data, config)
    except DamagedStore as damage:
        if not (data / FILE_NAME).exists():
            raise
        _set_aside(data, str(damage))
    return _open(data, config)


def fence(store: RocksStore, data: Path, config: StorageConfig) -> RocksStore:
    """Set aside a store that is too old to take part; return an empty one.

    Raises:
        StorageError: the store cannot be renamed or opened.
    """
    store.close()
    _set_aside(data, "it is a copy older than collection.gc_grace_s, and could resurrect deleted keys", "fenced")
    return _open(data, config)


def mark_damaged(data: Path) -> None:
    """Mark the store to be set aside at the next start."""
    write_whole(data / _MARK, "")


def _keep_private(data: Path) -> None:
    """Create the directory for its owner only; log a warning if others can read an existing one."""
    with contextlib.suppress(OSError):  # opening the store reports the error
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(data.stat().st_mode)
        if mode & 0o077:
            log.warning("%s: other users can look into it (mode %03o): chmod 700 %s", data, mode, data)


def _open(data: Path, config: StorageConfig) -> RocksStore:
    return RocksStore(data / _STORE, config.block_cache_mib, config.write_buffer_mib)


def _set_aside(data: Path, reason: str, what: str = "damaged") -> None:
    aside = data / f"{_STORE}.{what}-{time.strftime('%Y%m%dT%H%M%S')}"
    try:
        (data / _STORE).rename(aside)
    except OSError as error:
        raise StorageError(f"{data / _STORE}: cannot be set aside: {error.strerror}") from None
    log.error("the store was set aside as %s; other replicas fill this node again: %s", aside, reason)
