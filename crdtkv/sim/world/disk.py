"""A simulated disk: the guarantees of RocksDB, and all faults that are known to break them.

A power loss takes any suffix of the unsynced commits (a torn tail has the same effect: the log's checksums reject it).
Other faults: errors on reading, scanning, committing and syncing; a commit that fails and is stored nevertheless; an
older state, as after the restore of a backup or the loss of a log; the loss of all data. The identity record is beside
the store, and may survive it.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from crdtkv.errors import StorageError
from crdtkv.sim.world.patched import whole, whole_rows
from crdtkv.storage.memory import Batch, MemoryStore
from crdtkv.storage.store import SCAN_BYTES, Row

#: Receives a batch.
Watch = Callable[[Batch], None]


def _ignore(batch: Batch) -> None:
    """Ignore a batch."""


class SimRecord:
    """The identity record of one node; see `storage.identity.IdentityRecord`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.document: dict[str, Any] | None = None

    def read(self) -> dict[str, Any] | None:
        """See `IdentityRecord.read`."""
        return dict(self.document) if self.document is not None else None

    def write(self, document: dict[str, Any]) -> None:
        """See `IdentityRecord.write`."""
        self.document = dict(document)


class SimDisk(MemoryStore):
    """One node's disk. `failing` names what fails next: `commit`, `sync`, `read` or `scan`.

    `on_commit` receives every batch before it is applied, `on_durable` every batch that a power loss can no longer
    take. Both receive whole entries (`patched`).
    """

    def __init__(self, node: str, random: Random) -> None:
        super().__init__()
        self.record = SimRecord(node)
        self.on_commit: Watch = _ignore
        self.on_durable: Watch = _ignore
        self.failing: str | None = None
        self.slowness = 1.0
        self._random = random
        self._backups: list[tuple[dict[bytes, bytes], dict[str, Any] | None]] = []

    def get(self, row: bytes) -> bytes | None:
        """See `Store.get`."""
        if self.failing == "read":
            raise self._failed("read")
        return super().get(row)

    def scan(self, start: bytes, stop: bytes, limit: int, limit_bytes: int = SCAN_BYTES) -> list[Row]:
        """See `Store.scan`."""
        if self.failing == "scan":
            raise self._failed("scan")
        return super().scan(start, stop, limit, limit_bytes)

    def commit(self) -> None:
        """See `Store.commit`."""
        if not self._buffer:
            return
        if self.failing == "commit":
            if self._random.random() < 0.5:  # it fails, and is stored nevertheless
                self._show_commit()
                super().commit()
            raise self._failed("commit")
        self._show_commit()
        super().commit()

    def sync_to(self, commit: int) -> None:
        """See `MemoryStore.sync_to`."""
        if self.failing == "sync":
            raise self._failed("sync")
        self._show_durable(self._unsynced[: max(0, commit - (self.commits - len(self._unsynced)))])
        super().sync_to(commit)

    def crash(self, survivors: int = 0) -> int:
        """See `MemoryStore.crash`."""
        self._show_durable(self._unsynced[:survivors])
        return super().crash(survivors)

    def durable(self, row: bytes) -> bytes | None:
        """See `DiskView.durable`."""
        return whole(row, self._durable.get)

    def durable_rows(self, start: bytes, stop: bytes) -> list[Row]:
        """See `DiskView.durable_rows`."""
        found = [row for row in self._durable if start <= row < stop]
        return [(row, value) for row in found if (value := self.durable(row)) is not None]

    def visible(self, row: bytes) -> bytes | None:
        """See `DiskView.visible`."""
        return whole(row, self._rows.get)

    def committed(self, start: bytes, stop: bytes) -> list[Row]:
        """See `DiskView.committed`."""
        return [(row, self._rows[row]) for row in self._between(start, stop)]

    def keep_backup(self) -> None:
        """Keep a copy of the durable state, for `roll_back`."""
        self._backups.append((dict(self._durable), self.record.read()))

    def roll_back(self, with_record: bool = False) -> bool:
        """Restore a copy from before the last start, with or without the identity record; False if there is none."""
        if len(self._backups) < 2:
            return False
        stored, record = self._backups[self._random.randrange(len(self._backups) - 1)]
        self._replace(stored)
        if with_record:
            self.record.document = record
        return True

    def wipe(self, with_record: bool) -> None:
        """Lose all rows, and the identity record if `with_record`."""
        self._replace({})
        if with_record:
            self.record.document = None

    def _show_commit(self) -> None:
        batch = self._buffer
        self.on_commit(whole_rows(batch, lambda row: batch[row] if row in batch else self._rows.get(row)))

    def _show_durable(self, batches: list[Batch]) -> None:
        so_far: Batch = {}
        for batch in batches:
            so_far.update(batch)
            self.on_durable(whole_rows(batch, lambda row: so_far[row] if row in so_far else self._durable.get(row)))

    def _replace(self, rows: dict[bytes, bytes]) -> None:
        self._durable = dict(rows)
        self.crash()

    def _failed(self, what: str) -> StorageError:
        self.failing = None
        return StorageError(f"{self.record.where}: simulated failure of a {what}")
