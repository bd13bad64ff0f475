"""What must hold at every step, looked at from outside the nodes.

Clients see only what they are told; these look at every batch that reaches a disk and at every acknowledgement. They
parse stored entries with cbor2 alone, so that no mistake of the product's own parsing hides another.

- I2: equal contexts for a key mean equal bytes, on whatever node.
- I3: a dot names one operation, for ever.
- I4: a replica's context for a key never shrinks.
- I6: a write is in the same batch as its outbox row, and the row goes only when a majority in every other data center
  has it.
- I9: outbox and table of calls stay within their limits.
- Rule 13: nothing is served that came under another ring epoch. Rule 5: a stream message is acknowledged only when a
  majority of the home replicas has made all of it durable.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import cbor2

from crdtkv.checking.violation import Violation
from crdtkv.node.effects import Effects
from crdtkv.node.events import Event, Received, TopologyChanged
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import located
from crdtkv.storage import rows
from crdtkv.storage.memory import Batch
from crdtkv.wire.messages import ReadReplica, ReplicaEntry, ReplicaWritten, WriteReplica

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster
    from crdtkv.sim.host import SimNode


class InvariantViolated(AssertionError):
    """Something that must never be; `violations` tells what."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(str(violation) for violation in violations[:5]))
        self.violations = violations


class Stored(NamedTuple):
    """An entry as the monitors read it; `claims` says what its state tells of single dots."""

    vector: dict[str, int]
    cloud: frozenset[tuple[str, int]]
    seen: bytes
    claims: list[tuple[tuple[str, int], object]]


class Monitors:
    """All step-level invariants of one life."""

    def __init__(self, cluster: "SimCluster") -> None:
        self._cluster = cluster
        self._is_forgetful = cluster.plan.is_forgetful
        self._parsed: dict[bytes, Stored] = {}
        self._bytes_of: dict[tuple[bytes, bytes], bytes] = {}
        self._claimed: dict[tuple[bytes, tuple[str, int]], object] = {}
        self._rings = {dc: HashRing(cluster.config.first_topology(dc)) for dc in cluster.config.datacenters}
        limits, geo = cluster.config.limits, cluster.config.geo
        peers = len(cluster.config.datacenters) - 1
        # A visit of anti-entropy is a call, too, and so are entries of other data centers, bounded by what is fetched.
        self._calls_max = limits.calls_in_flight_max + 1 + 8 * geo.batch_max * peers
        self._outbox_max = geo.outbox_max

    def watch(self, node: "SimNode") -> None:
        """Look at every batch of a node: before it is applied, and when it has become durable."""
        node.disk.on_commit = lambda batch: self._committing(node, batch)
        node.disk.on_durable = self._durable

    def stepped(self, node: "SimNode", events: list[Event], effects: Effects) -> None:
        """Look at what a step took in and gave out."""
        core = node.core
        assert core is not None
        if len(core.outbox) > self._outbox_max:
            _violated("I9", f"{node.place.node} has {len(core.outbox)} outbox rows of {self._outbox_max}")
        if len(core.step.calls) > self._calls_max:
            _violated("I9", f"{node.place.node} has {len(core.step.calls)} calls in flight of {self._calls_max}")
        if any(type(event) is TopologyChanged for event in events):
            return  # what came before it in this step was served under the epoch before it
        for event in events:
            if type(event) is Received and isinstance(event.peer, str) and event.epoch != core.step.epoch:
                self._served_no_other_epoch(node, event, effects)

    def acknowledged(self, node: "SimNode", payload: bytes) -> None:
        """Look at a stream message that a node says it has applied."""
        if self._is_forgetful:
            return
        for identity, entry in _entries_in(payload):
            row = rows.data_row(located(identity))
            if not self._majority_has(node.place.datacenter, row, self._parse(entry)):
                _violated("rule 5", f"{node.place.node} acknowledged {identity!r}, which no majority has")

    def _committing(self, node: "SimNode", batch: Batch) -> None:
        for row, value in batch.items():
            if row[:1] == b"d":
                assert value is not None
                self._entry(node, batch, row, value)
            elif row[:1] == b"o" and value is None:
                self._outbox_row_goes(node, batch, row)
        if batch.get(rows.OUTBOX_DROPPED) == b"":
            self._cluster.coverage.count("outbox_overflows")

    def _durable(self, batch: Batch) -> None:
        """Look at what is there for good; a dot that was lost before anybody heard of it may be used again."""
        for row, value in batch.items():
            if row[:1] != b"d" or value is None:
                continue
            stored = self._parse(value)
            for dot, claim in stored.claims:
                if self._claimed.setdefault((row, dot), claim) != claim:
                    _violated("I3", f"{row!r}: {dot} is {self._claimed[row, dot]!r} and {claim!r}")
            known = self._bytes_of.setdefault((row, stored.seen), value)
            if known != value:
                _violated("I2", f"{row!r}: equal contexts {stored.vector}, but {known.hex()} and {value.hex()}")

    def _entry(self, node: "SimNode", batch: Batch, row: bytes, value: bytes) -> None:
        stored = self._parse(value)
        before_bytes = node.disk.visible(row)
        before = self._parse(before_bytes) if before_bytes is not None else None
        if before is not None and not _descends(stored, before):
            _violated("I4", f"{node.place.node} {row!r}: {stored.vector} after {before.vector}")
        if node.core is not None and len(self._cluster.config.datacenters) > 1:
            actor = node.core.replica.actor
            counter = stored.vector.get(actor, 0)
            is_own = counter > (before.vector.get(actor, 0) if before is not None else 0)
            if is_own and not self._is_in_outbox(node, batch, row):
                _violated("I6", f"{node.place.node} wrote {row!r} {actor}:{counter} without an outbox row")

    def _outbox_row_goes(self, node: "SimNode", batch: Batch, outbox_row: bytes) -> None:
        """Look at an outbox row that is being deleted: everybody must have what it stands for."""
        key = node.disk.visible(outbox_row)
        if self._is_forgetful or node.core is None or key is None:
            return
        row = rows.data_row(key)
        if self._is_in_outbox(node, batch, row):
            return
        value = batch.get(row) or node.disk.visible(row)
        assert value is not None
        actor = node.core.replica.actor
        own = Stored({actor: self._parse(value).vector.get(actor, 0)}, frozenset(), b"", [])
        for peer in self._cluster.config.peers_of(node.place.datacenter):
            if not self._majority_has(peer, row, own):
                _violated("I6", f"{node.place.node} forgets to send {row!r} {own.vector}, which {peer} lacks")

    def _is_in_outbox(self, node: "SimNode", batch: Batch, row: bytes) -> bool:
        """Tell whether a key is in the outbox once this batch is applied, or everything will be sent again."""
        if rows.OUTBOX_DROPPED in batch:
            if batch[rows.OUTBOX_DROPPED] is not None:
                return True
        elif node.disk.visible(rows.OUTBOX_DROPPED) is not None:
            return True
        key = rows.located_in(row)
        if any(value == key for outbox_row, value in batch.items() if outbox_row[:1] == b"o"):
            return True
        stored = node.disk.committed(*rows.OUTBOX_RANGE)
        return any(value == key and batch.get(outbox_row, b"") is not None for outbox_row, value in stored)

    def _majority_has(self, datacenter: str, row: bytes, wanted: Stored) -> bool:
        replicas = self._rings[datacenter].preference_list(rows.located_in(row))
        holders = 0
        for name in replicas:
            value = self._cluster.nodes[name].disk.durable(row)
            holders += value is not None and _descends(self._parse(value), wanted)
        return holders > len(replicas) // 2

    def _served_no_other_epoch(self, node: "SimNode", frame: Received, effects: Effects) -> None:
        asked = {message.id for message in frame.messages if isinstance(message, (ReadReplica, WriteReplica))}
        for messages in (effects.at_once.get(frame.peer, []), effects.held.get(frame.peer, [])):
            for message in messages:
                ids = message.ids if isinstance(message, ReplicaWritten) else []
                served = asked.intersection(ids)
                if isinstance(message, ReplicaEntry) and message.id in asked:
                    served.add(message.id)
                if served:
                    _violated("rule 13", f"{node.place.node} served what came from {frame.peer} under {frame.epoch}")

    def _parse(self, value: bytes) -> Stored:
        stored = self._parsed.get(value)
        if stored is None:
            _, type_tag, state, vector, cloud, _ = cbor2.loads(value)
            stored = self._parsed[value] = Stored(
                dict(zip(vector[::2], vector[1::2], strict=True)),
                frozenset(zip(cloud[::2], cloud[1::2], strict=True)),
                cbor2.dumps([vector, cloud]),
                list(_CLAIMS[type_tag](state)),
            )
        return stored


