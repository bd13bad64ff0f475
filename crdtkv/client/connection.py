"""`Connection`: requests to one node, many at a time.

Natural batching: requests gather while the event loop runs other tasks, and leave as one frame when it comes round.
Nothing waits for a timer. A request ends with its answer, with its deadline, or with the link; in the last case
`LinkLost` says whether it may have reached the node.
"""

import asyncio
import time
from collections.abc import Callable

from crdtkv.errors import CrdtkvError, ProtocolError, error_from_wire
from crdtkv.links.dialer import Dialer
from crdtkv.links.link import Link
from crdtkv.wire.codec import Frame
from crdtkv.wire.messages import ErrorReply, Hello, Message

SWEEP_S = 0.25


class LinkLost(CrdtkvError):
    """The link broke before the answer; `was_sent` tells whether the request may have arrived. Internal."""

    def __init__(self, was_sent: bool) -> None:
        super().__init__("the link to the node broke")
        self.was_sent = was_sent


class NoAnswer(CrdtkvError):
    """The deadline passed without an answer. Internal."""


class Connection:
    """The client's side of the link to one node; reconnects for ever once started."""

    def __init__(self, host: str, port: int, hello: Hello, saw_epoch: Callable[[int], None]) -> None:
        self.address = f"{host}:{port}"
        self._hello = hello
        self._saw_epoch = saw_epoch
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._dialer = Dialer(self._make_link, host, port)
        self._last_id = 0
        self._waiting: dict[int, tuple[asyncio.Future[Message], float]] = {}
        self._outgoing: list[Message] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._opened = asyncio.Event()
        self.refused: str | None = None
        self.server: Hello | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent now."""
        return self._link is not None and self._link.is_open

    def start(self) -> None:
        """Begin to connect."""
        self._dialer.start()

    async def opened(self) -> None:
        """Wait until the link stands, or the node has refused it."""
        await self._opened.wait()

    def next_id(self) -> int:
        """Return the id for the next request on this connection."""
        self._last_id += 1
        return self._last_id

    def ask(self, request: Message, timeout_s: float) -> "asyncio.Future[Message]":
        """Send a request (its first field is an id from `next_id`); the future brings the answer.

        The future raises what the node answered, `NoAnswer` or `LinkLost`.
        """
        future: asyncio.Future[Message] = self._loop.create_future()
        if not self.is_open:
            future.set_exception(LinkLost(was_sent=False))
            return future
        self._waiting[request[0]] = (future, time.monotonic() + timeout_s)  # type: ignore[index]
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(request)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        return future

    async def close(self) -> None:
        """End the link; requests in flight fail with `LinkLost`."""
        await self._dialer.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._link is not None:
            self._link.close("the client closes")
        self._fail_waiting()

    # What the link tells (`LinkUser`):

    def greeted(self, link: Link, hello: Hello) -> None:
        """See `LinkUser.greeted`."""
        if hello.role != "node":
            raise ProtocolError(f"{self.address} is no node")
        self._link = link
        self.server = hello
        self._opened.set()

    def frame(self, link: Link, frame: Frame) -> None:
        """See `LinkUser.frame`."""
        waiting = self._waiting
        for message in frame.messages:
            entry = waiting.pop(message[0], None)  # type: ignore[arg-type]
            if entry is None or entry[0].done():
                continue
            if type(message) is ErrorReply:
                entry[0].set_exception(error_from_wire(message.code, message.fields))
            else:
                entry[0].set_result(message)
        self._saw_epoch(frame.epoch)

    def lost(self, link: Link, reason: str) -> None:
        """See `LinkUser.lost`."""
        if reason.startswith("protocol error") and link.hello is None:
            self.refused = reason
            self._opened.set()
        if self._link in (None, link):
            self._link = None
            self._fail_waiting()
            self._dialer.lost()

    def _make_link(self) -> Link:
        return Link(self, self._hello, lambda: 0)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._link is not None and outgoing:
            self._link.send(outgoing)

    def _fail_waiting(self) -> None:
        unsent = {message[0] for message in self._outgoing}
        self._outgoing.clear()
        waiting, self._waiting = self._waiting, {}
        for number, (future, _) in waiting.items():
            if not future.done():
                future.set_exception(LinkLost(was_sent=number not in unsent))

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        for number in [number for number, (_, deadline) in self._waiting.items() if deadline <= now]:
            future, _ = self._waiting.pop(number)
            if not future.done():
                future.set_exception(NoAnswer())
        if self._waiting:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
