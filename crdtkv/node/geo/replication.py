"""`GeoReplication`: sends this node's outbox to other data centers, and applies their messages.

Sending: a batch of outbox rows, with the entries as they are now, goes to the stream when the stream is idle, or the
batch full; at most `BATCHES_IN_FLIGHT` wait for the stream. So rows queue up, and hot keys coalesce, while the stream
is busy. A batch leaves only when its entries are durable here. Receiving: when a majority has each entry of a message
(`applying`), the message is acknowledged and its sender gets a confirmation.

A message that cannot be decoded is counted, kept as a dead letter, and acknowledged, so that it does not block those
behind it. This is safe: the sender keeps its rows until a confirmation, which never comes.
"""

from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError, ProtocolError
from crdtkv.ids import Actor, actor_name, node_of, parse_identity
from crdtkv.log_text import LineRate
from crdtkv.node.datacenters.applying import Applier, ArrivedEntry
from crdtkv.node.geo.inbox import Delivery
from crdtkv.node.geo.pacing import Pacing
from crdtkv.node.kernel.effects import AckStream, Publish, SendBus
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.keys import KeyCheck
from crdtkv.node.replica.outbox import Outbox
from crdtkv.node.replica.replica import Replica
from crdtkv.ring.token import identity_in
from crdtkv.storage import rows
from crdtkv.storage.store import Store
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import Confirm, GeoBatch, Message

BATCHES_IN_FLIGHT = 4
BATCH_BYTES = 512 * 1024
#: Space in a message for everything but its largest entry.
ENVELOPE_BYTES = 64 * 1024
RETRY_S = 1.0
MAX_DEAD_LETTERS = 100


