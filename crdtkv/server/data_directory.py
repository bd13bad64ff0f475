"""A node's data directory: its store, its identity file, and what becomes of a store that is damaged.

Damage is found when the store is opened or, later, when a corrupt block is read. The node stops then, because what it
would go on with is not what it had promised to keep, and leaves a mark. At the next start (`crdtkv node` starts again
by itself) the damaged store is set aside, never repaired and never deleted, and an empty one takes its place. The
identity file notices, so the node comes back as a new incarnation: a learner that the other replicas fill. Meanwhile
they answer for it.

An old copy that was put back is set aside as well, if it is older than deleted keys are remembered (`fence`): what was
deleted since would come back with it.

A directory is made for its owner only, and one that others can look into is told of.

A directory without an identity file is not known to be this node's: there, damage is an error to be looked at.
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
    """Open the store of a data directory; one that is damaged is set aside, and an empty one opened.

    Raises:
        StorageError: the directory is unwritable, in use, or damaged and not known to be a node's.
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
        StorageError: the directory refuses.
    """
    store.close()
    _set_aside(data, "it is an old copy, from before deleted keys were forgotten", "fenced")
    return _open(data, config)


def mark_damaged(data: Path) -> None:
    """Have the store set aside when the node starts next."""
    write_whole(data / _MARK, "")


def _keep_private(data: Path) -> None:
    """Create the directory for its owner only; say so if others can look into one that is there."""
    with contextlib.suppress(OSError):  # the store says what is wrong with it
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
    log.error("the store was set aside as %s; the node is filled again by others: %s", aside, reason)
