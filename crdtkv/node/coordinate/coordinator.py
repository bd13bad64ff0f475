"""`Coordinator`: handles the reads and scans of clients (`mutation_flow` handles the writes).

Every request takes the same steps: check it, place it on the ring, forward it if other nodes answer for the key
(`placing`), refuse it if the level cannot be met or the node is full, and only then begin a call.

`LINEARIZABLE` is the protocol of Attiya, Bar-Noy and Dolev. A write first reads a majority, which gives it a timestamp
above all that was written before, then writes to a majority. A read returns only a value that a majority holds, after a
write-back if need be. Home replicas count, fallback replicas and learners do not, and all of them use one ring epoch.
Values must be ordered by that timestamp alone, so this level is for registers.

Source: Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in Message-Passing Systems" (1995).
"""

from collections.abc import Sequence

from crdtkv.causality.dot import Dot
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, InvalidRequest, Overloaded, ReadTimeout, StaleReplica, Unavailable
from crdtkv.node.coordinate.background_read_repair import BackgroundReadRepair
from crdtkv.node.coordinate.placing import UNKNOWN, Placing, check_linearizable, deadline_of
from crdtkv.node.datacenters.remote_calls import Elsewhere
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.quorum_calls.digest_reading import ClientRead, Shown
from crdtkv.node.quorum_calls.quorum_calls import QuorumCalls
from crdtkv.node.quorum_calls.scanning import MAX_PAGE_ROWS, PageRequest
from crdtkv.node.replica.replica import Replica
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.ring.token import partition_start
from crdtkv.wire.messages import EntriesReply, GetRequest, MutateReply, ScanReply, ScanRequest, WaitRequest

#: The largest answer to several reads, in bytes.
RUN_BYTES = 256 * 1024


