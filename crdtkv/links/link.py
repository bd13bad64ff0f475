"""`Link`: one TCP connection that carries frames.

After the handshake both sides send a heartbeat every half second; a link that is silent for two seconds is considered
dead and closed, so a black hole is detected as reliably as a reset.

No queue is unbounded. Before the handshake a frame has at most 4 KiB. While a client does not read its answers, its
requests are not read either (they wait in its own socket). Large messages for which a link has no room are dropped, and
their requesters get an error (`crdtkv.wire.outgoing`). All links with clients together hold at most their `Room`. A
link on which no byte leaves for ten seconds is closed.

Invariant: after `lost` was called nothing more is delivered from this link. A message that cannot be sent affects no
other one.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol, cast

from crdtkv.errors import Overloaded, ProtocolError
from crdtkv.links.room import Room
from crdtkv.wire.codec import Frame, decode_frame
from crdtkv.wire.frames import HANDSHAKE_FRAME_BYTES, MAX_FRAME_BYTES, FrameSplitter
from crdtkv.wire.messages import Beat, ErrorReply, Hello, Message
from crdtkv.wire.outgoing import Outgoing, packed

HEARTBEAT_S = 0.5
DEAD_AFTER_S = 2.0
#: A client process may be busy for longer, and nothing on the node waits for its messages.
CLIENT_DEAD_AFTER_S = 10.0
HANDSHAKE_S = 5.0
STALLED_S = 10.0
#: How long a refused link stays open, so that the other side can read the reason.
FAREWELL_S = 1.0
CLOCK_WINDOW_S = 30.0
#: The most unsent bytes of one link; acknowledgments may double that.
MAX_UNSENT_BYTES = 64 * 1024 * 1024
MAX_UNSENT_TO_CLIENT_BYTES = 32 * 1024 * 1024
HIGH_WATER_BYTES = 4 * 1024 * 1024
#: An incomplete frame up to this size is kept even if the room is full.
MODEST_BYTES = 64 * 1024


class LinkUser(Protocol):
    """The owner of links: the server or the client."""

    def greeted(self, link: "Link", hello: Hello) -> None:
        """Handle the other side's handshake.

        Raises:
            ProtocolError: the other side may not connect; the link is closed.
            Overloaded: there is no place for it; the link sends it the error, and is closed.
        """
        ...

    def frame(self, link: "Link", frame: Frame) -> None:
        """Handle a frame; called only after `greeted`."""
        ...

    def unsent(self, link: "Link", outgoing: Outgoing) -> None:
        """Handle messages that could not be sent; treat `returned` as answers of the other side."""
        ...

    def beat(self, link: "Link") -> None:
        """Handle a heartbeat, which updates the other side's clock (`Link.clock_ahead_s`)."""
        ...

    def lost(self, link: "Link", reason: str) -> None:
        """Handle that the link is lost; called once, also for a link that was never greeted."""
        ...


