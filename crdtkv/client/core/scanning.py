"""`PartitionScan`: a scan of the keys of one partition with a prefix, page by page.

Each page is added to the effects when it is complete. In a session, the scan reads a key separately if the session has
seen something of it that the page should have and lacks; the row is the join of both.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from crdtkv.client.core.calls import Call, Owner, RoutedCall
from crdtkv.client.core.datacenter import DatacenterView
from crdtkv.client.core.node_link import GRACE_S, NodeLink
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.sessions import SessionRead, context_of
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InvalidRequest, ReadTimeout
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.quorum.read_call import join
from crdtkv.ring.token import partition_at, storage_key_of
from crdtkv.wire.messages import ScanReply, ScanRequest


class Page(NamedTuple):
    """The rows (identity, entry) with storage keys behind `after` up to `end`; None for the end of the partition.

    `asked_at` is the time of the request in monotonic seconds, `view` the data center that answered.
    """

    after: bytes
    end: bytes | None
    rows: list[tuple[bytes, bytes]]
    asked_at: float
    view: DatacenterView


class PartitionScan(Call):
    """The pages of one partition behind the storage key `after`, of at most `page_rows` rows; the result is None.

    With `enough`, the scan ends with the page after which it has at least that many rows that are not tombstones.
    `timeout_s` is per page.
    """

    _part: Call
    _reply: ScanReply
    _found: dict[bytes, bytes | None]
    _missing: list[bytes]
    _view: DatacenterView

    def __init__(
        self,
        partition: int,
        prefix: bytes,
        page_rows: int,
        level: ConsistencyLevel,
        timeout_s: float,
        observations: Observations,
        after: bytes = b"",
        enough: int | None = None,
    ) -> None:
        super().__init__()
        self.partition = partition
        self.prefix = prefix
        self.page_rows = page_rows
        self.level = level
        self.timeout_s = timeout_s
        self._observations = observations
        self._after = after
        self._enough = enough
        self._live_rows = 0
        self._asked_at = 0.0

    def begin(self, parts: ClientParts) -> None:
        """Request the first page."""
        self.parts = parts
        self._ask()

    def cancel(self) -> None:
        """End the call and its request in flight."""
        if not self.is_over:
            super().cancel()
            self._part.cancel()

    def part_ended(self, part: Call, result: Any, error: CrdtkvError | None) -> None:
        """Handle a page, or a key that was read separately; then read the next missing key."""
        if self.is_over:
            return
        if error is not None:
            self.end(error=error)
            return
        if isinstance(part, _PageCall):
            self._reply = result
            assert part.view is not None
            self._view = part.view
            self._found = dict(result.rows)
            self._missing = [
                identity
                for identity in self._known_in_page(result.next_after)
                if not self._observations.is_shown(identity, context_of(self._found.get(identity)))
            ]
        elif isinstance(part, SessionRead):
            # Another data center may have answered, which lacks what the page has.
            known = (self._found.get(part.identity), result)
            self._found[part.identity] = join([entry for entry in known if entry is not None])
        if self._missing:
            read = SessionRead(self._missing.pop(), self.level, self.timeout_s, self._observations, self)
            self._part = read
            read.begin(self.parts)
        else:
            self._page_is_complete()

    def _ask(self) -> None:
        self._asked_at = self.parts.step.now
        request = ScanRequest(0, self.partition, self.prefix, self._after, self.page_rows, self.level.to_wire(), 0)
        self._part = _PageCall(request, self._partitions, self.level, self.timeout_s, self)
        self._part.begin(self.parts)

    @property
    def _partitions(self) -> int:
        return self.parts.routing.views[0].ring.partitions

    def _page_is_complete(self) -> None:
        """Add the page to the effects; request the next one, or end."""
        end = self._reply.next_after
        if self._observations.seen is not None:
            try:
                for identity, entry in self._found.items():
                    if entry is not None:
                        self._observations.check_room(identity)
                        self._observations.read(identity, context_of(entry))
            except InvalidRequest as error:
                self.end(error=error)
                return
        rows = [(identity, entry) for identity, entry in self._found.items() if entry is not None]
        rows.sort(key=lambda row: storage_key_of(row[0]))
        page = Page(self._after, end, rows, self._asked_at, self._view)
        self.parts.step.effects.pages += ((self, page),)
        if end is None or self._is_enough(rows):
            self.end()
        else:
            self._after = end
            self._ask()

    def _is_enough(self, rows: list[tuple[bytes, bytes]]) -> bool:
        """Count the rows of a page that are not tombstones; return whether the scan has `enough`."""
        if self._enough is None:
            return False
        self._live_rows += sum(not Entry.from_bytes(encoded).is_tombstone for _, encoded in rows)
        return self._live_rows >= self._enough

    def _known_in_page(self, end: bytes | None) -> list[bytes]:
        """Return the keys of the session that a page up to `end` must have."""
        seen = self._observations.seen
        if seen is None:
            return []
        return [
            identity
            for identity in seen.contexts
            if identity.startswith(self.prefix)
            and partition_at(identity, self._partitions) == self.partition
            and self._after < storage_key_of(identity)
            and (end is None or storage_key_of(identity) <= end)
        ]


class _PageCall(RoutedCall):
    """The request for one page, routed like a request for a key of the partition."""

    def __init__(
        self, request: ScanRequest, partitions: int, level: ConsistencyLevel, timeout_s: float, owner: Owner
    ) -> None:
        super().__init__(identities_by_partition(partitions)[request.partition], level, timeout_s, owner)
        self._request = request

    def send(self, link: NodeLink) -> None:
        """Request the page; the window of the link does not apply."""
        left_s = self.deadline_s - self.parts.step.now
        fresh = self._request._replace(id=link.next_id(), timeout_ms=max(1, int(left_s * 1000)))
        link.ask(fresh, self, left_s + GRACE_S, patience_s=0.0)

    def answered(self, reply: Any) -> None:
        """End with the page."""
        self.end(reply)

    def no_answer(self) -> CrdtkvError:
        """Return `ReadTimeout` with no answers."""
        return ReadTimeout(0, self.level.read_quorum(self.parts.routing.views[0].replication_factor))


@lru_cache(maxsize=8)
def identities_by_partition(partitions: int) -> dict[int, bytes]:
    """Return one artificial identity per partition."""
    samples: dict[int, bytes] = {}
    number = 0
    while len(samples) < partitions:
        identity = b"%d" % number
        samples.setdefault(partition_at(identity, partitions), identity)
        number += 1
    return samples
