"""A simulated client's scans: all partitions that hold keys of one type, read by the core of the real client.

Every page is a read of all keys that lie between its two ends, and goes into the history as such: what it shows of a
key must be what a read at its level may show, and of a key it does not show, that there is nothing. So a key that is
there all the time and is passed over, or an acknowledged write that a quorum's page lacks, is found by the judges of
reads. Only that later reads show as much is not promised: a scan writes nothing back.

What no read can show is judged here: rows that are not of the page; pages that lead nowhere (`scan`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crdtkv.checking.history import Operation
from crdtkv.client.core.calls import Call as CoreCall
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.scanning import Page, PartitionScan
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError
from crdtkv.ids import identity_of, identity_prefix
from crdtkv.quorum.level import level_named
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.plan.workload import Call
from crdtkv.sim.world.stored import violated

if TYPE_CHECKING:
    from crdtkv.sim.actors.client import SimClient
    from crdtkv.sim.cluster import SimCluster

TIMEOUT_S = 4.0


@dataclass(slots=True)
class _Scan:
    """The scan of a partition: the keys that were not told yet have begun to be read when their page was asked for."""

    call: Call
    reads: dict[bytes, Operation]
    earliest: dict[str, int]


class Scanner:
    """The scans of one client, over the keys there may be."""

    def __init__(self, client: "SimClient", cluster: "SimCluster") -> None:
        self._client = client
        self._cluster = cluster
        self._running: dict[CoreCall, _Scan] = {}
        #: Scans of a partition that were given up.
        self.failures = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a scan has not ended."""
        return bool(self._running)

    def scan(self, call: Call) -> None:
        """Begin to scan all keys of a call's type, all partitions at once."""
        assert isinstance(call.argument, int)
        prefix, level = identity_prefix("default", call.type), level_named(call.level)
        observations = self._client.observations if call.kind == "scan" else Observations()
        for partition, keys in self._by_partition(call.type).items():
            reads = {identity: self._client.operation(call, key) for identity, key in keys.items()}
            scan = PartitionScan(partition, prefix, call.argument, level, TIMEOUT_S, observations)
            for read in reads.values():
                read.session = ""
            self._running[scan] = _Scan(call, reads, self._earliest())
            self._client.hosts[call.datacenter].begin(self, scan)

    # What the host tells (`CallUser`):

    def page(self, scan: CoreCall, page: Page) -> None:
        """Enter what a page shows, and does not show, into the history."""
        running = self._running[scan]
        rows = _checked(running, page)
        self._cluster.coverage.count("scan_pages")
        told = {identity: read for identity, read in running.reads.items() if _is_within(identity, page)}
        for identity, read in told.items():
            self._found(running, read, rows.get(identity), page)
        if page.end is not None:
            self._cluster.coverage.count("scan_pages_continued")
            running.reads = {identity: read for identity, read in running.reads.items() if identity not in told}
            running.earliest = self._earliest()
            for read in running.reads.values():
                read.began = self._cluster.scheduler.now

    def ended(self, scan: CoreCall, result: Any, error: CrdtkvError | None) -> None:
        """Learn that a scan has come to its end, or was given up."""
        del self._running[scan]
        if error is not None:
            self.failures += 1

    def _found(self, running: _Scan, read: Operation, encoded: bytes | None, page: Page) -> None:
        if running.call.kind == "scan":
            read.session = self._client.session
        datacenter = page.view.name
        self._client.end(read, "ok", datacenter, running.earliest[datacenter])
        self._client.show(read, Entry.from_bytes(encoded) if encoded is not None else None)

    def _earliest(self) -> dict[str, int]:
        return {datacenter: self._cluster.times.at(datacenter)[0] for datacenter in self._cluster.plan.datacenters}

    def _by_partition(self, type_tag: str) -> dict[int, dict[bytes, str]]:
        found: dict[int, dict[bytes, str]] = {}
        for tag, key in self._cluster.plan.keys:
            if tag == type_tag:
                identity = identity_of("default", tag, key)
                partition = partition_in(storage_key_of(identity), self._cluster.plan.shape.partitions)
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
