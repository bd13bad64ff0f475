"""`HomeBus`: the NATS server of a node's own data center: its stream, its consumers, and the topology document.

The first node that finds no stream creates it, and any node creates it again when it is lost: a wiped JetStream
directory needs no special handling. `poll` is the loop that checks this, and that reports to the core which consumers
have no undelivered messages.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from crdtkv.bus import connection
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ProtocolError
from crdtkv.ids import MAX_STARTS
from crdtkv.node.datacenters.applying import APPLY_TIMEOUT_S
from crdtkv.node.kernel.effects import Proposal, Publish
from crdtkv.node.kernel.events import BusDown, BusMessage, BusUp, ConsumerIdle, Event, Published, TopologyChanged
from crdtkv.ring.agreement import document_to_write
from crdtkv.ring.topology import Topology
from crdtkv.wire import subjects
from crdtkv.wire.messages import WIRE_VERSION

POLL_S = 2.0
PUBLISH_TIMEOUT_S = 5.0
# Longer than applying a message may take, but short, because redelivery after the crash of a node waits for it.
ACK_WAIT_S = APPLY_TIMEOUT_S + 3.0
MAX_ACK_PENDING = 256

_FAULTS = (nats.errors.Error, OSError, asyncio.TimeoutError)

log = logging.getLogger("crdtkv.bus")


class HomeBus:
    """One node's connection to its own data center's NATS."""

    def __init__(self, config: ClusterConfig, datacenter: str, node: str, put: Callable[[Event], None]) -> None:
        self._config = config
        self._datacenter = datacenter
        self._node = node
        self._put = put
        self._names = subjects.DatacenterNames(config.cluster, datacenter)
        self._peers = config.peers_of(datacenter)
        self._is_ready = False
        self._client: Client | None = None
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.known: Topology | None = None
        self._starts_to_note = 0

    async def connect(self) -> None:
        """Connect and check the server; waits until there is one.

        Raises:
            BusError: the server may not carry a durable cluster, or it refuses this user, and this node has no topology
                to serve with.
        """
        url = self._config.nats_url(self._datacenter, self._datacenter)
        client = await connection.connect(url, self._node, self._lost, self._regained, self.known is None)
        try:
            monitor_url = self._config.datacenters[self._datacenter].nats.monitor_url
            await connection.check_server(client, url, monitor_url, self._config.limits.message_bytes)
            await client.subscribe(self._names.geo_of(self._node), cb=self._heard)
        except BaseException:
            await client.close()
            raise
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=PUBLISH_TIMEOUT_S)

    @property
    def is_connected(self) -> bool:
        """Whether `connect` has succeeded."""
        return self._client is not None

    async def agree_on_topology(self) -> Topology:
        """Return the agreed topology; write it by compare-and-set if it is missing or older than the known one.

        Raises:
            ProtocolError: the document is damaged.
        """
        first = self._config.first_topology(self._datacenter)
        while True:
            try:
                bucket = await self._bucket()
                found, revision = await self._document(bucket)
                mine = document_to_write(found, self.known, first)
                if mine is None:
                    assert found is not None
                    return found
                await bucket.update(subjects.TOPOLOGY_KEY, mine.to_json(), last=revision)
                log.info("wrote the topology document, epoch %d", mine.epoch)
                return mine
            except KeyWrongLastSequenceError:
                continue  # another node was first
            except _FAULTS as error:
                log.warning("the topology document cannot be read yet: %s", _reason(error))
                await asyncio.sleep(1)

    async def poll(self) -> None:
        """Create missing stream and consumers, and check them periodically; runs until cancelled."""
        while True:
            try:
                if self._client is not None and self._client.is_connected:
                    if not self._is_ready:
                        await self._prepare()
                    await self._look_at_consumers()
                    await self._look_at_topology()
            except _FAULTS as error:
                # The stream may be lost: `_prepare` creates it again.
                log.debug("polling NATS: %s", _reason(error))
                self._set_ready(False)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    async def starts_remembered(self) -> int | None:
        """Return the highest start of this node that is noted in the bucket; None if the bucket cannot be read."""
        try:
            return (await self._starts(await self._bucket()))[0]
        except _FAULTS as error:
            log.warning("the starts of this node cannot be read from the topology bucket: %s", _reason(error))
            return None

    async def note_start(self, starts: int) -> None:
        """Note a start in the bucket, now and whenever the bucket is found without it."""
        self._starts_to_note = starts
        try:
            bucket = await self._bucket()
            noted, revision = await self._starts(bucket)
            if starts > noted:
                await bucket.update(subjects.starts_key(self._node), str(starts).encode(), last=revision)
        except _FAULTS as error:
            log.warning("the start of this node cannot be noted in the topology bucket yet: %s", _reason(error))

    def look(self) -> None:
        """Check everything now, not only at the next poll."""
        self._wake.set()

    def propose(self, proposal: Proposal) -> None:
        """Change the topology document by compare-and-set, and report the resulting document to the core."""
        self._background(self._propose(proposal))

    def publish(self, publish: Publish) -> None:
        """Send a batch to the stream, and report the result to the core."""
        self._background(self._publish(publish))

    async def close(self) -> None:
        """Close the connection."""
        for task in list(self._tasks):
            task.cancel()
        if self._client is not None:
            await self._client.close()

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _propose(self, proposal: Proposal) -> None:
        if self._client is None or not self._client.is_connected:
            return
        try:
            bucket = await self._bucket()
            found, revision = await self._document(bucket)
            if found == proposal.known:
                await bucket.update(subjects.TOPOLOGY_KEY, proposal.wanted.to_json(), last=revision)
                self._found(proposal.wanted)
            else:
                self._found(await self.agree_on_topology())
        except (*_FAULTS, ProtocolError) as error:
            log.debug("the topology could not be changed: %s", _reason(error))

    async def _publish(self, publish: Publish) -> None:
        headers = {
            "Nats-Msg-Id": publish.message_id,
            subjects.HEADER_NODE: self._node,
            subjects.HEADER_COUNT: str(publish.entries),
            subjects.HEADER_FIRST_KEY: publish.first_key.encode("ascii", "backslashreplace").decode(),
            subjects.HEADER_TIME: datetime.now(UTC).isoformat(timespec="milliseconds"),
            subjects.HEADER_CONTENT_TYPE: subjects.CONTENT_TYPE,
        }
        try:
            await self._js.publish(
                self._names.log(self._node),
                publish.payload,
                timeout=PUBLISH_TIMEOUT_S,
                stream=self._names.stream,
                headers=headers,
            )
        except _FAULTS as error:
            log.debug("publishing failed: %s", _reason(error))
            self._put(Published(publish.number, ok=False))
        else:
            self._put(Published(publish.number, ok=True))

    async def _bucket(self) -> KeyValue:
        try:
            return await self._js.key_value(self._names.topology_bucket)
        except NotFoundError:
            description = f"crdtkv: topology document of data center {self._datacenter}"
            return await self._js.create_key_value(
                bucket=self._names.topology_bucket, history=10, description=description, storage=api.StorageType.FILE
            )

    async def _document(self, bucket: KeyValue) -> tuple[Topology | None, int]:
        """Return the document, None if there is none, and its revision for a compare-and-set."""
        try:
            entry = await bucket.get(subjects.TOPOLOGY_KEY)
        except KeyNotFoundError as error:
            # A deleted document leaves a marker, with a revision of its own.
            return None, error.entry.revision if error.entry is not None else 0
        return Topology.from_json(entry.value or b""), entry.revision or 0

    async def _starts(self, bucket: KeyValue) -> tuple[int, int]:
        """Return the highest noted start of this node, and the revision for a compare-and-set."""
        try:
            entry = await bucket.get(subjects.starts_key(self._node))
        except KeyNotFoundError as error:
            return 0, error.entry.revision or 0 if error.entry is not None else 0
        text = (entry.value or b"").decode(errors="replace")
        starts = int(text) if text.isdecimal() and len(text) < 16 else 0
        return starts if starts < MAX_STARTS else 0, entry.revision or 0

    async def _prepare(self) -> None:
        """Create the stream and consumers that are missing."""
        try:
            await self._js.stream_info(self._names.stream)
        except NotFoundError:
            await self._make_stream()
        for peer in self._peers:
            try:
                await self._js.consumer_info(self._names.stream, subjects.consumer_of(peer))
            except NotFoundError:
                await self._make_consumer(peer)
        self._set_ready(True)

    async def _make_stream(self) -> None:
        stream = api.StreamConfig(
            name=self._names.stream,
            description=f"crdtkv cluster {self._config.cluster}: writes of data center {self._datacenter}",
            subjects=[self._names.stream_subjects],
            storage=api.StorageType.FILE,
            retention=api.RetentionPolicy.LIMITS,
            discard=api.DiscardPolicy.OLD,
            max_bytes=self._config.geo.stream_max_mib * 1024 * 1024,
            duplicate_window=120,
            deny_delete=True,
            deny_purge=True,
            metadata={
                "crdtkv-cluster": self._config.cluster,
                "crdtkv-datacenter": self._datacenter,
                "crdtkv-wire-version": str(WIRE_VERSION),
                "crdtkv-decode": "nats stream view --translate 'crdtkv decode'",
            },
        )
        try:
            await self._js.add_stream(stream)
            log.info("made the stream %s", self._names.stream)
        except APIError as error:
            log.debug("another node was first: %s", error)

    async def _make_consumer(self, peer: str) -> None:
        consumer = api.ConsumerConfig(
            durable_name=subjects.consumer_of(peer),
            description=f"crdtkv: messages for data center {peer}",
            ack_policy=api.AckPolicy.EXPLICIT,
            deliver_policy=api.DeliverPolicy.ALL,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=MAX_ACK_PENDING,
        )
        try:
            await self._js.add_consumer(self._names.stream, consumer)
        except APIError as error:
            log.debug("another node was first: %s", error)

    async def _look_at_consumers(self) -> None:
        for peer in self._peers:
            asked_at = time.monotonic()
            info = await self._js.consumer_info(self._names.stream, subjects.consumer_of(peer))
            if not info.num_pending and not info.num_ack_pending:
                self._put(ConsumerIdle(peer, asked_at))

    async def _look_at_topology(self) -> None:
        """Follow the document; write the last known one again if the bucket was lost."""
        try:
            topology = await self.agree_on_topology()
        except ProtocolError as error:
            log.error("the topology document is damaged, continuing with the last one: %s", error)
            return
        self._found(topology)
        if self._starts_to_note:
            await self.note_start(self._starts_to_note)  # in case the bucket was lost

    def _found(self, topology: Topology) -> None:
        if self.known is None or topology.epoch > self.known.epoch:
            self.known = topology
            self._put(TopologyChanged(topology))

    async def _heard(self, message: Msg) -> None:
        self._put(BusMessage(message.data))

    async def _lost(self) -> None:
        self._set_ready(False)

    async def _regained(self) -> None:
        log.info("NATS is back")
        self._wake.set()

    def _set_ready(self, is_ready: bool) -> None:
        if is_ready != self._is_ready:
            self._is_ready = is_ready
            self._put(BusUp() if is_ready else BusDown())


def _reason(error: BaseException) -> str:
    """Return the text of a NATS error, or its class if it has none."""
    return str(error) or type(error).__name__
