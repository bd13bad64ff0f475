"""`Coordinator`: what a node does with a client's request.

Every request goes the same way: check it (nothing is written if it is wrong), place it on the ring, forward it if this
node is no replica, refuse it if the level cannot be met or the node is full, and only then make a dot or a call.
"""

from crdtkv.causality.context import CausalContext
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.registry import type_named
from crdtkv.errors import (
    CrdtkvError,
    InsufficientStorage,
    InvalidRequest,
    Overloaded,
    Unavailable,
    UnknownBucket,
    ValueTooLarge,
)
from crdtkv.ids import MAX_KEY_BYTES, MAX_VALUE_BYTES, Key, parse_identity
from crdtkv.node.events import Peer
from crdtkv.node.forwarding import Forwardable, ForwardCall
from crdtkv.node.reading import GetCall
from crdtkv.node.replica import Replica
from crdtkv.node.requester import Requester
from crdtkv.node.scanning import MAX_PAGE_ROWS, ScanCall
from crdtkv.node.step import Step
from crdtkv.node.writing import PutCall
from crdtkv.quorum.level import ConsistencyLevel, level_from_wire
from crdtkv.ring.token import located as located_of
from crdtkv.storage.store import Store
from crdtkv.wire.messages import EntryReply, GetRequest, MutateReply, MutateRequest, ScanReply, ScanRequest

MAX_TIMEOUT_MS = 10 * 60 * 1000


