"""`Watching`: answers clients that watch keys.

A watch is a series of polls: the client sends its cursor, and the node answers with the next page after it, first of
the stored entries (the initial state), then of changes. So the only state that a node keeps for a watcher is a poll
that waits for a change, and a slow watcher costs it nothing. A watcher that returns too late, or after a restart of
this node, receives the initial state again. A key may be sent twice; none is skipped, because every cursor names the
change up to which everything was sent, and keys that the log has dropped are read from the store.

A node answers for the partitions of which it is a home replica that counts, like a read at `ONE`: it sends the entries
it holds, once they are durable here. When it does not count any more, it refuses polls, and the client uses another
replica.
"""

from itertools import islice
from random import Random

from crdtkv.errors import CrdtkvError, InvalidRequest, Overloaded, Unavailable
from crdtkv.ids import MAX_KEY_BYTES
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.quorum_calls.scanning import MAX_PAGE_ROWS, read_page
from crdtkv.node.replica.replica import Replica
from crdtkv.node.watch.waiting_polls import Poll, WaitingPolls
from crdtkv.node.watch.watch_cursor import Cursor
from crdtkv.ring.partition_set import first_in, from_bits, mask_of
from crdtkv.ring.token import identity_in, partition_in
from crdtkv.storage.store import SCAN_BYTES, Store
from crdtkv.wire.messages import ErrorReply, WatchReply, WatchRequest

MAX_PREFIXES = 64
#: Key, bucket, type and their terminators: no key has a longer prefix.
MAX_PREFIX_BYTES = MAX_KEY_BYTES + 128
MAX_WAIT_MS = 60_000
#: The most pages of the store, or changes, that one poll reads, so that a watcher of few keys does not block the node.
MAX_PAGES = 8
MAX_CHANGES = 10_000


