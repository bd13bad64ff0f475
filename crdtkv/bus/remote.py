"""`RemoteBus`: the NATS server of another data center, for its stream and for messages to its nodes.

All nodes of this data center share one durable consumer, so each message goes to one of them. At most `UNFINISHED_MAX`
messages are applied at a time; the next are fetched when some are done.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from crdtkv.bus import connection
from crdtkv.config.model import ClusterConfig
from crdtkv.node.kernel.events import Event, StreamMessage
from crdtkv.wire import subjects

UNFINISHED_MAX = 8
# A fetch in progress when the connection breaks gets no answer, so it must not wait for long.
FETCH_WAIT_S = 1.0
REQUEST_TIMEOUT_S = 5.0
RETRY_S = 1.0
REDELIVER_S = 1.0

_FAULTS = (nats.errors.Error, OSError, asyncio.TimeoutError)

log = logging.getLogger("crdtkv.bus")


class RemoteBus:
    """One node's connection to another data center's NATS."""

    def __init__(
        self,
        config: ClusterConfig,
        datacenter: str,
        node: str,
        remote: str,
        put: Callable[[Event], None],
        handles: Iterator[int],
    ) -> None:
        """Prepare; `handles` numbers messages uniquely over all remote data centers."""
        self._url = config.nats_url(remote, datacenter)
        self._datacenter = datacenter
        self._node = node
        self._remote = remote
        self._put = put
        self._names = subjects.DatacenterNames(config.cluster, remote)
        self._handles = handles
        self._unfinished: dict[int, Msg] = {}
        self._room = asyncio.Event()
        self._client: Client | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def pull(self) -> None:
        """Fetch messages and pass them to the core; runs until cancelled."""
        self._client = await connection.connect(self._url, self._node)
        js = self._client.jetstream(timeout=REQUEST_TIMEOUT_S)
        subscription = await js.pull_subscribe_bind(
            consumer=subjects.consumer_of(self._datacenter), stream=self._names.stream
        )
        while True:
            # A fetch may also return messages that an earlier one had requested, so there may be too many.
            while len(self._unfinished) >= UNFINISHED_MAX:
                self._room.clear()
                await self._room.wait()
            try:
                messages = await subscription.fetch(UNFINISHED_MAX - len(self._unfinished), timeout=FETCH_WAIT_S)
            except nats.errors.TimeoutError:
                # No messages; or no connection: then the fetch returns early, and the loop must not spin.
                if not self._client.is_connected:
                    await asyncio.sleep(RETRY_S)
                continue
            except _FAULTS as error:
                log.debug("pulling from %s: %s", self._remote, error or type(error).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            for message in messages:
                handle = next(self._handles)
                self._unfinished[handle] = message
                self._put(StreamMessage(self._remote, handle, message.data))

    def owns(self, handle: int) -> bool:
        """Return whether a message is from this stream."""
        return handle in self._unfinished

    def ack(self, handle: int, applied: bool) -> None:
        """Acknowledge a message, or request its redelivery after a pause."""
        message = self._unfinished.pop(handle)
        self._room.set()
        self._run(message.ack() if applied else message.nak(delay=REDELIVER_S))

    def send(self, node: str, payload: bytes) -> None:
        """Send to a node of that data center. The message may be lost; the core then sends it again."""
        if self._client is not None:
            self._run(self._client.publish(self._names.geo(self._datacenter, node), payload))

    async def close(self) -> None:
        """Close the connection."""
        for task in list(self._tasks):
            task.cancel()
        if self._client is not None:
            await self._client.close()

    def _run(self, act) -> None:  # type: ignore[no-untyped-def]
        async def run() -> None:
            try:
                await act
            except _FAULTS as error:
                log.debug("sending to %s: %s", self._remote, error or type(error).__name__)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
