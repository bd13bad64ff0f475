"""Planted bugs of watches (`planted_bugs`)."""

from typing import Any

from crdtkv.node.kernel.effects import Effects
from crdtkv.node.replica.change_log import ChangeLog
from crdtkv.node.replica.replica import Replica
from crdtkv.node.watch import watching
from crdtkv.node.watch.watch_cursor import Cursor
from crdtkv.node.watch.watching import Watching
from crdtkv.ring.partition_set import mask_of
from crdtkv.wire.messages import WatchReply

from .planting import Bug, replaced


def log_forgets_without_a_floor() -> Any:
    """The change log drops its oldest entries without a higher floor."""
    forget = ChangeLog._forget_oldest

    def wrong(self: ChangeLog) -> None:
        floor = self.floor
        forget(self)
        self.floor = floor

    return replaced(ChangeLog, "_forget_oldest", wrong)


def cursor_of_another_log() -> Any:
    """Who comes back after a restart goes on where he was, as far as there is anything."""
    right = Watching._cursor

    def wrong(self: Watching, encoded: bytes) -> Cursor:
        if encoded:
            cursor = right(self, b"")
            old = Cursor.from_bytes(encoded)
            return old._replace(log=cursor.log, since=min(old.since, cursor.since))
        return right(self, encoded)

    return replaced(Watching, "_cursor", wrong)


def merges_not_told() -> Any:
    """Only the node's own writes count as changes."""
    merge = Replica.merge

    def wrong(self: Replica, *arguments: Any) -> bytes | None:
        changes, self.changes = self.changes, ChangeLog()
        try:
            return merge(self, *arguments)
        finally:
            self.changes = changes

    return replaced(Replica, "merge", wrong)


def number_taken_after_the_scan() -> Any:
    """A change during the initial state is not sent again."""
    right = Watching._tell_stored

    def wrong(self: Watching, poll: Any, since: int, start: int, after: bytes) -> None:
        right(self, poll, self._changes.head, start, after)

    return replaced(Watching, "_tell_stored", wrong)


def told_before_flush() -> Any:
    """A watcher receives a change before the fsync."""
    when_durable = Effects.send_when_durable

    def wrong(self: Effects, peer: Any, message: Any) -> None:
        (self.send if isinstance(message, WatchReply) else lambda *sent: when_durable(self, *sent))(peer, message)

    return replaced(Effects, "send_when_durable", wrong)


def watchers_told_by_a_learner() -> Any:
    """A node that does not count answers watchers."""

    def served(self: Watching) -> int:
        ring = self._cluster.ring
        return mask_of(at for at in range(ring.partitions) if self._cluster.node in ring.replicas_of(at))

    return replaced(Watching, "_served", property(served))


def waiting_poll_forgotten() -> Any:
    """A poll that waits is answered with nothing when its time is over, and what changed meanwhile is passed over."""
    return replaced(Watching, "_concerned_behind", lambda self, number: [])


def watch_that_skips_at_the_end_of_a_page() -> Any:
    """After a full page of the initial state a watcher continues after a key that it has not received."""
    right = watching.read_page

    def wrong(store: Any, partitions: int, partition: int, prefix: Any, after: bytes, limit: int) -> Any:
        page, end = right(store, partitions, partition, prefix, after, limit)
        if end is None:
            return page, end
        following, _ = right(store, partitions, partition, prefix, end, 1)
        return page, following[0][0] if following else end

    return replaced(watching, "read_page", wrong)


def changes_skipped_at_the_end_of_a_page() -> Any:
    """After a full page of changes a watcher goes on at the head of the log."""
    right = Watching._answer

    def wrong(self: Watching, poll: Any, rows: Any, cursor: Cursor) -> None:
        if cursor.partition is None and len(rows) >= poll.limit:
            cursor = cursor._replace(since=self._changes.head)
        right(self, poll, rows, cursor)

    return replaced(Watching, "_answer", wrong)


#: Bug: within how many seeds it must be found.
BUGS_OF_WATCHES: dict[Bug, int] = {
    log_forgets_without_a_floor: 150,
    cursor_of_another_log: 150,
    merges_not_told: 150,
    number_taken_after_the_scan: 150,
    told_before_flush: 150,
    watchers_told_by_a_learner: 300,
    waiting_poll_forgotten: 150,
    watch_that_skips_at_the_end_of_a_page: 150,
    changes_skipped_at_the_end_of_a_page: 150,
}
#: Where the tests begin, to stay short.
FIRST_SEEDS_OF_WATCHES: dict[Bug, int] = {
    log_forgets_without_a_floor: 21,
    cursor_of_another_log: 100_033,
    number_taken_after_the_scan: 5,
    watch_that_skips_at_the_end_of_a_page: 30,
    changes_skipped_at_the_end_of_a_page: 5,
}
