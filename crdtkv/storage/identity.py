"""The owner of a data directory, and the incarnation of the node that it carries.

Dots are unique only if an incarnation never loses a counter it issued. So the incarnation is stored twice: in the
store, and in an fsynced file beside it, together with the number of starts. If the two do not agree, the disk has lost
or gained something (a missing WAL opens silently empty; a restored backup of the store has fewer starts than the file),
and the node takes a new incarnation instead of guessing. A directory of another node or cluster is refused.

A restored copy of the whole directory, including the file, is consistent in itself. So the topology bucket counts
starts as well, and `outlive` ends an incarnation if the bucket holds a start that this disk never noted there. The disk
stores each start before it is noted in the bucket. Starts that failed before they could read the bucket are not
compared: a copy may fail to start any number of times.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crdtkv.errors import StorageError
from crdtkv.ids import MAX_STARTS
from crdtkv.storage import rows
from crdtkv.storage.files import write_whole
from crdtkv.storage.store import Store

FILE_NAME = "identity.json"
FIRST_START = "first start"


@dataclass(frozen=True, slots=True)
class Owner:
    """The node a data directory belongs to."""

    cluster: str
    datacenter: str
    node: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The incarnation to use, and the number of this start.

    `renewed_because` is the reason for a new incarnation, None if the one of the directory continues. An incarnation
    that `is_replacement` began on a disk that had lost an earlier one: writes that this node acknowledged may be gone.
    """

    incarnation: int
    starts: int
    renewed_because: str | None
    is_replacement: bool = False


class IdentityRecord(Protocol):
    """The copy of the identity beside the store; `where` names it to operators."""

    where: str

    def read(self) -> dict[str, Any] | None:
        """Return the fields; None if there is no record, {} if it cannot be read."""
        ...

    def write(self, document: dict[str, Any]) -> None:
        """Replace the record, durably and atomically.

        Raises:
            StorageError: the write failed.
        """
        ...


def establish(record: IdentityRecord, store: Store, owner: Owner, fresh_incarnation: int) -> Identity:
    """Count a start and return the incarnation to use, a new one if in doubt; it is durable on return.

    Raises:
        StorageError: the directory belongs to another node or cluster, or the record cannot be written.
    """
    recorded = record.read()
    if recorded:
        for field in ("cluster", "datacenter", "node"):
            if recorded.get(field) != getattr(owner, field):
                raise StorageError(
                    f"{record.where}: belongs to {field} {recorded.get(field)!r}, not {getattr(owner, field)!r}: "
                    "choose another --data directory"
                )
    in_store = _number(store.get(rows.IDENTITY))
    starts_in_store = _number(store.get(rows.STARTS)) or 0
    starts_on_record = _starts(recorded)
    doubt = _doubt(in_store, starts_in_store, recorded.get("incarnation") if recorded else None, starts_on_record)
    incarnation = in_store if doubt is None and in_store is not None else fresh_incarnation
    starts = max(starts_in_store, starts_on_record) + 1
    # Write the store first: a crash between the two leaves it one start ahead, which is no reason for doubt.
    was_replacement = recorded.get("is_replacement") is True if recorded else False
    is_replacement = was_replacement if doubt is None else doubt != FIRST_START
    identity = Identity(incarnation, starts, doubt, is_replacement)
    _store(store, identity)
    save(record, owner, identity)
    return identity


def outlive(
    record: IdentityRecord, store: Store, owner: Owner, who: Identity, remembered: int | None, fresh_incarnation: int
) -> Identity:
    """Compare this disk with the highest start that is noted in the bucket (None: the bucket could not be read).

    Return the identity to use, whose start is above all noted ones; it is durable on return. Its start may be noted in
    the bucket then, and must not be noted before.

    Raises:
        StorageError: the write failed.
    """
    if remembered is None:
        return who
    noted = _number(store.get(rows.STARTS_NOTED))
    if noted is None:  # an older version, which compared with the number of starts, wrote this disk
        noted = who.starts - 1
    identity = who
    if remembered > noted:
        incarnation, reason = who.incarnation, who.renewed_because
        if reason is None:
            incarnation = fresh_incarnation
            reason = (
                f"this directory has noted start {noted}, the topology bucket holds start {remembered}: it is a copy"
            )
        identity = Identity(incarnation, max(remembered, who.starts) + 1, reason, is_replacement=True)
    store.put(rows.STARTS_NOTED, identity.starts.to_bytes(8, "big"))
    _store(store, identity)
    save(record, owner, identity)
    return identity


def is_fenced(who: Identity, store: Store, wall_ms: int, gc_grace_s: float) -> bool:
    """Return whether a restored disk is older than `gc_grace_s`, so that its entries would resurrect deleted data.

    A disk that continues its incarnation is never fenced, however long its node was away: tombstones wait for it.
    """
    alive_at_ms = _number(store.get(rows.ALIVE_AT))
    return who.renewed_because is not None and alive_at_ms is not None and wall_ms - alive_at_ms >= gc_grace_s * 1000


def save(record: IdentityRecord, owner: Owner, identity: Identity) -> None:
    """Write the record durably.

    Raises:
        StorageError: the write failed.
    """
    record.write(
        {
            "cluster": owner.cluster,
            "datacenter": owner.datacenter,
            "node": owner.node,
            "incarnation": identity.incarnation,
            "starts": identity.starts,
            "is_replacement": identity.is_replacement,
        }
    )


class IdentityFile:
    """The record as a file in the data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.where = str(directory)

    def read(self) -> dict[str, Any] | None:
        """Return the fields; None if there is no file, {} if it cannot be read."""
        try:
            document = json.loads((self._directory / FILE_NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def write(self, document: dict[str, Any]) -> None:
        """Replace the file, durably and atomically.

        Raises:
            StorageError: the write failed.
        """
        try:
            write_whole(self._directory / FILE_NAME, json.dumps(document))
        except OSError as error:
            raise StorageError(f"{self.where}: the identity file cannot be written: {error.strerror}") from None


def _store(store: Store, identity: Identity) -> None:
    store.put(rows.IDENTITY, identity.incarnation.to_bytes(8, "big"))
    store.put(rows.STARTS, identity.starts.to_bytes(8, "big"))
    store.commit()
    store.sync()


def _doubt(in_store: int | None, starts_in_store: int, on_record: object, starts_on_record: int) -> str | None:
    """Return why the incarnation must not continue; None if it may."""
    if in_store is None:
        return FIRST_START if on_record is None else "the store has lost its identity"
    if on_record is None:
        return "the identity file is missing"
    if in_store != on_record:
        return "store and identity file name different incarnations"
    if starts_in_store < starts_on_record:
        return f"the store has {starts_in_store} starts, the identity file {starts_on_record}"
    return None


def _number(stored: bytes | None) -> int | None:
    return int.from_bytes(stored, "big") if stored is not None else None


def _starts(recorded: dict[str, Any] | None) -> int:
    """Return the starts on record; 0 if there is no number of starts."""
    starts = recorded.get("starts") if recorded else None
    return starts if type(starts) is int and 0 <= starts < MAX_STARTS else 0
