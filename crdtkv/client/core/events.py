"""Events for `ClientCore.handle`. New calls and frames have methods of their own: `begin` and `received`."""

from typing import TYPE_CHECKING, Any, NamedTuple

from crdtkv.errors import CrdtkvError
from crdtkv.wire.messages import Hello, Message, TopologyReply

if TYPE_CHECKING:
    from crdtkv.client.core.calls import Call


class Canceled(NamedTuple):
    """The caller has stopped waiting for a call: it is not retried, and its end is not reported."""

    call: "Call"


class PageTaken(NamedTuple):
    """The caller has begun to read a page of a watch: the next page may be requested."""

    page: Any


class PageDelivered(NamedTuple):
    """The caller has read all rows of a page of a watch: the token may have the cursor behind the page."""

    page: Any


class LinkUp(NamedTuple):
    """A link is open; `clock_ahead_s` is a lower bound of (node's monotonic clock - client's monotonic clock)."""

    link: int
    hello: Hello
    clock_ahead_s: float = 0.0


class LinkDown(NamedTuple):
    """A link broke; `refused` is the error if the handshake failed."""

    link: int
    refused: CrdtkvError | None = None


class Returned(NamedTuple):
    """Error replies, made by the host, for requests that it could not send."""

    link: int
    answers: list[Message]


class TopologySeen(NamedTuple):
    """The description of a data center by one of its nodes; `rank` 0 is the preferred data center.

    `contacts` are other addresses of its nodes, if those in the ring are unreachable.
    """

    datacenter: str
    rank: int
    reply: TopologyReply
    contacts: tuple[tuple[str, int], ...] = ()


class Closed(NamedTuple):
    """The client was closed: all links and calls end."""


Event = Canceled | PageTaken | PageDelivered | LinkUp | LinkDown | Returned | TopologySeen | Closed
