"""A simulated client's scans: all partitions that hold keys of one type, page by page, as the real client reads them.

Every page is a read of all keys that lie between its two ends, and goes into the history as such: what it tells of a
key must be what a read at its level may show, and of a key it does not tell of, that there is nothing. So a key that
is there all the time and is passed over, or an acknowledged write that a quorum's page lacks, is found by the judges
of reads. Only that later reads show as much is not promised: a scan writes nothing back.

What no read can show is judged here: rows that are not of the page, or come twice; pages that lead nowhere (`scan`).

In a session a key of which the page does not show all that the session has seen is read again by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from crdtkv.checking.history import Operation
from crdtkv.ids import identity_of, identity_prefix
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.stored import violated
from crdtkv.sim.workload import Call
from crdtkv.wire.messages import ErrorReply, Message, ScanReply, ScanRequest

TIMEOUT_S = 2.0
GRACE_S = 1.0
PAUSE_S = 0.1
TRIES = 4


class Reader(Protocol):
    """What a scan needs of its client."""

    def send_scan(self, datacenter: str, request: ScanRequest) -> int:
        """Send a request to some node under a number of its own; return that, 0 if there is no node."""
        ...

    def begin(self, call: Call, key: str) -> Operation:
        """Begin a read of one key, as part of a scan."""
        ...

    def begin_anew(self, operation: Operation) -> None:
        """Begin a read again: it is only now that its page is asked for."""
        ...

    def found(self, operation: Operation, entry: bytes | None) -> None:
        """Take what a page tells of a key."""
        ...

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something later."""
        ...

    def count(self, name: str) -> None:
        """Count for the coverage."""
        ...


@dataclass(slots=True)
class _Page:
    """A page that was asked for: the keys it may tell of have begun to be read when it was."""

    call: Call
    partition: int
    after: bytes
    reads: dict[bytes, Operation]
    tries: int = TRIES


class Scanner:
    """The scans of one client, over the keys there may be."""

    def __init__(self, reader: Reader, keys: list[tuple[str, str]], partitions: int) -> None:
        self._reader = reader
        self._keys = keys
        self._partitions = partitions
        self._pages: dict[int, _Page] = {}
        self._pauses = 0
        #: Pages that were given up.
        self.failures = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a page has neither come nor been given up."""
        return bool(self._pages) or self._pauses > 0

    def scan(self, call: Call) -> None:
        """Begin to scan all keys of a call's type, all partitions at once."""
        for partition, keys in self._by_partition(call.type).items():
            reads = {identity: self._reader.begin(call, key) for identity, key in keys.items()}
            self._ask(_Page(call, partition, b"", reads))

    def receive(self, message: Message) -> bool:
        """Take an answer; False if it is none to a scan."""
        page = self._pages.pop(message.id, None) if isinstance(message, ScanReply | ErrorReply) else None
        if page is None:
            return False
        if isinstance(message, ScanReply):
            self._take(page, message)
        else:
            self._again(page)
        return True

    def _by_partition(self, type_tag: str) -> dict[int, dict[bytes, str]]:
        found: dict[int, dict[bytes, str]] = {}
        for tag, key in self._keys:
            if tag == type_tag:
                identity = identity_of("default", tag, key)
                found.setdefault(partition_in(storage_key_of(identity), self._partitions), {})[identity] = key
        return found

    def _ask(self, page: _Page) -> None:
        call = page.call
        assert isinstance(call.argument, int)
        prefix = identity_prefix("default", call.type)
        request = ScanRequest(0, page.partition, prefix, page.after, call.argument, call.level, int(TIMEOUT_S * 1000))
        page.tries -= 1
        number = self._reader.send_scan(call.datacenter, request)
        if not number:
            self._again(page)
            return
        self._pages[number] = page

        def give_up() -> None:
            if self._pages.pop(number, None) is not None:
                self._again(page)

        self._reader.later(TIMEOUT_S + GRACE_S, give_up)

    def _again(self, page: _Page) -> None:
        if not page.tries:
            self.failures += 1
            return
        self._pauses += 1

        def ask() -> None:
            self._pauses -= 1
            self._ask(page)

        self._reader.later(PAUSE_S, ask)

    def _take(self, page: _Page, reply: ScanReply) -> None:
        rows = self._checked(page, reply)
        self._reader.count("scan_pages")
        end = reply.next_after
        told = {identity: read for identity, read in page.reads.items() if _is_within(identity, page.after, end)}
        for identity, read in told.items():
            self._reader.found(read, rows.get(identity))
        if end is not None:
            self._reader.count("scan_pages_continued")
            left = {identity: read for identity, read in page.reads.items() if identity not in told}
            for read in left.values():
                self._reader.begin_anew(read)
            self._ask(_Page(page.call, page.partition, end, left))

    def _checked(self, page: _Page, reply: ScanReply) -> dict[bytes, bytes | None]:
        rows: dict[bytes, bytes | None] = {}
        for row in reply.rows:
            match row:
                case [bytes() as identity, bytes() | None as entry]:
                    pass
                case _:
                    violated("scan", f"no row of a page: {row!r}")
            if identity in rows or identity not in page.reads or not _is_within(identity, page.after, reply.next_after):
                violated("scan", f"{identity!r} is no key of the page {page.after!r}..{reply.next_after!r}, or twice")
            rows[identity] = entry
        if reply.next_after is not None and reply.next_after <= page.after:
            violated("scan", f"a page that begins behind {page.after!r} ends at {reply.next_after!r}")
        return rows


def _is_within(identity: bytes, after: bytes, end: bytes | None) -> bool:
    return after < storage_key_of(identity) and (end is None or storage_key_of(identity) <= end)
