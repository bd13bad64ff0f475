"""`QuorumCalls`: builds all quorum reads, writes and scans."""

from collections.abc import Callable, Sequence

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.responsible import Responsible
from crdtkv.node.quorum_calls.applying import AppliedEntry, ApplyCall
from crdtkv.node.quorum_calls.digest_reading import DigestReads
from crdtkv.node.quorum_calls.hedging import Hedging
from crdtkv.node.quorum_calls.reading import Failed, GetCall, Then
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.node.quorum_calls.scanning import PageRequest, ScanCall, ScanThen
from crdtkv.node.quorum_calls.writing import PutCall
from crdtkv.node.replica.replica import Part, Replica
from crdtkv.quorum.level import majority
from crdtkv.storage.store import Store


class QuorumCalls:
    """Begins the calls of one node. All deadlines are monotonic."""

    def __init__(
        self, kernel: Kernel, replica: Replica, local: LocalCopy, store: Store, selector: ReplicaSelector
    ) -> None:
        self._kernel = kernel
        self._replica = replica
        self._local = local
        self._store = store
        self._selector = selector
        self._hedging = Hedging(selector.latencies)
        self.digest_reads = DigestReads(kernel, local, selector, self._hedging)

    def read(
        self,
        key: PlacedKey,
        responsibles: Sequence[Responsible],
        required: int,
        deadline_s: float,
        then: Then,
        failed: Failed,
        is_for_write: bool = False,
        first: Sequence[str] = (),
    ) -> None:
        """Read a key from `required` of its responsible replicas, from those in `first` before others."""
        call = GetCall(self._kernel, self._local, self._selector, self._hedging, key, then, failed, is_for_write)
        call.start(responsibles, required, deadline_s, first)

    def run_due(self) -> None:
        """Send the digest reads of this step."""
        self.digest_reads.run_due()

    def next_timer(self) -> float | None:
        """Return None: the deadlines are in the table of calls."""
        return None

    def read_majority(self, key: PlacedKey, deadline_s: float, then: Then, failed: Failed) -> None:
        """Read a key from a majority of its home replicas."""
        cluster = self._kernel.cluster
        responsibles = cluster.responsibles(key.token, is_sloppy=False)
        self.read(key, responsibles, majority(cluster.ring.replication_factor), deadline_s, then, failed)

    def write(
        self,
        key: PlacedKey,
        entry: Entry,
        responsibles: Sequence[Responsible],
        required: int,
        deadline_s: float,
        then: Callable[[], None],
        failed: Callable[[CrdtkvError], None],
        supersede_before: int = 0,
        part: Part | None = None,
        record: bytes = b"",
        made_on: bytes = b"",
    ) -> None:
        """Store an entry on `required` of its responsible replicas; `PutCall.start` describes the arguments."""
        call = PutCall(self._kernel, self._replica, self._local, key, then, failed)
        call.start(entry, supersede_before, responsibles, required, deadline_s, part, record, made_on)

    def apply(
        self,
        entries: Sequence[AppliedEntry],
        homes: Sequence[str],
        deadline_s: float,
        then: Callable[[], None],
        failed: Callable[[CrdtkvError], None],
        required: int | None = None,
    ) -> None:
        """Store entries of another data center on `required` (a majority) of the home replicas that they share."""
        if required is None:
            required = majority(self._kernel.cluster.ring.replication_factor)
        ApplyCall(self._kernel, self._local, then, failed).start(entries, homes, required, deadline_s)

    def scan(self, page: PageRequest, required: int, deadline_s: float, then: ScanThen, failed: Failed) -> None:
        """Read one page of a partition from `required` replicas."""
        ScanCall(self._kernel, self._store, self._selector, then, failed).start(page, required, deadline_s)
