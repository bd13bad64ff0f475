"""`PartitionScan`: all keys of one partition that begin with a prefix, page by page.

Every page goes into the effects when it has come. In a session each key that the session knows, and that lies where the
page does, is shown at least as new as the session has seen it: what the page lacks of that is read by itself.
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
from crdtkv.ring.token import partition_at, storage_key_of
from crdtkv.wire.messages import ScanReply, ScanRequest


class Page(NamedTuple):
    """The rows, identity and entry, of what lies behind `after` up to `end`; None for the end of the partition.

    `asked_at` is when the page was asked for, `view` the data center that answered.
    """

    after: bytes
    end: bytes | None
    rows: list[tuple[bytes, bytes]]
    asked_at: float
    view: DatacenterView


class PartitionScan(Call):
    """The pages of one partition behind storage key `after`, of `page_rows` rows at most; the result is None.

    It ends with the page that brings the rows that are no tombstones to `enough`, if that is given. `timeout_s` is per
    page.
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
        """Ask for the first page."""
        self.parts = parts
        self._ask()

    def cancel(self) -> None:
        """End, and with it the request under way."""
        if not self.is_over:
            super().cancel()
            self._part.cancel()

    def part_ended(self, part: Call, result: Any, error: CrdtkvError | None) -> None:
        """Take a page, or a key that was read by itself."""
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
            self._found[part.identity] = result
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
        """Hand the page on, and ask for the next one."""
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
        """Count the rows of a page that are no tombstones; tell whether the caller wants no more."""
        if self._enough is None:
            return False
        self._live_rows += sum(not Entry.from_bytes(encoded).is_tombstone for _, encoded in rows)
        return self._live_rows >= self._enough

    def _known_in_page(self, end: bytes | None) -> list[bytes]:
        """Return the keys the session knows that lie where a page does."""
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
    """One page; a partition is routed like a key in it."""

    def __init__(
        self, request: ScanRequest, partitions: int, level: ConsistencyLevel, timeout_s: float, owner: Owner
    ) -> None:
        super().__init__(identities_by_partition(partitions)[request.partition], level, timeout_s, owner)
        self._request = request

    def send(self, link: NodeLink) -> None:
        """Ask for the page, whatever else is in flight."""
        left_s = self.deadline_s - self.parts.step.now
        fresh = self._request._replace(id=link.next_id(), timeout_ms=max(1, int(left_s * 1000)))
        link.ask(fresh, self, left_s + GRACE_S, patience_s=0.0)

    def answered(self, reply: Any) -> None:
        """Take the page."""
        self.end(reply)

    def no_answer(self) -> CrdtkvError:
        """Return the error of a page that no node has answered."""
        return ReadTimeout(0, self.level.read_quorum(self.parts.routing.views[0].replication_factor))


@lru_cache(maxsize=8)
def identities_by_partition(partitions: int) -> dict[int, bytes]:
    """Find one made-up identity per partition."""
    samples: dict[int, bytes] = {}
    number = 0
    while len(samples) < partitions:
        identity = b"%d" % number
        samples.setdefault(partition_at(identity, partitions), identity)
        number += 1
    return samples
