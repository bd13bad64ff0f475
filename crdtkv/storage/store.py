"""`Store`: the disk as a node uses it.

A store is one sorted map of bytes. Reads are synchronous and see every write. Writes are buffered; `commit` makes all
of them one atomic batch, visible but not yet durable; `sync` makes everything durable that was committed before the
call, and may run in another thread meanwhile. That is group commit: a step of the node does one commit, and all steps
during one `sync` share the next.

Invariants: after a crash the store holds a prefix of the commits, and at least those of the last finished `sync`. A
scan either returns every row of its range, up to its limit, or raises: it is never silently short.
"""

from typing import Protocol

Row = tuple[bytes, bytes]


SCAN_BYTES = 512 * 1024


def is_whole(found: list[Row], limit: int, limit_bytes: int = SCAN_BYTES) -> bool:
    """Return whether a scan with these limits reached the end of its range."""
    return len(found) < limit and sum(len(value) for _, value in found) < limit_bytes


class Store(Protocol):
    """An ordered, durable map; all keys and values are bytes."""

    def get(self, row: bytes) -> bytes | None:
        """Return a value, buffered or committed, None if there is none.

        Raises:
            StorageError: the disk could not be read.
        """
        ...

    def scan(self, start: bytes, stop: bytes, limit: int, limit_bytes: int = SCAN_BYTES) -> list[Row]:
        """Return rows with `start <= row < stop` in order, buffered writes included.

        The scan ends after `limit` rows, or with the row that brings the values to `limit_bytes`; `is_whole` returns
        whether it reached `stop`.

        Raises:
            StorageError: not every row could be read.
        """
        ...

    def put(self, row: bytes, value: bytes) -> None:
        """Buffer a write."""
        ...

    def delete(self, row: bytes) -> None:
        """Buffer a deletion."""
        ...

    @property
    def has_writes(self) -> bool:
        """Whether anything is buffered."""
        ...

    def commit(self) -> None:
        """Write the buffer as one atomic batch, not durable yet.

        Raises:
            StorageError: the batch may or may not have been written; the process must stop.
        """
        ...

    def sync(self) -> None:
        """Make all commits before this call durable; blocks, allowed from any thread.

        Raises:
            StorageError: the last commits may or may not be durable; the process must stop.
        """
        ...

    def close(self) -> None:
        """Release the disk; buffered writes are dropped."""
        ...
