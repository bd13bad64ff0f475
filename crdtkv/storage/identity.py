"""Who a data directory belongs to, and which incarnation of the node it carries.

Dots are unique only while an incarnation never forgets a counter it issued. So the incarnation is kept twice: in the
store, and in an fsynced file beside it. With it goes the number of starts, which both places count. If the two do not
agree, the disk lost or gained something (a missing WAL opens silently empty; a restored backup of the store knows of
fewer starts than the file), and the node takes a new incarnation instead of guessing. A directory of another node
or cluster is refused.

A copy of the whole directory, file included, put back in place of it agrees with itself. So a third place counts as
well, the topology bucket, and `outlive` ends an incarnation of which the bucket holds a start that this disk never
noted there. The disk writes down what it is about to note before it does so. Starts that failed before they could ask
the bucket are no part of that comparison: a copy may fail to start as often as it likes.
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


@dataclass(frozen=True, slots=True)
class Owner:
    """The node a data directory belongs to."""

    cluster: str
    datacenter: str
    node: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The incarnation to use, at its n-th start. `renewed_because` is None when the directory's own one goes on."""

    incarnation: int
    starts: int
    renewed_because: str | None


class IdentityRecord(Protocol):
    """Where the identity is kept beside the store; `where` names it to people."""

    where: str

    def read(self) -> dict[str, Any] | None:
        """Return the fields, None if there is no record, and no fields if it cannot be read."""
        ...

    def write(self, document: dict[str, Any]) -> None:
        """Replace the record, durably and atomically.

        Raises:
            StorageError: the disk refused.
        """
        ...


def establish(record: IdentityRecord, store: Store, owner: Owner, fresh_incarnation: int) -> Identity:
    """Count a start and return the incarnation to use, renewing it on any doubt; it is durable on return.

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
    # The store goes first: a crash between the two leaves it one start ahead, which is no reason for doubt.
    identity = Identity(incarnation, starts, doubt)
    _store(store, identity)
    save(record, owner, identity)
    return identity


def outlive(
    record: IdentityRecord, store: Store, owner: Owner, who: Identity, remembered: int | None, fresh_incarnation: int
) -> Identity:
    """Compare this disk with the highest start that is remembered elsewhere (None: nobody could be asked).

    Returns the identity to use, whose start is above all that are remembered; it is durable on return. Its start may
    then be noted where `remembered` came from, and must not be noted there before.

    Raises:
        StorageError: the disk refused.
    """
    if remembered is None:
        return who
    noted = _number(store.get(rows.STARTS_NOTED))
    if noted is None:  # written by a version that compared with the number of starts itself
        noted = who.starts - 1
    identity = who
    if remembered > noted:
        incarnation, reason = who.incarnation, who.renewed_because
        if reason is None:
            incarnation = fresh_incarnation
            reason = (
                f"this directory has noted start {noted}, the topology bucket holds start {remembered}: it is a copy"
            )
        identity = Identity(incarnation, max(remembered, who.starts) + 1, reason)
    store.put(rows.STARTS_NOTED, identity.starts.to_bytes(8, "big"))
    _store(store, identity)
    save(record, owner, identity)
    return identity


def is_fenced(who: Identity, store: Store, wall_ms: int, gc_grace_s: float) -> bool:
    """Tell whether a disk that was put back is older than tombstones get: what was deleted since would come back.

    A disk that goes on under its own name is never fenced, however long its node was away: tombstones wait for it.
    """
    alive_at_ms = _number(store.get(rows.ALIVE_AT))
    return who.renewed_because is not None and alive_at_ms is not None and wall_ms - alive_at_ms >= gc_grace_s * 1000


def save(record: IdentityRecord, owner: Owner, identity: Identity) -> None:
    """Write the record durably.

    Raises:
        StorageError: the disk refused.
    """
    record.write(
        {
            "cluster": owner.cluster,
            "datacenter": owner.datacenter,
            "node": owner.node,
            "incarnation": identity.incarnation,
            "starts": identity.starts,
        }
    )


class IdentityFile:
    """The record as a file in the data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.where = str(directory)

    def read(self) -> dict[str, Any] | None:
        """See `IdentityRecord.read`."""
        try:
            document = json.loads((self._directory / FILE_NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def write(self, document: dict[str, Any]) -> None:
        """See `IdentityRecord.write`."""
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
    """Say why the incarnation must not go on; None if it may."""
    if in_store is None:
        return "first start" if on_record is None else "the store forgot who it is"
    if on_record is None:
        return "the identity file is missing"
    if in_store != on_record:
        return "store and identity file name different incarnations"
    if starts_in_store < starts_on_record:
        return f"the store knows of {starts_in_store} starts, the identity file of {starts_on_record}"
    return None


def _number(stored: bytes | None) -> int | None:
    return int.from_bytes(stored, "big") if stored is not None else None


def _starts(recorded: dict[str, Any] | None) -> int:
    """Return the starts on record; 0 if there is no number of starts."""
    starts = recorded.get("starts") if recorded else None
    return starts if type(starts) is int and 0 <= starts < MAX_STARTS else 0