class Coordinator:
    """The reads and scans that clients send to one node."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        placing: Placing,
        quorum_calls: QuorumCalls,
        elsewhere: Elsewhere,
        background: BackgroundReadRepair,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._placing = placing
        self._quorum_calls = quorum_calls
        self._elsewhere = elsewhere
        self._background = background

    def get(self, peer: Peer, request: GetRequest) -> None:
        """Answer reads; consecutive reads that this replica can answer alone are answered at once, in one message."""
        step = self._step
        first_id, identities, level_text, timeout_ms = request
        now_s = step.arrived_s
        try:
            level = self._placing.level(level_text)
            required = level.read_quorum(self._cluster.ring.replication_factor)
        except CrdtkvError as error:
            for number in range(first_id, first_id + len(identities)):
                Requester(peer, number, "get", UNKNOWN, now_s).refuse(step, error)
            return
        run: list[object] = []
        run_id = first_id
        run_bytes = 0
        answers_alone = required == 1 and not level.spans_datacenters
        has_room = step.effects.has_room_for(peer)
        for number, identity in enumerate(identities, first_id):
            try:
                key = self._placing.keys.from_client(identity)
                if not has_room:
                    raise Overloaded("too much was read at once: read the answers, then ask again")
                if answers_alone and self._cluster.serves(key.token):
                    entry, is_durable = self._replica.shown(key.storage_key)
                    if is_durable:
                        run.append(entry)
                        if entry is not None:
                            run_bytes += len(entry)
                        if run_bytes >= RUN_BYTES:
                            self._answer_run(peer, request, run_id, run, level.name)
                            run, run_id, run_bytes = [], number + 1, 0
                            has_room = step.effects.has_room_for(peer)
                        continue
                    requester = Requester(peer, number, "get", level.name, now_s)
                    requester.reply(step, EntriesReply(number, [entry]), is_durable=False)
                else:
                    requester = Requester(peer, number, "get", level.name, now_s)
                    self._get_with_others(requester, key, level, required, timeout_ms)
            except CrdtkvError as error:
                Requester(peer, number, "get", level.name, now_s).refuse(step, error)
            self._answer_run(peer, request, run_id, run, level.name)
            run, run_id, run_bytes = [], number + 1, 0
            has_room = step.effects.has_room_for(peer)
        self._answer_run(peer, request, run_id, run, level.name)

    def scan(self, peer: Peer, request: ScanRequest) -> None:
        """Answer with one page of one partition."""
        step, placing, ring = self._step, self._placing, self._cluster.ring
        requester = Requester(peer, request.id, "scan", placing.label(request.level), step.arrived_s)
        try:
            level = placing.level(request.level)
            required = level.read_quorum(ring.replication_factor)
            placing.keys.check_prefix(request.prefix)
            if request.partition >= ring.partitions:
                raise InvalidRequest(f"there are {ring.partitions} partitions, none has number {request.partition}")
            if level.is_linearizable:
                raise InvalidRequest("a scan has no LINEARIZABLE form: read single registers, or scan at LOCAL_QUORUM")
            if level.spans_datacenters:
                raise InvalidRequest(f"a scan reads one data center: scan at LOCAL_QUORUM, not at {level}")
            token = partition_start(request.partition, ring.partitions)
            if placing.forward(requester, request, token, level, required):
                return
            placing.check_load()
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        self._quorum_calls.scan(
            PageRequest(request.partition, request.prefix, request.after, min(max(request.limit, 1), MAX_PAGE_ROWS)),
            required,
            deadline_of(requester, request.timeout_ms),
            # Rows of a page may not be durable yet: the answer waits for all writes so far.
            then=lambda rows, after: requester.reply(
                step,
                ScanReply(request.id, self._as_of_now(rows), after),
                is_durable=False,
            ),
            failed=lambda error: requester.refuse(step, error),
        )

    def _get_with_others(
        self,
        requester: Requester,
        key: PlacedKey,
        level: ConsistencyLevel,
        required: int,
        timeout_ms: int,
    ) -> None:
        check_linearizable(level, key)
        if not self._cluster.serves(key.token):
            request = GetRequest(requester.id, [key.identity], level.to_wire(), timeout_ms)
            if self._placing.forward(requester, request, key.token, level, required):
                return
        self._placing.check_load()
        if level.spans_datacenters:
            self._get_everywhere(requester, key, level, required, deadline_of(requester, timeout_ms))
            return
        read = ClientRead(requester, key, level.is_sloppy, required, deadline_of(requester, timeout_ms))
        if not self._quorum_calls.digest_reads.add(read, self):
            self.read_in_full(read)

    def _get_everywhere(
        self, requester: Requester, key: PlacedKey, level: ConsistencyLevel, required: int, deadline_s: float
    ) -> None:
        """Read a key in other data centers, and merge what they hold here; then read it here at the level."""
        step = self._step
        self._elsewhere.check(level)
        if not self._cluster.serves(key.token):
            raise Unavailable(required, 0)

        def failed(error: CrdtkvError) -> None:
            requester.refuse(step, error)

        def arrived(entries: list[bytes]) -> None:
            if not self._cluster.serves(key.token):
                failed(Unavailable(required, 0))  # the quorum read here would miss what only this node merges
                return
            try:
                for encoded in entries:
                    if encoded != self._replica.read(key.storage_key)[0]:
                        self._replica.merge(key, Entry.from_peer(encoded, key.type_tag))
            except CrdtkvError as error:
                failed(error)
                return
            # The quorum read repairs the other replicas here before it answers.
            self.read_in_full(ClientRead(requester, key, False, required, deadline_s))

        self._elsewhere.read(key, level, deadline_s, arrived, failed)

    def wait(self, peer: Peer, request: WaitRequest) -> None:
        """Answer when an earlier write is durable at a majority here, and in each of the requested data centers."""
        step, here = self._step, self._cluster.datacenter
        requester = Requester(peer, request.id, "wait", UNKNOWN, step.arrived_s)
        deadline_s = deadline_of(requester, request.timeout_ms)

        def failed(error: CrdtkvError) -> None:
            requester.refuse(step, error)

        def stored(others: list[str]) -> None:
            reply = MutateReply(request.id, 0, request.actor, request.counter, None, [here, *others])
            requester.reply(step, reply, is_durable=False)

        def read(encoded: bytes | None, _: bool) -> None:
            entry = Entry.from_replica(encoded, key.type_tag) if encoded is not None else None
            if entry is None or encoded is None or dot not in entry.context:
                failed(StaleReplica("no replica in reach has the write"))
            else:
                self._elsewhere.write_in(key, encoded, others, deadline_s, stored, failed)

        try:
            key = self._placing.keys.from_client(request.identity)
            dot = Dot(request.actor, request.counter)
            others = self._elsewhere.check_names(request.datacenters)
            self._placing.check_load()
        except CrdtkvError as error:
            failed(error)
            return
        # A quorum read repairs the replicas here before it returns.
        self._quorum_calls.read_majority(key, deadline_s, read, failed)

    def show(self, results: Sequence[Shown]) -> None:
        """Answer reads of which enough replicas hold the same entry, consecutive ones of a client in one message."""
        run: list[object] = []
        run_bytes = 0
        for position, result in enumerate(results):
            if run and (run_bytes >= RUN_BYTES or not _continues(results[position - 1], result)):
                self._show_run(results[position - len(run)], run)
                run, run_bytes = [], 0
            entry = self._replica.as_of_now(result.entry)
            run.append(entry)
            run_bytes += len(entry or b"")
        if run:
            self._show_run(results[-len(run)], run)

    def read_in_full(self, read: ClientRead, answered: Sequence[str] = ()) -> None:
        """Read a key of which the replicas may hold different entries; those that have `answered` are asked first."""
        step, requester, key = self._step, read.requester, read.key
        if read.deadline_s <= step.now.monotonic_s:
            requester.refuse(step, ReadTimeout(len(answered), read.required))
            return
        self._quorum_calls.read(
            key,
            self._cluster.responsibles(key.token, read.is_sloppy),
            read.required,
            read.deadline_s,
            then=lambda entry, is_durable: requester.reply(
                step, EntriesReply(requester.id, [self._replica.as_of_now(entry)]), is_durable
            ),
            failed=lambda error: requester.refuse(step, error),
            first=answered,
        )

    def _answer_run(self, peer: Peer, request: GetRequest, first_id: int, entries: list[object], level: str) -> None:
        """Answer consecutive reads with one message."""
        if entries:
            self._step.effects.send(peer, EntriesReply(first_id, entries))
            self._step.stats.request("get", level, "ok", 0.0, len(entries))
            self._background.answered(request.identities, first_id - request.id, len(entries))

    def _show_run(self, first: Shown, entries: list[object]) -> None:
        """Answer consecutive reads of one client with one message."""
        step = self._step
        peer, number, kind, level, started_s = first.read.requester
        step.answer(peer, EntriesReply(number, entries), first.is_durable)
        step.stats.request(kind, level, "ok", step.now.monotonic_s - started_s, len(entries))

    def _as_of_now(self, rows: list[tuple[bytes, bytes | None]]) -> list[object]:
        return [[identity, self._replica.as_of_now(entry)] for identity, entry in rows]


def _continues(before: Shown, result: Shown) -> bool:
    """Return whether the answer to a read may follow that of another one in one message."""
    first, second = before.read.requester, result.read.requester
    # Another node that forwards a read waits for an answer of its own.
    is_next = second.id == first.id + 1 and second.peer == first.peer and isinstance(first.peer, int)
    return is_next and second.level == first.level and result.is_durable == before.is_durable
