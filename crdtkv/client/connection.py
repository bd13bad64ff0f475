"""`Connection`: the client's side of the link to one address; it reconnects whenever the link breaks.

It passes events (`core.events`) to the host and sends the messages of the host. The core tracks the requests in flight,
and decides about them when the link breaks.
"""

import time
from typing import TYPE_CHECKING

from crdtkv.client.core.effects import Dial
from crdtkv.client.core.events import LinkDown, LinkUp, Returned
from crdtkv.errors import ProtocolError
from crdtkv.links.dialer import Dialer
from crdtkv.links.link import Link
from crdtkv.wire.codec import Frame
from crdtkv.wire.messages import Hello, Message
from crdtkv.wire.outgoing import Outgoing

if TYPE_CHECKING:
    from crdtkv.client.host import ClientHost


class Connection:
    """The link to one address, identified by the number from the core's `Dial`."""

    def __init__(self, host: "ClientHost", dial: Dial, hello: Hello) -> None:
        self._host = host
        self._number = dial.link
        self._address = f"{dial.host}:{dial.port}"
        self._hello = hello
        self._dialer = Dialer(self._make_link, dial.host, dial.port)
        self._link: Link | None = None

    def start(self) -> None:
        """Start connecting in the background."""
        self._dialer.start()

    def send(self, messages: list[Message]) -> None:
        """Send one frame. Without a link it is dropped; the core gets a `LinkDown` event for that link."""
        if self._link is not None:
            self._link.send(messages)

    def drop(self, reason: str) -> None:
        """Close the link. The dialer reconnects, unless it was stopped."""
        if self._link is not None:
            self._link.close(reason)

    async def close(self) -> None:
        """Close the link and do not reconnect."""
        await self._dialer.stop()
        self.drop("the client closes")

    # Callbacks of the link (`LinkUser`):

    def greeted(self, link: Link, hello: Hello) -> None:
        """Start to use a new link.

        Raises:
            ProtocolError: the other side is not a node, or belongs to another cluster.
        """
        if hello.role != "node":
            raise ProtocolError(f"{self._address} is not a node")
        if self._hello.cluster and hello.cluster != self._hello.cluster:
            raise ProtocolError(f"{self._address} belongs to cluster {hello.cluster!r}, not {self._hello.cluster!r}")
        self._link = link
        self._host.step([LinkUp(self._number, hello, link.clock_ahead_s)])

    def frame(self, link: Link, frame: Frame) -> None:
        """Pass a frame to the core."""
        core, now = self._host.core, time.monotonic()
        self._host.carry_out(core.received(self._number, frame.epoch, frame.messages, link.clock_ahead_s, now))

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        """Fail requests that could not be sent, as if the node had refused them."""
        self._host.step([Returned(self._number, outgoing.returned)])

    def beat(self, link: Link) -> None:
        """Ignore a heartbeat; the link itself detects silence."""

    def lost(self, link: Link, reason: str) -> None:
        """Report the loss of the link to the core, and reconnect."""
        refused = None
        if reason.startswith("protocol error") and link.hello is None:
            refused = ProtocolError(f"{self._address}: {reason.removeprefix('protocol error: ')}")
        if self._link in (None, link):
            self._link = None
            self._host.step([LinkDown(self._number, refused)])
            self._dialer.lost()

    def _make_link(self) -> Link:
        return Link(self, self._hello, lambda: 0)
