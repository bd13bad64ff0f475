"""`Coordinator`: what a node does with a client's request.

Every request goes the same way: check it (nothing is written if it is wrong), place it on the ring, forward it if other
nodes answer for the key, refuse it if the level cannot be met or the node is full, and only then make a dot or a call.

`LINEARIZABLE` is the protocol of Attiya, Bar-Noy and Dolev. A write first reads a majority, which gives it a timestamp
above all that was written before, then writes to a majority. A read returns only what a majority holds, written back
if need be. Replicas count, stand-ins and learners do not, and all of them are under one ring epoch. Values must be
ordered by that timestamp alone, so this is for registers.

Source: Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in Message-Passing Systems" (1995).
"""

from crdtkv.causality.context import CausalContext, from_client
from crdtkv.crdt.bounded_counter import BoundedCounter
from crdtkv.crdt.register import Register
from crdtkv.crdt.registry import OPERATIONS, type_named
from crdtkv.errors import (
    CrdtkvError,
    InvalidRequest,
    Overloaded,
    Unavailable,
    ValueTooLarge,
)
from crdtkv.ids import MAX_VALUE_BYTES
from crdtkv.node.coordinate.background_read_repair import BackgroundReads
from crdtkv.node.coordinate.mutation_flow import Mutating, Mutation
from crdtkv.node.handoff.handoff import Handoff
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.keys import KeyCheck, PlacedKey
from crdtkv.node.kernel.requester import Requester
from crdtkv.node.kernel.seats import Seat
from crdtkv.node.kernel.step import Step
from crdtkv.node.quorum_calls.forwarding import Forwardable, ForwardCall
from crdtkv.node.quorum_calls.hedging import Hedging
from crdtkv.node.quorum_calls.reading import Failed, GetCall, Then
from crdtkv.node.quorum_calls.replica_selector import Preference
from crdtkv.node.quorum_calls.scanning import MAX_PAGE_ROWS, ScanCall
from crdtkv.node.replica.operations import ID_BYTES, Operations
from crdtkv.node.replica.replica import Replica, disk_is_full
from crdtkv.node.rights.rights import Rights
from crdtkv.quorum.level import ConsistencyLevel, level_named, majority
from crdtkv.ring.token import partition_of, partition_start
from crdtkv.storage.store import Store
from crdtkv.wire.messages import EntriesReply, GetRequest, MutateRequest, ScanReply, ScanRequest

MAX_TIMEOUT_MS = 10 * 60 * 1000
MAX_TTL_MS = 100 * 365 * 86_400 * 1000
MAX_LEVELS = 256
#: Reads are answered together up to that size.
RUN_BYTES = 256 * 1024
UNKNOWN = "unknown"


