"""Who a data directory belongs to, and which incarnation of the node it carries.

Dots are unique only while an incarnation never forgets a counter it issued. So the incarnation is kept twice: in the
store, and in an fsynced file beside it. If the two do not agree, the disk lost or gained something (a missing WAL
opens silently empty; a restored backup forgets), and the node takes a new incarnation instead of guessing. A
directory of another node or cluster is refused.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crdtkv.errors import StorageError
from crdtkv.storage import rows
from crdtkv.storage.store import Store

FILE_NAME = "identity.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The node a data directory belongs to."""

    cluster: str
    datacenter: str
    node: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The incarnation to use. `renewed_because` is None when the directory's own incarnation goes on."""

    incarnation: int
    renewed_because: str | None


def establish(directory: Path, store: Store, owner: Owner, fresh_incarnation: int) -> Identity:
    """Return the incarnation of this directory, renewing it on any doubt; it is durable on return.

    Raises:
        StorageError: the directory belongs to another node or cluster, or the file cannot be written.
    """
    on_file = _read_file(directory / FILE_NAME)
    if on_file:
        for field in ("cluster", "datacenter", "node"):
            if on_file.get(field) != getattr(owner, field):
                raise StorageError(
                    f"{directory}: belongs to {field} {on_file.get(field)!r}, not {getattr(owner, field)!r}: "
                    "choose another --data directory"
                )
    in_store = store.get(rows.IDENTITY)
    filed = on_file.get("incarnation") if on_file else None
    stored = int.from_bytes(in_store, "big") if in_store is not None else None
    if stored is not None and stored == filed:
        return Identity(stored, None)
    if stored is None and filed is None:
        reason = "first start"
    elif stored is None:
        reason = "the store forgot who it is"
    elif filed is None:
        reason = "the identity file is missing"
    else:
        reason = "store and identity file name different incarnations"
    store.put(rows.IDENTITY, fresh_incarnation.to_bytes(8, "big"))
    store.commit()
    store.sync()
    save(directory, owner, fresh_incarnation)
    return Identity(fresh_incarnation, reason)


def save(directory: Path, owner: Owner, incarnation: int) -> None:
    """Write the identity file durably and atomically.

    Raises:
        StorageError: the disk refused.
    """
    document = {
        "cluster": owner.cluster,
        "datacenter": owner.datacenter,
        "node": owner.node,
        "incarnation": incarnation,
    }
    temporary = directory / (FILE_NAME + ".new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(directory / FILE_NAME)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"{directory}: the identity file cannot be written: {error.strerror}") from None


def _read_file(path: Path) -> dict[str, Any] | None:
    """Return the file's fields, None if there is no file, and no fields if it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
