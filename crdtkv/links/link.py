"""`Link`: one TCP connection that carries frames.

After the handshake both sides send a heartbeat every half second; a link that is silent for two is taken for dead and
closed, so a black hole is noticed as surely as a reset. What cannot be written queues up to a bound: a client that
does not read its answers is not read from either (its requests wait in its own socket), and a node link past the
bound is closed, because requests that old are of no use.

Invariant: after `lost` was called nothing more is delivered from this link.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol, cast

from crdtkv.errors import ProtocolError
from crdtkv.wire.codec import Frame, decode_frame
from crdtkv.wire.frames import FrameSplitter, frames_for
from crdtkv.wire.messages import Beat, Hello, Message

HEARTBEAT_S = 0.5
DEAD_AFTER_S = 2.0
HANDSHAKE_S = 5.0
CLOCK_WINDOW_S = 30.0
MAX_UNSENT_BYTES = 64 * 1024 * 1024
HIGH_WATER_BYTES = 4 * 1024 * 1024


class LinkUser(Protocol):
    """Who owns links: the server or the client."""

    def greeted(self, link: "Link", hello: Hello) -> None:
        """Take the other side's handshake.

        Raises:
            ProtocolError: it may not talk to us; the link is closed.
        """
        ...

    def frame(self, link: "Link", frame: Frame) -> None:
        """Take a frame; called only after `greeted`."""
        ...

    def beat(self, link: "Link") -> None:
        """Learn that a heartbeat came, and with it the other side's clock (`Link.clock_ahead_s`)."""
        ...

    def lost(self, link: "Link", reason: str) -> None:
        """Learn that the link is gone; called once, also for a link that was never greeted."""
        ...


class Link(asyncio.Protocol):
    """One connection, from either side. `hello` is what the other side said of itself, once it has."""

    def __init__(self, user: LinkUser, own_hello: Hello, epoch: Callable[[], int]) -> None:
        self._user = user
        self._own_hello = own_hello
        self._epoch = epoch
        self._splitter = FrameSplitter()
        self._transport: asyncio.Transport | None = None
        self._reason = "closed by the other side"
        self._heard_at = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = self._heard_at
        self.hello: Hello | None = None
        self.is_open = False
        self.number = 0
        #: By how much the other side's monotonic clock is ahead of this one's, at least.
        self.clock_ahead_s = 0.0
        self._ahead_before = self._ahead_lately = -math.inf
        self._clock_until = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, and begin to watch the link."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self.is_open = True
        self.send([self._own_hello._replace(clock_ms=int(time.monotonic() * 1000))])
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, once."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        self._user.lost(self, str(exc) if exc else self._reason)

    def data_received(self, data: bytes) -> None:
        """Decode what has arrived; junk ends the link."""
        self._heard_at = time.monotonic()
        try:
            for payload in self._splitter.feed(data):
                frame = decode_frame(payload)
                if self.hello is None:
                    frame = self._greeting(frame)
                elif frame.messages and type(frame.messages[0]) is Beat:
                    self._learn_clock(frame.messages[0].clock_ms)
                    self._user.beat(self)
                    continue
                if self.is_open and (frame.messages or frame.skipped):
                    self._user.frame(self, frame)
        except ProtocolError as error:
            self.close(f"protocol error: {error}")

    def send(self, messages: list[Message]) -> None:
        """Send messages as one frame (several when they are large); dropped when the link is gone."""
        if self._transport is None or not self.is_open:
            return
        self._transport.write(frames_for(self._epoch(), messages))
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.close("the other side does not keep up")

    def close(self, reason: str) -> None:
        """Close at once; `reason` is for the log."""
        self._reason = reason
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """Stop reading requests from a client that does not read its answers."""
        if self.hello is not None and self.hello.role == "client" and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._heard_at = time.monotonic()

    def _greeting(self, frame: Frame) -> Frame:
        if not frame.messages or not isinstance(frame.messages[0], Hello):
            raise ProtocolError("the first message on a link is the handshake")
        hello = frame.messages[0]
        self._learn_clock(hello.clock_ms)
        self._user.greeted(self, hello)
        self.hello = hello
        return frame._replace(messages=frame.messages[1:])

    def _learn_clock(self, clock_ms: int) -> None:
        """Learn by how much the other clock is ahead, or a little more: what tells it was on its way for a while.

        The best of the last minute counts. So one that was held up does no harm for long, and clocks may drift.
        """
        now = time.monotonic()
        ahead_s = clock_ms / 1000 - now
        if now >= self._clock_until:
            self._clock_until = now + CLOCK_WINDOW_S
            self._ahead_before, self._ahead_lately = self._ahead_lately, ahead_s
        self._ahead_lately = max(self._ahead_lately, ahead_s)
        self.clock_ahead_s = max(self._ahead_before, self._ahead_lately)

    def _beat(self) -> None:
        now = time.monotonic()
        assert self._transport is not None
        if self.hello is None and now - self._opened_at > HANDSHAKE_S:
            self.close("no handshake")
        elif now - self._heard_at > DEAD_AFTER_S and self._transport.is_reading():
            self.close(f"silent for {DEAD_AFTER_S:g} s")
        else:
            if self.hello is not None:
                self.send([Beat(int(now * 1000))])
            self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)
