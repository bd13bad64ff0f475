"""`Probe`: a direct connection to one node, without a client's router, for its status and its own entries."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from crdtkv.config.model import ClusterConfig
from crdtkv.ids import identity_of
from crdtkv.links.dialer import Dialer
from crdtkv.links.link import Link
from crdtkv.wire.codec import Frame
from crdtkv.wire.messages import EntriesReply, GetRequest, Hello, Message, StatusReply, StatusRequest
from crdtkv.wire.outgoing import Outgoing

STATUS_TIMEOUT_S = 1.0
READ_TIMEOUT_MS = 3_000


class Probe:
    """A link to one node, which is made again whenever it breaks (a `LinkUser`)."""

    def __init__(self, config: ClusterConfig, name: str) -> None:
        found = config.find_node(name)
        assert found is not None
        self.name = name
        hello = Hello("", found[0], "client", "probe")
        self._link: Link | None = None
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._dialer = Dialer(lambda: Link(self, hello, lambda: 0), found[1].host, found[1].port)
        self._dialer.start()

    async def close(self) -> None:
        """End the link."""
        await self._dialer.stop()
        if self._link is not None:
            self._link.close("the probe closes")

    async def status(self) -> dict[str, Any] | None:
        """Return what the node says of itself and of others; None if it does not answer."""
        reply = await self._ask(StatusRequest(self._next_id()), STATUS_TIMEOUT_S)
        if not isinstance(reply, StatusReply):
            return None
        told = json.loads(reply.document)
        assert isinstance(told, dict)
        return told

    async def holds(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """Return the entries of these keys as this node's own replica has them; None if it does not answer."""
        found = await asyncio.gather(*(self._entry(key) for key in keys))
        return None if None in found else [entry for row in found if row is not None for entry in row]

    async def _entry(self, key: str) -> list[bytes | None] | None:
        """Return one entry in a list, None if the node does not answer."""
        identities: list[object] = [identity_of("default", "register", key)]
        reply = await self._ask(GetRequest(self._next_id(), identities, "ONE", READ_TIMEOUT_MS), READ_TIMEOUT_MS / 1000)
        return list(reply.entries) if isinstance(reply, EntriesReply) else None  # type: ignore[arg-type]

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def _ask(self, request: Message, timeout_s: float) -> Message | None:
        if self._link is None:
            return None
        number: int = request[0]  # type: ignore[assignment]
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._link.send([request])
        try:
            async with asyncio.timeout(timeout_s):
                answer: Message | None = await future
                return answer
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(number, None)

    # What the link tells (`LinkUser`):

    def greeted(self, link: Link, hello: Hello) -> None:
        """Take the link into use."""
        self._link = link

    def frame(self, link: Link, frame: Frame) -> None:
        """Take answers."""
        for message in frame.messages:
            future = self._waiting.get(message[0])  # type: ignore[call-overload]
            if future is not None and not future.done():
                future.set_result(message)

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        """Wait for nothing that was not sent."""

    def beat(self, link: Link) -> None:
        """Take no notice."""

    def lost(self, link: Link, reason: str) -> None:
        """End everything under way, and connect again."""
        if self._link in (None, link):
            self._link = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(None)
            self._dialer.lost()