class Watching:
    """The polls of watching clients at one node."""

    def __init__(self, kernel: Kernel, replica: Replica, store: Store, keys: KeyCheck, random: Random) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._changes = replica.changes
        self._store = store
        self._keys = keys
        self._random = random
        self._waiting = WaitingPolls()
        #: All waiting polls have received everything up to this change.
        self._looked_at = 0
        #: The epoch, and the mask of the partitions of this node under it; the mask of the last `run_due`.
        self._homes: tuple[int, int] | None = None
        self._served_before = 0

    def __len__(self) -> int:
        """Return the number of waiting polls."""
        return len(self._waiting)

    def poll(self, peer: Peer, request: WatchRequest) -> None:
        """Answer with the next page after the client's cursor; if there is none, let the poll wait."""
        try:
            poll = self._checked(peer, request)
            cursor = self._cursor(request.cursor)
        except CrdtkvError as error:
            self._refuse(peer, request.id, error)
            return
        if self._tell(poll, cursor):
            return
        if request.wait_ms == 0:
            self._answer(poll, [], self._live(self._changes.head))
        elif self._waiting.has_room_for(poll):
            self._waiting.add(poll)
        else:
            self._refuse(
                peer, request.id, Overloaded("this client or the node has too many watches: end some, or retry")
            )

    def client_gone(self, client: int) -> None:
        """Drop the polls of a client whose link is closed."""
        self._waiting.drop_all_of(client)

    def next_timer(self) -> float | None:
        """Return when the next poll reaches its deadline, None if no poll waits."""
        return self._waiting.next_timer()

    def run_due(self) -> None:
        """Answer the polls that have changes now, or whose deadline has passed; called at the end of every step."""
        if self._waiting:
            self._refuse_what_is_not_served()
        head, told = self._changes.head, self._looked_at
        if head != told:
            self._looked_at = head
            for number in self._concerned_behind(told):
                self._tell(self._waiting.take(number), self._live(told))
        for number in self._waiting.overdue(self._step.now.monotonic_s):
            self._answer(self._waiting.take(number), [], self._live(head))

    def _checked(self, peer: Peer, request: WatchRequest) -> Poll:
        """Check a request.

        Raises:
            InvalidKey, InvalidRequest, UnknownBucket: it is malformed.
            Unavailable: this node does not answer for all of these partitions now.
        """
        prefixes = tuple(dict.fromkeys(_prefix(prefix) for prefix in request.prefixes[: MAX_PREFIXES + 1]))
        if not 1 <= len(prefixes) <= MAX_PREFIXES:
            raise InvalidRequest(f"a watch names 1 to {MAX_PREFIXES} prefixes")
        for prefix in prefixes:
            self._keys.check_prefix(prefix)
        mask = from_bits(request.partitions, self._cluster.ring.partitions)
        if mask & ~self._served:
            raise Unavailable(1, 0)
        limit = min(max(request.limit, 1), MAX_PAGE_ROWS)
        wait_s = min(request.wait_ms, MAX_WAIT_MS) / 1000
        return Poll(peer, request.id, prefixes, mask, limit, self._step.now.monotonic_s + wait_s)

    def _cursor(self, encoded: bytes) -> Cursor:
        """Return the cursor of a client; the beginning, if it belongs to another log.

        Raises:
            InvalidRequest: the bytes are no cursor.
        """
        cursor = Cursor.from_bytes(encoded) if encoded else None
        if cursor is None or cursor.log != self._changes.identity or cursor.since > self._changes.head:
            return self._beginning()
        return cursor

    def _beginning(self) -> Cursor:
        if self._changes.identity is None:
            self._changes.begin(self._random.getrandbits(64))
        self._step.stats.count("watch_scans_begun")
        return self._live(self._changes.head)._replace(partition=0)

    def _live(self, since: int) -> Cursor:
        assert self._changes.identity is not None
        return Cursor(self._changes.identity, since)

    def _tell(self, poll: Poll, cursor: Cursor) -> bool:
        """Answer with the next page; return False if there is none."""
        if cursor.partition is None and cursor.since < self._changes.floor:
            cursor = self._beginning()
        if cursor.partition is None:
            return self._tell_changed(poll, cursor.since)
        self._tell_stored(poll, cursor.since, cursor.partition, cursor.after)
        return True

    def _tell_stored(self, poll: Poll, since: int, start: int, after: bytes) -> None:
        """Answer with a page of the initial state, from storage key `after` in partition `start` on."""
        partitions = self._cluster.ring.partitions
        rows: list[object] = []
        size = 0
        partition = first_in(poll.mask, start)
        for _ in range(MAX_PAGES):
            if partition is None or _is_full(poll, rows, size):
                break
            room = poll.limit - len(rows)
            page, end = read_page(self._store, partitions, partition, poll.prefixes, after, room)
            rows += [[identity_in(storage_key), self._replica.as_of_now(entry)] for storage_key, entry in page]
            size += sum(len(entry) for _, entry in page)
            if end is None:
                partition, after = first_in(poll.mask, partition + 1), b""
            else:
                after = end
        live = self._live(since)
        self._answer(poll, rows, live if partition is None else live._replace(partition=partition, after=after))

    def _tell_changed(self, poll: Poll, since: int) -> bool:
        """Answer with a page of the changes after `since`; return False if there are none."""
        partitions = self._cluster.ring.partitions
        changed = list(islice(self._changes.behind(since), MAX_CHANGES))
        position = self._changes.head if len(changed) < MAX_CHANGES else changed[-1][0]
        rows: list[object] = []
        size = 0
        for number, storage_key in changed:
            identity = identity_in(storage_key)
            if identity.startswith(poll.prefixes) and poll.mask >> partition_in(storage_key, partitions) & 1:
                entry, _ = self._replica.shown(storage_key)
                rows.append([identity, entry])
                size += len(entry or b"")
                if _is_full(poll, rows, size):
                    position = number
                    break
        if not rows and position == self._changes.head:
            return False
        self._answer(poll, rows, self._live(position))
        return True

    def _concerned_behind(self, number: int) -> list[int]:
        """Return the numbers of the polls that wait for a key that changed after change `number`."""
        if not self._waiting or number < self._changes.floor:
            return list(self._waiting)
        partitions = self._cluster.ring.partitions
        found: dict[int, None] = {}
        for _, storage_key in self._changes.behind(number):
            found.update(
                dict.fromkeys(self._waiting.for_key(identity_in(storage_key), partition_in(storage_key, partitions)))
            )
        return list(found)

    @property
    def _served(self) -> int:
        """The partitions of which this node is a home replica that counts, as a mask."""
        if not self._cluster.counts:
            return 0
        if self._homes is None or self._homes[0] != self._cluster.epoch:
            ring = self._cluster.ring
            mine = (
                partition for partition in range(ring.partitions) if self._cluster.node in ring.replicas_of(partition)
            )
            self._homes = self._cluster.epoch, mask_of(mine)
        return self._homes[1]

    def _refuse_what_is_not_served(self) -> None:
        served = self._served
        if served != self._served_before:
            self._served_before = served
            for number in self._waiting:
                if self._waiting.get(number).mask & ~served:
                    poll = self._waiting.take(number)
                    self._refuse(poll.peer, poll.id, Unavailable(1, 0))

    def _answer(self, poll: Poll, rows: list[object], cursor: Cursor) -> None:
        """Answer when everything this node holds is durable: rows may have been written in this very step."""
        position = cursor.since if cursor.partition is None else None
        reply = WatchReply(poll.id, rows, cursor.to_bytes(), position, self._changes.head)
        self._step.effects.send_when_durable(poll.peer, reply)
        self._step.stats.count("watch_changes_sent", len(rows))

    def _refuse(self, peer: Peer, number: int, error: CrdtkvError) -> None:
        self._step.effects.send(peer, ErrorReply(number, error.code, list(error.fields)))


def _is_full(poll: Poll, rows: list[object], size_bytes: int) -> bool:
    return len(rows) >= poll.limit or size_bytes >= SCAN_BYTES


def _prefix(prefix: object) -> bytes:
    if type(prefix) is not bytes or len(prefix) > MAX_PREFIX_BYTES:
        raise InvalidRequest("a watch names prefixes of identities, in bytes")
    return prefix