class Coordinator:
    """Client requests of one node."""

    def __init__(
        self,
        step: Step,
        replica: Replica,
        handoff: Handoff,
        operations: Operations,
        store: Store,
        keys: KeyCheck,
        preference: Preference,
        hedging: Hedging,
        background: BackgroundReads,
        rights: Rights,
        calls_max: int,
        bucket_ttls_ms: dict[bytes, int],
    ) -> None:
        self._step = step
        self._replica = replica
        self._handoff = handoff
        self._operations = operations
        self._store = store
        self._keys = keys
        self._preference = preference
        self._hedging = hedging
        self._background = background
        self._calls_max = calls_max
        self._bucket_ttls_ms = bucket_ttls_ms
        self._mutating = Mutating(step, replica, handoff, operations, rights, self._get_call, self._mutate)
        self._levels: dict[str, ConsistencyLevel] = {}

    def get(self, peer: Peer, request: GetRequest) -> None:
        """Answer reads; those this replica can answer alone, at once and together."""
        step = self._step
        first_id, identities, level_text, timeout_ms = request
        now_s = step.arrived_s
        try:
            level = self._level(level_text)
            required = level.read_quorum(step.ring.replication_factor)
        except CrdtkvError as error:
            for number in range(first_id, first_id + len(identities)):
                Requester(peer, number, "get", UNKNOWN, now_s).refuse(step, error)
            return
        run: list[object] = []
        run_id = first_id
        run_bytes = 0
        answers_alone = required == 1
        has_room = step.effects.has_room_for(peer)
        for number, identity in enumerate(identities, first_id):
            try:
                key = self._keys.from_client(identity)
                if not has_room:
                    raise Overloaded("too much was read at once: read the answers, then ask again")
                if answers_alone and step.serves(key.token):
                    entry, is_durable = self._replica.shown(key.located)
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

    def mutate(self, peer: Peer, request: MutateRequest) -> None:
        """Check one operation and place it, then carry it out (`mutating`)."""
        step = self._step
        kind = request.operation if request.operation in OPERATIONS else UNKNOWN
        self._mutate(Requester(peer, request.id, kind, self._label(request.level), step.arrived_s), request)

    def _mutate(self, requester: Requester, request: MutateRequest) -> None:
        step = self._step
        try:
            level = self._level(request.level)
            key = self._keys.from_client(request.identity)
            _check_linearizable(level, key)
            if level.is_sloppy and key.type_tag == BoundedCounter.type_tag:
                raise InvalidRequest(f"{level} is not for a bcounter, stand-ins have no rights of their own: use ONE")
            required = level.write_quorum(step.ring.replication_factor)
            if self._hand_on(requester, request, key.token, level, required):
                return
            self._check_load()
            seen = from_client(request.context) if request.context is not None else None
            seats = step.seats(key.token, level.is_sloppy)
            self._check_writable(request, seats, required)
            mutation = Mutation(
                requester,
                request,
                key,
                seen,
                seats,
                required,
                self._read_first(key, request, seen, level),
                self._ttl_ms(key, request),
                _deadline(requester, request.timeout_ms),
            )
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        self._mutating.begin(mutation)

    def scan(self, peer: Peer, request: ScanRequest) -> None:
        """Answer with one page of one partition."""
        step = self._step
        requester = Requester(peer, request.id, "scan", self._label(request.level), step.arrived_s)
        try:
            level = self._level(request.level)
            required = level.read_quorum(step.ring.replication_factor)
            self._keys.check_prefix(request.prefix)
            if request.partition >= step.ring.partitions:
                raise InvalidRequest(
                    f"there are {step.ring.partitions} partitions, none has number {request.partition}"
                )
            if level.is_linearizable:
                raise InvalidRequest("a scan has no LINEARIZABLE form: read single registers, or scan at LOCAL_QUORUM")
            token = partition_start(request.partition, step.ring.partitions)
            if self._hand_on(requester, request, token, level, required):
                return
            self._check_load()
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        ScanCall(
            step,
            self._store,
            self._preference,
            # Rows of a page may not be durable yet; it waits for everything written so far.
            then=lambda rows, after: requester.reply(
                step,
                ScanReply(request.id, self._as_of_now(rows), after),
                is_durable=False,
            ),
            failed=lambda error: requester.refuse(step, error),
        ).start(
            request.partition,
            request.prefix,
            request.after,
            min(max(request.limit, 1), MAX_PAGE_ROWS),
            step.ring.replicas_of(request.partition),
            required,
            _deadline(requester, request.timeout_ms),
        )

    def _get_with_others(
        self,
        requester: Requester,
        key: PlacedKey,
        level: ConsistencyLevel,
        required: int,
        timeout_ms: int,
    ) -> None:
        step = self._step
        _check_linearizable(level, key)
        request = GetRequest(requester.id, [key.identity], level.to_wire(), timeout_ms)
        if self._hand_on(requester, request, key.token, level, required):
            return
        self._check_load()
        self._get_call(
            key,
            then=lambda entry, is_durable: requester.reply(
                step, EntriesReply(requester.id, [self._replica.as_of_now(entry)]), is_durable
            ),
            failed=lambda error: requester.refuse(step, error),
        ).start(step.seats(key.token, level.is_sloppy), required, _deadline(requester, timeout_ms))

    def _get_call(self, key: PlacedKey, then: Then, failed: Failed, is_for_write: bool = False) -> GetCall:
        return GetCall(self._step, self._handoff, self._preference, self._hedging, key, then, failed, is_for_write)

    def _answer_run(self, peer: Peer, request: GetRequest, first_id: int, entries: list[object], level: str) -> None:
        """Answer consecutive reads with one message."""
        if entries:
            self._step.effects.send(peer, EntriesReply(first_id, entries))
            self._step.stats.request("get", level, "ok", 0.0, len(entries))
            self._background.answered(request.identities, first_id - request.id, len(entries))

    def _as_of_now(self, rows: list[tuple[bytes, bytes | None]]) -> list[object]:
        return [[identity, self._replica.as_of_now(entry)] for identity, entry in rows]

    def _read_first(
        self, key: PlacedKey, request: MutateRequest, seen: CausalContext | None, level: ConsistencyLevel
    ) -> int:
        """Return how many replicas to read before an operation, 0 for none.

        An operation that acts on what it has seen should see what a quorum has; one that a client bases on what it
        had read must have seen that, if its type needs it.
        """
        state_type = type_named(key.type_tag)
        factor = self._step.ring.replication_factor
        quorum = level.read_quorum(factor)
        if seen is None:
            acts_on_seen = state_type.acts_on_seen(request.operation, request.arguments)
            return quorum if quorum > 1 and (acts_on_seen or level.is_linearizable) else 0
        if state_type.has_partial_deltas and not self._replica.has_seen(key.located, seen):
            return max(quorum, majority(factor))
        return quorum if level.is_linearizable else 0

    def _ttl_ms(self, key: PlacedKey, request: MutateRequest) -> int:
        """Return after how long what is written expires, 0 for never."""
        is_bounded = key.type_tag == BoundedCounter.type_tag
        if request.ttl_ms is None:
            return 0 if is_bounded else self._bucket_ttls_ms.get(key.identity.partition(b"\0")[0], 0)
        if is_bounded and request.ttl_ms:
            raise InvalidRequest("a bcounter does not expire: rights to decrement it may be in use elsewhere")
        if request.ttl_ms > MAX_TTL_MS:
            raise InvalidRequest(f"a time to live is at most {MAX_TTL_MS // 1000} seconds")
        return request.ttl_ms

    def _hand_on(
        self, requester: Requester, request: Forwardable, token: int, level: ConsistencyLevel, required: int
    ) -> bool:
        """Forward a request that other nodes answer for; False if this one does.

        Of the home replicas a read goes to the preferred one, a write to the first, so that the writes of a key meet.
        At a sloppy level a node that is no replica does so, too: when none is alive, and it is the first stand-in, or
        was taken for it.
        """
        step = self._step
        if step.serves(token):
            return False
        is_forwarded = isinstance(requester.peer, str)
        ring = step.ring
        nodes = [name for name in ring.replicas_at(token) if name in step.alive and name not in ring.learners]
        if not is_forwarded and not isinstance(request, MutateRequest):
            nodes = self._preference.ordered(nodes, 1)
        if level.is_sloppy and not isinstance(request, ScanRequest) and (is_forwarded or not nodes):
            nodes = [name for name in step.stand_ins(partition_of(token, ring.partitions)) if step.is_alive(name)]
            if step.node in nodes and (is_forwarded or nodes[0] == step.node):
                return False
        if is_forwarded:
            # A forwarded request is not forwarded again: the two rings differ, which the epochs will settle.
            raise Unavailable(required, 0)
        self._check_load()
        call = ForwardCall(step, self._preference.latencies, self._operations, requester, request, required)
        call.start(nodes, _deadline(requester, request.timeout_ms))
        return True

    def _check_load(self) -> None:
        if len(self._step.calls) >= self._calls_max:
            raise Overloaded("the node has too many requests in flight: back off and retry")

    def _check_writable(self, request: MutateRequest, seats: tuple[Seat, ...], required: int) -> None:
        if not self._step.has_disk_space:
            raise disk_is_full()
        if len(request.operation_id) != (ID_BYTES if request.tried or request.operation_id else 0):
            raise InvalidRequest(f"an operation id has {ID_BYTES} bytes")
        for argument in request.arguments:
            if isinstance(argument, bytes) and len(argument) > MAX_VALUE_BYTES:
                raise ValueTooLarge(len(argument), MAX_VALUE_BYTES)
        alive = sum(seat.is_counted for seat in seats)
        if alive < required:
            raise Unavailable(required, alive)

    def _level(self, text: str) -> ConsistencyLevel:
        """Parse a level; the few that are in use are remembered."""
        level = self._levels.get(text)
        if level is None:
            level = level_named(text)
            if len(self._levels) < MAX_LEVELS:
                self._levels[text] = level
        return level

    def _label(self, text: str) -> str:
        """Return a level's name for the metrics; what a client made up gets no label of its own."""
        try:
            return self._level(text).name
        except CrdtkvError:
            return UNKNOWN


def _check_linearizable(level: ConsistencyLevel, key: PlacedKey) -> None:
    if level.is_linearizable and key.type_tag != Register.type_tag:
        raise InvalidRequest(f"LINEARIZABLE is for registers, not for a {key.type_tag}: use LOCAL_QUORUM")


def _deadline(requester: Requester, timeout_ms: int) -> float:
    return requester.started_s + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
