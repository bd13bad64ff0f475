"""`ScanCall`: one page of one partition, merged from as many replicas as the level requires.

Every replica sends its next rows after the cursor. A page is complete only up to the end of the shortest answer, so
rows beyond that are left for the next page. A page includes tombstones: the client drops them.
"""

from collections.abc import Callable
from typing import NamedTuple

from crdtkv.errors import CrdtkvError, ReadTimeout, Unavailable
from crdtkv.node.kernel.calls import Call
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.quorum.read_call import join
from crdtkv.quorum.tally import Outcome, Tally
from crdtkv.ring.token import identity_in
from crdtkv.storage import rows
from crdtkv.storage.store import Store, is_whole
from crdtkv.wire.messages import Message, PartitionRows, ReadPartition

MAX_PAGE_ROWS = 1_000

Page = tuple[list[tuple[bytes, bytes]], bytes | None]
#: Called with `[(identity, entry)…]` and the next cursor, None after the last page.
ScanThen = Callable[[list[tuple[bytes, bytes | None]], bytes | None], None]


class PageRequest(NamedTuple):
    """At most `limit` rows of a partition after storage key `after`; of these, the keys with the prefix."""

    partition: int
    prefix: bytes
    after: bytes
    limit: int


def read_page(
    store: Store, partitions: int, partition: int, prefix: bytes | tuple[bytes, ...], after: bytes, limit: int
) -> Page:
    """Return rows of a partition after `after` as `(storage key, entry)`, and the last scanned key (None: all).

    A key may have any of several prefixes. `limit` bounds the rows that are scanned, so that a prefix of few keys does
    not block the node.
    """
    start, stop = rows.partition_range(partition, partitions)
    if after:
        start = max(start, rows.data_row(after) + b"\0")
    found = store.scan(start, stop, limit)
    page = [
        (rows.storage_key_in(row), entry)
        for row, entry in found
        if identity_in(rows.storage_key_in(row)).startswith(prefix)
    ]
    return page, None if is_whole(found, limit) else rows.storage_key_in(found[-1][0])


class ScanCall(Call):
    """One page in flight."""

    def __init__(
        self,
        kernel: Kernel,
        store: Store,
        selector: ReplicaSelector,
        then: ScanThen,
        failed: Callable[[CrdtkvError], None],
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._calls = kernel.calls
        self._store = store
        self._selector = selector
        self._then = then
        self._failed = failed
        self._pages: list[Page] = []
        self._number = 0

    def start(self, page: PageRequest, required: int, deadline_s: float) -> None:
        """Ask the first `required` of the replicas that are alive and count; if there are too few, fail at once."""
        cluster = self._cluster
        replicas = cluster.ring.replicas_of(page.partition)
        counted = [name for name in replicas if cluster.is_alive(name) and name not in cluster.uncounted]
        if len(counted) < required:
            self._failed(Unavailable(required, len(counted)))
            return
        alive = self._selector.ordered(counted, required)
        self._tally = Tally(alive[:required], required)
        self._spares = alive[required:]
        self._number = self._calls.add(self)
        self._calls.set_timer(self._number, deadline_s, "deadline")
        self._request = ReadPartition(self._number, *page)
        for name in alive[:required]:
            self._ask(name)

    def answered(self, replica: str, message: Message) -> None:
        """Add the page of a replica."""
        if not isinstance(message, PartitionRows) or not self._tally.is_open(replica):
            return
        page = [(row[0], row[1]) for row in message.rows if _is_row(row)]  # type: ignore[index]
        self._take(replica, (page, message.end))

    def lost(self, replica: str) -> None:
        """Ask a spare replica instead of a lost one; fail if none is left."""
        if replica in self._spares:
            self._spares.remove(replica)
        if not self._tally.is_open(replica):
            return
        self._tally.fail(replica)
        if self._spares:
            spare = self._spares.pop(0)
            self._tally.replace(spare)
            self._ask(spare)
        elif self._tally.outcome is Outcome.IMPOSSIBLE:
            self.timer("deadline")

    def timer(self, purpose: str) -> None:
        """Fail at the deadline."""
        self._calls.end(self._number)
        self._failed(ReadTimeout(self._tally.received, self._tally.required))

    def _ask(self, replica: str) -> None:
        if replica != self._cluster.node:
            self._step.effects.send(replica, self._request)
            return
        _, partition, prefix, after, limit = self._request
        self._take(replica, read_page(self._store, self._cluster.ring.partitions, partition, prefix, after, limit))

    def _take(self, replica: str, page: Page) -> None:
        self._pages.append(page)
        self._tally.ok(replica)
        if self._tally.outcome is Outcome.REACHED:
            self._calls.end(self._number)
            self._then(*_merged(self._pages))


def _merged(pages: list[Page]) -> tuple[list[tuple[bytes, bytes | None]], bytes | None]:
    ends = [end for _, end in pages if end is not None]
    end = min(ends) if ends else None
    versions: dict[bytes, list[bytes]] = {}
    for page, _ in pages:
        for storage_key, entry in page:
            if end is None or storage_key <= end:
                versions.setdefault(storage_key, []).append(entry)
    merged = [
        (identity_in(storage_key), join(list(dict.fromkeys(entries))))
        for storage_key, entries in sorted(versions.items())
    ]
    return merged, end


def _is_row(row: object) -> bool:
    match row:
        case [bytes(), bytes()]:
            return True
    return False