class Coordinator:
    """Client requests of one node."""

    def __init__(self, step: Step, replica: Replica, store: Store, buckets: frozenset[str], calls_max: int) -> None:
        self._step = step
        self._replica = replica
        self._store = store
        self._buckets = buckets
        self._calls_max = calls_max
        self.has_disk_space = True
        self._prefixes: dict[bytes, tuple[str, str]] = {}
        self._levels: dict[tuple[object, ...], ConsistencyLevel] = {}

    def get(self, peer: Peer, request: GetRequest) -> None:
        """Answer a read with the merged entry."""
        step = self._step
        requester = Requester(
            peer, request.id, "get", str(request.level[0] if request.level else ""), step.now.monotonic_s
        )
        try:
            level = self._level(request.level)
            key = self._key(request.identity)
            required = level.read_quorum(step.ring.replication_factor)
            located = located_of(request.identity)
            replicas = step.ring.preference_list(located)
            if step.node not in replicas:
                self._forward(requester, request, replicas, required)
                return
            if required == 1:
                entry, is_durable = self._replica.read(located)
                requester.reply(step, EntryReply(request.id, entry), is_durable)
                return
            self._check_load()
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        GetCall(
            step,
            self._replica,
            located,
            request.identity,
            key,
            then=lambda entry, is_durable: requester.reply(step, EntryReply(request.id, entry), is_durable),
            failed=lambda error: requester.refuse(step, error),
        ).start(replicas, required, _deadline(requester, request.timeout_ms))

    def mutate(self, peer: Peer, request: MutateRequest) -> None:
        """Carry out one operation, reading a quorum first where it removes what it has not been shown."""
        step = self._step
        requester = Requester(
            peer,
            request.id,
            request.operation[:16],
            str(request.level[0] if request.level else ""),
            step.now.monotonic_s,
        )
        try:
            level = self._level(request.level)
            key = self._key(request.identity)
            required = level.write_quorum(step.ring.replication_factor)
            read_first = level.read_quorum(step.ring.replication_factor) if request.operation == "delete" else 1
            located = located_of(request.identity)
            replicas = step.ring.preference_list(located)
            if step.node not in replicas:
                self._forward(requester, request, replicas, required)
                return
            self._check_load()
            seen = CausalContext.from_wire(request.context) if request.context is not None else None
            self._check_writable(request, replicas, required)
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        if seen is not None or read_first == 1:
            self._write(requester, request, located, key, seen, replicas, required)
            return

        def write_merged(entry: bytes | None, _: bool) -> None:
            if entry is not None:
                self._replica.merge(located, key, Entry.from_bytes(entry))
            self._write(requester, request, located, key, None, replicas, required)

        GetCall(
            step,
            self._replica,
            located,
            request.identity,
            key,
            then=write_merged,
            # Nothing was written: a read that failed is told as "unavailable", which may be retried.
            failed=lambda error: requester.refuse(step, Unavailable(required, getattr(error, "received", 0))),
        ).start(replicas, read_first, _deadline(requester, request.timeout_ms))

    def scan(self, peer: Peer, request: ScanRequest) -> None:
        """Answer with one page of one partition."""
        step = self._step
        requester = Requester(
            peer, request.id, "scan", str(request.level[0] if request.level else ""), step.now.monotonic_s
        )
        try:
            level = self._level(request.level)
            required = level.read_quorum(step.ring.replication_factor)
            if request.partition >= step.ring.partitions:
                raise InvalidRequest(
                    f"there are {step.ring.partitions} partitions, none has number {request.partition}"
                )
            replicas = step.ring.replicas_of(request.partition)
            if step.node not in replicas:
                self._forward(requester, request, replicas, required)
                return
            self._check_load()
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        ScanCall(
            step,
            self._store,
            # Rows of a page may not be durable yet; it waits for everything written so far.
            then=lambda rows, after: requester.reply(step, ScanReply(request.id, rows, after), is_durable=False),
            failed=lambda error: requester.refuse(step, error),
        ).start(
            request.partition,
            request.prefix,
            request.after,
            min(max(request.limit, 1), MAX_PAGE_ROWS),
            replicas,
            required,
            _deadline(requester, request.timeout_ms),
        )

    def _write(
        self,
        requester: Requester,
        request: MutateRequest,
        located: bytes,
        key: Key,
        seen: CausalContext | None,
        replicas: tuple[str, ...],
        required: int,
    ) -> None:
        step = self._step
        try:
            write = self._replica.mutate(located, key, request.operation, request.arguments, seen, request.observed)
        except CrdtkvError as error:
            requester.refuse(step, error)
            return
        PutCall(
            step,
            self._replica,
            located,
            key,
            # Our own replica counts, so the answer waits for our own commit.
            then=lambda: requester.reply(step, MutateReply(request.id, write.timestamp), is_durable=False),
            failed=lambda error: requester.refuse(step, error),
        ).start(
            request.identity,
            write.entry,
            write.timestamp if seen is None else 0,
            replicas,
            required,
            _deadline(requester, request.timeout_ms),
        )

    def _forward(self, requester: Requester, request: Forwardable, replicas: tuple[str, ...], required: int) -> None:
        if isinstance(requester.peer, str):
            # A forwarded request is not forwarded again: the two rings differ, which the epochs will settle.
            raise Unavailable(required, 0)
        self._check_load()
        ForwardCall(self._step, requester, request, required).start(replicas, _deadline(requester, request.timeout_ms))

    def _check_load(self) -> None:
        if len(self._step.calls) >= self._calls_max:
            raise Overloaded("the node has too many requests in flight: back off and retry")

    def _check_writable(self, request: MutateRequest, replicas: tuple[str, ...], required: int) -> None:
        if not self.has_disk_space:
            raise InsufficientStorage(
                "the node's disk is almost full: free space or add nodes; writes resume by themselves"
            )
        for argument in request.arguments:
            if isinstance(argument, bytes) and len(argument) > MAX_VALUE_BYTES:
                raise ValueTooLarge(len(argument), MAX_VALUE_BYTES)
        alive = sum(self._step.is_alive(name) for name in replicas)
        if alive < required:
            raise Unavailable(required, alive)

    def _key(self, identity: bytes) -> Key:
        """Parse and check an identity; what comes before the key itself is checked once and remembered."""
        end = identity.find(b"\0", identity.find(b"\0") + 1) + 1
        known = self._prefixes.get(identity[:end])
        if known is not None and 1 <= len(identity) - end <= MAX_KEY_BYTES:
            return Key(*known, identity[end:])
        key = parse_identity(identity)
        type_named(key.type_tag)
        if key.bucket not in self._buckets:
            raise UnknownBucket(f"unknown bucket {key.bucket!r}: declare it under 'buckets' in datacenters.yaml")
        self._prefixes[identity[:end]] = (key.bucket, key.type_tag)
        return key

    def _level(self, wire: list[object]) -> ConsistencyLevel:
        """Parse a level; the few that are in use are remembered."""
        if len(wire) > 3 or not all(isinstance(part, (str, int)) for part in wire):
            raise InvalidRequest("a level is [name] or ['QUORUM', r, w]")
        level = self._levels.get(tuple(wire))
        if level is None:
            level = level_from_wire(wire)
            if len(self._levels) < 256:
                self._levels[tuple(wire)] = level
        return level


def _deadline(requester: Requester, timeout_ms: int) -> float:
    return requester.started_s + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