class GeoReplication:
    """The publisher and applier of one node."""

    def __init__(
        self,
        kernel: Kernel,
        replica: Replica,
        outbox: Outbox,
        store: Store,
        keys: KeyCheck,
        applier: Applier,
        batch_max: int,
        entry_bytes_max: int,
    ) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._replica = replica
        self._outbox = outbox
        self._store = store
        self._keys = keys
        self._applier = applier
        self._batch_max = batch_max
        self._entry_bytes_max = entry_bytes_max
        self._bus_is_up = False
        self._publishes = 0
        self._in_flight: dict[int, list[int]] = {}
        self._not_before = 0.0
        self._dead_letter_lines = LineRate()
        self._pacing = Pacing()

    @property
    def _sender(self) -> Actor:
        """The owner of these outbox numbers: this incarnation, whatever actor it writes under now."""
        return actor_name(self._cluster.node, self._replica.incarnation)

    @property
    def bus_is_up(self) -> bool:
        """Whether this data center's NATS accepts messages."""
        return self._bus_is_up

    def bus_changed(self, is_up: bool) -> None:
        """Start or stop publishing; the host reports batches in flight as failed by itself."""
        self._bus_is_up = is_up
        self._not_before = 0.0

    def published(self, number: int, ok: bool) -> None:
        """Handle the stream's answer to a batch."""
        outbox_seqs = self._in_flight.pop(number, [])
        if ok:
            self._step.stats.count("geo_published_rows", len(outbox_seqs))
        else:
            self._outbox.give_back(outbox_seqs)
            self._not_before = self._step.now.monotonic_s + RETRY_S

    def next_timer(self) -> float | None:
        """Return when to publish after a failure, or after a key has rested; None if there is nothing to wait for."""
        if not self._bus_is_up or not self._outbox.queued:
            return None
        return self._not_before or (self._pacing.next_end() if len(self._in_flight) < BATCHES_IN_FLIGHT else None)

    def run_due(self) -> None:
        """Send queued rows, up to `BATCHES_IN_FLIGHT` batches; called at the end of every step."""
        now_s = self._step.now.monotonic_s
        if not self._bus_is_up or now_s < self._not_before:
            return
        self._not_before = 0.0
        while self._outbox.queued and self._may_publish():
            batch = self._outbox.next_batch(self._batch_max, now_s, self._pacing.resting(now_s))
            if not batch:
                return
            while batch:
                batch = self._publish_some(batch)

    def _may_publish(self) -> bool:
        """Return whether a batch may leave now: the stream is idle, or the batch is full and few others are in flight.

        Every message costs the stream a sync, so while one is in flight the next one grows.
        """
        if not self._in_flight:
            return True
        return self._outbox.queued >= self._batch_max and len(self._in_flight) < BATCHES_IN_FLIGHT

    def _publish_some(self, batch: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Send the head of a batch, up to `BATCH_BYTES`; return the rest."""
        content: list[object] = []
        size = 0
        taken = 0
        for outbox_seq, storage_key in batch:
            entry = self._replica.encoded(storage_key)
            if entry is not None and content and size + len(entry) > BATCH_BYTES:
                break
            taken += 1
            if entry is None:
                # The disk has lost the data row; there is nothing to send.
                self._step.stats.count("outbox_rows_without_entry")
            elif len(entry) > self._entry_bytes_max:
                self._set_aside(outbox_seq, storage_key, len(entry))
            else:
                content.append([outbox_seq, identity_in(storage_key), entry])
                size += len(entry)
                self._pacing.sent(storage_key, len(entry), self._step.now.monotonic_s)
        if content:
            self._publishes += 1
            self._in_flight[self._publishes] = [row[0] for row in content]  # type: ignore[index]
            self._step.effects.held_publishes.append(
                Publish(
                    number=self._publishes,
                    payload=encode_frame(0, [GeoBatch(self._cluster.node, self._sender, content)]),
                    message_id=f"{self._sender}-{batch[0][0]}-{self._publishes}",
                    entries=len(content),
                    first_key=repr(parse_identity(identity_in(batch[0][1]))),
                )
            )
        return batch[taken:]

    def _set_aside(self, outbox_seq: int, storage_key: bytes, size_bytes: int) -> None:
        """Set aside a row that is too large for a message, so that it does not block others, and log that."""
        self._outbox.set_aside(outbox_seq)
        self._step.stats.count("outbox_rows_too_large")
        self._step.effects.notes.append(
            f"{parse_identity(identity_in(storage_key))!r} has {size_bytes} bytes, but a message to other data centers "
            f"holds {self._entry_bytes_max}: it is not sent until it is smaller; remove some of it"
        )

    def confirmed(self, message: Message) -> None:
        """Handle another data center's confirmation of outbox rows.

        Raises:
            ProtocolError: the message is no confirmation.
        """
        if not isinstance(message, Confirm) or not all(type(outbox_seq) is int for outbox_seq in message.outbox_seqs):
            raise ProtocolError("only confirmations are expected here")
        if message.actor == self._sender:
            self._outbox.confirm(message.datacenter, message.outbox_seqs)  # type: ignore[arg-type]

    def consumer_idle(self, datacenter: str, as_of: float, grace_s: float) -> None:
        """Send rows again that a data center has not confirmed although its consumer has delivered all messages."""
        lost = self._outbox.republish_lost(datacenter, as_of - grace_s)
        if lost:
            self._step.stats.count("geo_republished_rows", lost)
            self._step.effects.notes.append(f"{lost} rows were lost on the way to {datacenter}: sending them again")

    def received(self, datacenter: str, handle: int, payload: bytes) -> None:
        """Apply a message from another data center's stream."""
        try:
            batch, parsed = _parse(payload, self._keys)
        except CrdtkvError as error:
            self._keep_dead_letter(payload, f"from {datacenter}: {error}")
            self._step.effects.held_acks.append(AckStream(handle, True))
            return
        by_homes: dict[tuple[str, ...], list[ArrivedEntry]] = {}
        for _, arrived in parsed:
            by_homes.setdefault(self._cluster.homes(arrived.key.token), []).append(arrived)
        outbox_seqs = [outbox_seq for outbox_seq, _ in parsed]
        delivery = Delivery(handle, datacenter, batch.node, batch.actor, outbox_seqs, len(by_homes))
        self._finish(delivery)
        for homes, some in by_homes.items():
            self._apply(delivery, homes, some)

    def _apply(self, delivery: Delivery, homes: tuple[str, ...], entries: list[ArrivedEntry]) -> None:
        """Apply the entries of a message that have the same home replicas."""

        def applied() -> None:
            delivery.applied()
            self._finish(delivery)

        def failed(_: CrdtkvError) -> None:
            delivery.failed()
            self._finish(delivery)

        self._applier.apply(homes, entries, applied, failed)

    def _finish(self, delivery: Delivery) -> None:
        if not delivery.is_finished:
            return
        effects = self._step.effects
        if delivery.is_applied:
            confirm = Confirm(self._cluster.datacenter, delivery.actor, list(delivery.outbox_seqs))
            effects.held_bus.append(SendBus(delivery.datacenter, delivery.node, encode_frame(0, [confirm])))
            self._step.stats.count("geo_applied_rows", len(delivery.outbox_seqs))
        effects.held_acks.append(AckStream(delivery.handle, delivery.is_applied))

    def _keep_dead_letter(self, payload: bytes, reason: str) -> None:
        self._step.stats.count("dead_letters")
        line = self._dead_letter_lines.admit(
            f"a message cannot be decoded and is kept as a dead letter: {reason}", self._step.now.monotonic_s
        )
        if line is not None:
            self._step.effects.notes.append(line)
        kept = self._store.scan(*rows.DEAD_LETTER_RANGE, MAX_DEAD_LETTERS)
        if len(kept) < MAX_DEAD_LETTERS:
            self._store.put(rows.dead_letter_row(self._step.now.wall_ms * 1000 + len(kept)), payload)


def _parse(payload: bytes, keys: KeyCheck) -> tuple[GeoBatch, list[tuple[int, ArrivedEntry]]]:
    messages = decode_frame(payload).messages
    if len(messages) != 1 or not isinstance(messages[0], GeoBatch):
        raise ProtocolError("a stream message is one batch of entries")
    batch = messages[0]
    if node_of(batch.actor) != batch.node:
        raise ProtocolError(f"the actor {batch.actor!r} does not belong to node {batch.node!r}")
    parsed: list[tuple[int, ArrivedEntry]] = []
    for row in batch.rows:
        match row:
            case [int() as outbox_seq, bytes() as identity, bytes() as entry]:
                key = keys.from_peer(identity)
                parsed.append((outbox_seq, ArrivedEntry(key, Entry.from_peer(entry, key.type_tag))))
            case _:
                raise ProtocolError("a row is [outbox_seq, identity, entry]")
    return batch, parsed
