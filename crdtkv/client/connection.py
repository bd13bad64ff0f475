"""`Connection`: the client's side of the link to one address, which is made again whenever it breaks.

It tells the host what happens (`core.events`), and sends what the host hands over. What is in flight, and what becomes
of it when the link breaks, is the core's.
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
    """One address, by the number that the core has given it."""

    def __init__(self, host: "ClientHost", dial: Dial, hello: Hello) -> None:
        self._host = host
        self._number = dial.link
        self._address = f"{dial.host}:{dial.port}"
        self._hello = hello
        self._dialer = Dialer(self._make_link, dial.host, dial.port)
        self._link: Link | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._dialer.start()

    def send(self, messages: list[Message]) -> None:
        """Send one frame; without a link it is lost, of which the core was told or will be."""
        if self._link is not None:
            self._link.send(messages)

    def drop(self, reason: str) -> None:
        """Close the link, and make a new one."""
        if self._link is not None:
            self._link.close(reason)

    async def close(self) -> None:
        """End the link for good."""
        await self._dialer.stop()
        self.drop("the client closes")

    # What the link tells (`LinkUser`):

    def greeted(self, link: Link, hello: Hello) -> None:
        """Take a new link into use, if a node of this cluster is at the other end."""
        if hello.role != "node":
            raise ProtocolError(f"{self._address} is no node")
        if self._hello.cluster and hello.cluster != self._hello.cluster:
            raise ProtocolError(f"{self._address} belongs to cluster {hello.cluster!r}, not {self._hello.cluster!r}")
        self._link = link
        self._host.step([LinkUp(self._number, hello, link.clock_ahead_s)])

    def frame(self, link: Link, frame: Frame) -> None:
        """Hand a frame to the core."""
        core, now = self._host.core, time.monotonic()
        self._host.carry_out(core.received(self._number, frame.epoch, frame.messages, link.clock_ahead_s, now))

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        """Let requests that could not be sent end as if the node had refused them."""
        self._host.step([Returned(self._number, outgoing.returned)])

    def beat(self, link: Link) -> None:
        """Take no notice of a heartbeat; the link itself watches for silence."""

    def lost(self, link: Link, reason: str) -> None:
        """Tell the core, and connect again."""
        refused = None
        if reason.startswith("protocol error") and link.hello is None:
            refused = ProtocolError(f"{self._address}: {reason.removeprefix('protocol error: ')}")
        if self._link in (None, link):
            self._link = None
            self._host.step([LinkDown(self._number, refused)])
            self._dialer.lost()

    def _make_link(self) -> Link:
        return Link(self, self._hello, lambda: 0)