def _entries_in(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the identities and entries of a batch; junk has none, and is acknowledged so that it blocks nothing."""
    try:
        _, _, [[_, _, _, batch]] = cbor2.loads(payload)
    except (ValueError, TypeError, cbor2.CBORError):
        return
    for _, identity, entry in batch:
        yield identity, entry


def _descends(stored: Stored, other: Stored) -> bool:
    mine = stored.vector
    for actor, counter in other.vector.items():
        have = mine.get(actor, 0)
        if have < counter and not all((actor, n) in stored.cloud for n in range(have + 1, counter + 1)):
            return False
    return all(dot[1] <= mine.get(dot[0], 0) or dot in stored.cloud for dot in other.cloud)


def _register_claims(state: list[Any]) -> Any:
    for at in range(0, len(state), 4):
        yield (state[at], state[at + 1]), (state[at + 2], state[at + 3])


def _lww_claims(state: list[Any]) -> Any:
    if state:
        yield (state[1], state[2]), (state[0], state[3])


def _counter_claims(state: list[Any]) -> Any:
    for at in range(0, len(state), 5):
        actor, counter, total, reset_counter, reset_total = state[at : at + 5]
        yield (actor, counter), total
        if reset_counter:
            yield (actor, reset_counter), reset_total


#: Per type: what a state says of single dots, which nothing may ever contradict.
_CLAIMS: dict[str, Callable[[list[Any]], Any]] = {
    "register": _register_claims,
    "lww": _lww_claims,
    "counter": _counter_claims,
}


def _violated(invariant: str, story: str) -> None:
    raise InvariantViolated([Violation(invariant, story)])