class Link(asyncio.Protocol):
    """One connection, from either side. `hello` is the other side's handshake, None before it."""

    def __init__(self, user: LinkUser, own_hello: Hello, epoch: Callable[[], int], room: Room | None = None) -> None:
        self._user = user
        self._own_hello = own_hello
        self._epoch = epoch
        self._shared_room = room or Room()
        self._held_bytes = 0
        self._splitter = FrameSplitter(HANDSHAKE_FRAME_BYTES)
        self._transport: asyncio.Transport | None = None
        self._reason = "closed by the other side"
        self._heard_at = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._opened_at = self._beat_due_at = self._heard_at
        self._written_bytes = 0
        self._passed_bytes = 0
        self._passing_at = self._heard_at
        self.hello: Hello | None = None
        self.is_open = False
        self.number = 0
        #: A lower bound of how far the other side's monotonic clock is ahead of this one's.
        self.clock_ahead_s = 0.0
        self._ahead_before = self._ahead_lately = -math.inf
        self._clock_until = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake, and start the timer of heartbeats."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self.is_open = True
        self.send([self._own_hello._replace(clock_ms=int(time.monotonic() * 1000))])
        self._beat_soon(time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss to the owner, once."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        self._hold(0)
        self._user.lost(self, str(exc) if exc else self._reason)

    def data_received(self, data: bytes) -> None:
        """Decode received data; malformed data ends the link."""
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
                if not self.is_open:
                    return
            if self._splitter.buffered_bytes or self._held_bytes:
                self._note_held()
        except ProtocolError as error:
            self.close(f"protocol error: {error}")
        except Overloaded as error:
            self._turn_away(error)

    def send(self, messages: list[Message]) -> None:
        """Send messages as one frame (several if they are large); drop them if the link is lost.

        The owner gets the messages that could not be sent (`LinkUser.unsent`).
        """
        if self._transport is None or not self.is_open:
            return
        outgoing = packed(self._epoch(), messages, self._room_bytes())
        for frame in outgoing.frames:
            self._written_bytes += len(frame)
            self._transport.write(frame)
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes or self._held_bytes:
            self._note_held()
        if outgoing.returned or outgoing.unsendable or outgoing.held_back:
            self._user.unsent(self, outgoing)
        if unsent_bytes > 2 * MAX_UNSENT_BYTES:
            self.close("the other side does not keep up")

    def close(self, reason: str) -> None:
        """Close at once; `reason` is for the log."""
        self._reason = reason
        self.is_open = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def pause_writing(self) -> None:
        """Stop reading requests from a client that does not read its answers."""
        if self._is_with_client and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read requests again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._heard_at = time.monotonic()

    @property
    def _is_with_client(self) -> bool:
        return self.hello is not None and self.hello.role == "client"

    def _room_bytes(self) -> int:
        assert self._transport is not None
        unsent_bytes = self._transport.get_write_buffer_size()
        if not self._is_with_client:
            return MAX_UNSENT_BYTES - unsent_bytes
        return min(MAX_UNSENT_TO_CLIENT_BYTES - unsent_bytes, self._shared_room.left_bytes)

    def _note_held(self) -> None:
        """Count the bytes that this link holds; if the room is full, close a client with a large incomplete frame."""
        if self._transport is None or not self._is_with_client:
            return
        self._hold(self._transport.get_write_buffer_size() + self._splitter.buffered_bytes)
        if self._shared_room.left_bytes < 0 and self._splitter.buffered_bytes > MODEST_BYTES:
            self.close("too many large requests at once")

    def _hold(self, held_bytes: int) -> None:
        self._shared_room.held_bytes += held_bytes - self._held_bytes
        self._held_bytes = held_bytes

    def _greeting(self, frame: Frame) -> Frame:
        if not frame.messages or not isinstance(frame.messages[0], Hello):
            raise ProtocolError("the first message on a link is the handshake")
        hello = frame.messages[0]
        self._learn_clock(hello.clock_ms)
        self._user.greeted(self, hello)
        self.hello = hello
        self._splitter.limit_bytes = MAX_FRAME_BYTES
        return frame._replace(messages=frame.messages[1:])

    def _turn_away(self, error: Overloaded) -> None:
        """Send the error under id 0, which means the link itself, and close after a moment."""
        self.send([ErrorReply(0, error.code, list(error.fields))])
        self._reason = str(error)
        self.is_open = False
        if self._transport is not None:
            self._transport.close()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(FAREWELL_S, self._transport.abort)

    def _learn_clock(self, clock_ms: int) -> None:
        """Update the lower bound of the other clock from a received time, which is old by the delay of its message.

        The best value of the last minute counts. So a delayed message has no effect for long, and clocks may drift.
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
        if now - self._beat_due_at > HEARTBEAT_S:
            self._heard_at = now  # this process was paused: messages that arrived meanwhile are not read yet
        is_client = self.hello is not None and self.hello.role == "client"
        dead_after_s = CLIENT_DEAD_AFTER_S if is_client else DEAD_AFTER_S
        if self.hello is None and now - self._opened_at > HANDSHAKE_S:
            self.close("no handshake")
        elif now - self._heard_at > dead_after_s and self._transport.is_reading():
            self.close(f"silent for {dead_after_s:g} s")
        elif self._is_stalled(now):
            self.close("the other side does not keep up")
        else:
            if self.hello is not None:
                self.send([Beat(int(now * 1000))])
            self._beat_soon(now)

    def _beat_soon(self, now: float) -> None:
        self._beat_due_at = now + HEARTBEAT_S
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def _is_stalled(self, now: float) -> bool:
        """Return whether bytes have waited for `STALLED_S`, and none of them has left."""
        assert self._transport is not None
        unsent_bytes = self._transport.get_write_buffer_size()
        passed_bytes = self._written_bytes - unsent_bytes
        if not unsent_bytes or passed_bytes != self._passed_bytes:
            self._passed_bytes = passed_bytes
            self._passing_at = now
        return now - self._passing_at > STALLED_S
