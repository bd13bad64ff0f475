"""A simulated client's scans: the core of the real client reads all partitions that hold keys of one type.

Every page is recorded as a read of all keys between its two ends. The row of a key must be what a read at that level
may return; a key without a row counts as read and absent. So the checkers of reads find a key that a scan skips, and an
acknowledged write that a quorum's page lacks. They do not require that later reads return as much, because a scan
repairs nothing.

This module checks what no read can show: rows outside their page, and pages that do not advance (`scan`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crdtkv.checking.history import Operation
from crdtkv.client.core.calls import Call as CoreCall
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.scanning import Page, PartitionScan
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError
from crdtkv.ids import identity_of, identity_prefix
from crdtkv.quorum.level import level_named
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.actors.client_host import ClientHost
from crdtkv.sim.actors.recorder import Recorder
from crdtkv.sim.plan.workload import Call
from crdtkv.sim.world.sim_world import SimWorld
from crdtkv.sim.world.stored import violated

TIMEOUT_S = 4.0


@dataclass(slots=True)
class _Scan:
    """The scan of a partition: the reads of the keys that no page has covered yet; they began with the present page.

    `session` is the session in which the present page was requested.
    """

    call: Call
    reads: dict[bytes, Operation]
    earliest: dict[str, int]
    session: str


class Scanner:
    """The scans of one client, over the keys that the plan uses."""

    def __init__(self, recorder: Recorder, hosts: Mapping[str, ClientHost], world: SimWorld) -> None:
        self._recorder = recorder
        self._hosts = hosts
        self._world = world
        self._running: dict[CoreCall, _Scan] = {}
        #: The number of partitions whose scan has failed.
        self.failures = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a scan has not ended."""
        return bool(self._running)

    def scan(self, call: Call) -> None:
        """Begin to scan all keys of a type, all partitions at once."""
        assert isinstance(call.argument, int)
        prefix, level = identity_prefix("default", call.type), level_named(call.level)
        observations = self._recorder.observations if call.kind == "scan" else Observations()
        for partition, keys in self._by_partition(call.type).items():
            reads = {identity: self._recorder.begin(call, key) for identity, key in keys.items()}
            scan = PartitionScan(partition, prefix, call.argument, level, TIMEOUT_S, observations)
            for read in reads.values():
                read.session = ""
            self._running[scan] = _Scan(call, reads, self._recorder.earliest(), self._recorder.session)
            self._hosts[call.datacenter].begin(self, scan)

    # What the host reports (`CallUser`):

    def page(self, scan: CoreCall, page: Page) -> None:
        """Enter the rows of a page into the history, and the absence of all other keys between its ends."""
        running = self._running[scan]
        rows = _checked(running, page)
        self._world.count("scan_pages")
        covered = {identity: read for identity, read in running.reads.items() if _is_within(identity, page)}
        for identity, read in covered.items():
            self._found(running, read, rows.get(identity), page)
        if page.end is not None:
            self._world.count("scan_pages_continued")
            running.reads = {identity: read for identity, read in running.reads.items() if identity not in covered}
            running.earliest, running.session = self._recorder.earliest(), self._recorder.session
            for read in running.reads.values():
                read.began = self._world.now

    def ended(self, scan: CoreCall, result: Any, error: CrdtkvError | None) -> None:
        """Handle that a scan has ended or failed."""
        del self._running[scan]
        if error is not None:
            self.failures += 1

    def _found(self, running: _Scan, read: Operation, encoded: bytes | None, page: Page) -> None:
        if running.call.kind == "scan" and running.session == self._recorder.session:
            # Else the client has entered another session meanwhile: some rows were compared with one, some with the
            # other, so neither promises the page.
            read.session = running.session
        datacenter = page.view.name
        self._recorder.end(read, "ok", datacenter, running.earliest[datacenter])
        if running.session:
            # The session may have read the key separately, in another data center, by whose clock values expired.
            read.earliest, read.latest = min(running.earliest.values()), self._recorder.latest()
        self._recorder.show(read, Entry.from_bytes(encoded) if encoded is not None else None)

    def _by_partition(self, type_tag: str) -> dict[int, dict[bytes, str]]:
        found: dict[int, dict[bytes, str]] = {}
        for tag, key in self._world.plan.keys:
            if tag == type_tag:
                identity = identity_of("default", tag, key)
                partition = partition_in(storage_key_of(identity), self._world.plan.shape.partitions)
                found.setdefault(partition, {})[identity] = key
        return found


def _checked(running: _Scan, page: Page) -> dict[bytes, bytes]:
    for identity, _ in page.rows:
        if identity not in running.reads or not _is_within(identity, page):
            violated("scan", f"{identity!r} is no key of the page {page.after!r}..{page.end!r}")
    if page.end is not None and page.end <= page.after:
        violated("scan", f"a page that begins behind {page.after!r} ends at {page.end!r}")
    return dict(page.rows)


def _is_within(identity: bytes, page: Page) -> bool:
    return page.after < storage_key_of(identity) and (page.end is None or storage_key_of(identity) <= page.end)
