"""`DigestReads`: quorum reads that end because the replicas hold the same, all reads of a step in one message.

Most replicas hold the same entry as the coordinator. So a coordinator that is a home replica sends the digests of its
own entries to the other replicas, and each answers with the positions of those it holds differently. A read ends with
the coordinator's entry when as many replicas as its level requires hold that.

Every other read starts again as a `GetCall`, which merges and repairs: the reads of entries that differ, and all reads
of a message that too few replicas have answered. So a digest decides only that there is nothing to merge. An entry that
is large, or not durable at the other replica, counts as different.

Source: Lakshman and Malik, "Cassandra: A Decentralized Structured Storage System" (2010); Cassandra's digest reads.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from crdtkv.errors import ProtocolError
from crdtkv.node.handoff.local_copy import LocalCopy
from crdtkv.node.kernel.calls import TRANSIENT_REFUSALS
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.quorum_calls.asking import AskingCall
from crdtkv.node.quorum_calls.hedging import Hedging
from crdtkv.node.quorum_calls.replica_selector import ReplicaSelector
from crdtkv.quorum.read_call import ReadQuorum
from crdtkv.quorum.tally import Outcome
from crdtkv.wire.messages import DigestRead, DigestReply, Message

#: The most reads of one message.
READS_MAX = 1_024


class ClientRead(NamedTuple):
    """The read of one key that this node coordinates; `deadline_s` is monotonic."""

    requester: Requester
    key: PlacedKey
    is_sloppy: bool
    required: int
    deadline_s: float


class Shown(NamedTuple):
    """A read and its result: the entry (None: never written), and whether it is durable at this node."""

    read: ClientRead
    entry: bytes | None
    is_durable: bool


class Reader(Protocol):
    """The part that answers the reads."""

    def show(self, results: Sequence[Shown]) -> None:
        """Answer reads of which enough replicas hold the same entry."""
        ...

    def read_in_full(self, read: ClientRead, answered: Sequence[str] = ()) -> None:
        """Read a key of which the replicas may hold different entries; those that have `answered` are asked first."""
        ...


class DigestReads:
    """The digest reads of one node."""

    def __init__(self, kernel: Kernel, local: LocalCopy, selector: ReplicaSelector, hedging: Hedging) -> None:
        self._kernel = kernel
        self._cluster = kernel.cluster
        self._local = local
        self._selector = selector
        self._hedging = hedging
        #: The calls of this step, by their replicas and how many of those must answer.
        self._open: dict[tuple[tuple[str, ...], int], DigestReadCall] = {}

    def add(self, read: ClientRead, reader: Reader) -> bool:
        """Add a read to those of this step; return False if it must be read in full."""
        key = read.key
        replicas = self._cluster.counted(key.token, read.is_sloppy)
        if len(replicas) < read.required or not self._cluster.serves(key.token):
            return False
        own, is_durable = self._local.entry(key)
        if self._local.is_large(own):
            return False
        call = self._open.get((replicas, read.required))
        if call is None:
            call = DigestReadCall(self._kernel, self._selector, self._hedging, reader)
            self._open[replicas, read.required] = call
        encoded, digest = (None, b"") if own is None else (own.to_bytes(), own.digest_bytes(key.storage_key))
        call.add(Shown(read, encoded, is_durable), digest)
        if call.is_full:
            self._begin(replicas, read.required, call)
            del self._open[replicas, read.required]
        return True

    def run_due(self) -> None:
        """Send the reads of this step."""
        if self._open:
            for (replicas, required), call in self._open.items():
                self._begin(replicas, required, call)
            self._open = {}

    def _begin(self, replicas: tuple[str, ...], required: int, call: "DigestReadCall") -> None:
        call.begin(replicas, ReadQuorum(self._selector.ordered(replicas, required), required), call.deadline_s)


class DigestReadCall(AskingCall[ReadQuorum]):
    """The reads of one message in flight."""

    def __init__(self, kernel: Kernel, selector: ReplicaSelector, hedging: Hedging, reader: Reader) -> None:
        super().__init__(kernel, selector, hedging)
        self._reader = reader
        self._results: list[Shown] = []
        self._rows: list[object] = []
        self._different: set[int] = set()
        #: The replicas that have answered, this node first.
        self._answered: list[str] = []
        self._number = self._calls.add(self)

    @property
    def is_full(self) -> bool:
        """Whether the message takes no more reads."""
        return len(self._results) >= READS_MAX

    @property
    def deadline_s(self) -> float:
        """The first deadline of the reads."""
        return min(result.read.deadline_s for result in self._results)

    def add(self, result: Shown, digest: bytes) -> None:
        """Add a read, with what this node holds of its key."""
        if self._results:
            self._calls.batched += 1
        self._results.append(result)
        self._rows += (result.read.key.identity, digest)

    def ask(self, replica: str) -> None:
        """Send the digests to a replica; this node holds what it compares with."""
        if replica == self._cluster.node:
            self._read.count(replica)
            self._answered.append(replica)
            return
        self._asked_at[replica] = self._step.now.monotonic_s
        self._step.effects.send(replica, DigestRead(self._number, self._rows))

    def answered(self, replica: str, message: Message) -> None:
        """Note which entries a replica holds differently.

        Raises:
            ProtocolError: the answer is malformed.
        """
        if not isinstance(message, DigestReply):
            return
        if not set(map(type, message.different)) <= {int}:
            raise ProtocolError("the positions in a digest reply are integers")
        self.note_answer(replica)
        if self._read.count(replica):
            self._answered.append(replica)
            self._different.update(message.different)  # type: ignore[arg-type]
            if self._read.outcome is Outcome.REACHED:
                self._conclude()

    def refused(self, replica: str, code: str) -> None:
        """Continue without a replica that refuses; a transient refusal says nothing about its speed."""
        if code in TRANSIENT_REFUSALS:
            self._asked_at.pop(replica, None)
        self.lost(replica)

    def go_on(self, spare: str | None) -> None:
        """Ask a spare replica; without one, read all keys in full."""
        if spare is not None:
            self.ask(spare)
        elif self._read.outcome is Outcome.IMPOSSIBLE:
            self.too_late()

    def too_late(self) -> None:
        """Read all keys in full."""
        self._different.update(range(len(self._results)))
        self._conclude()

    def _conclude(self) -> None:
        """Show the entries that enough replicas hold, and read the others in full."""
        self.wait_no_more()
        self._calls.end(self._number)
        self._calls.batched -= len(self._results) - 1
        different = self._different
        if not different:
            self._reader.show(self._results)
            return
        self._reader.show([result for position, result in enumerate(self._results) if position not in different])
        in_full = [result.read for position, result in enumerate(self._results) if position in different]
        self._step.stats.count("reads_in_full", len(in_full))
        for read in in_full:
            self._reader.read_in_full(read, self._answered)
