"""What can happen to a client besides new calls and frames, for which `ClientCore` has methods of their own."""

from typing import TYPE_CHECKING, Any, NamedTuple

from crdtkv.errors import CrdtkvError
from crdtkv.wire.messages import Hello, Message, TopologyReply

if TYPE_CHECKING:
    from crdtkv.client.core.calls import Call


class Canceled(NamedTuple):
    """Nobody waits for this call any more: it is not tried again, and its end is not reported."""

    call: "Call"


class PageTaken(NamedTuple):
    """The caller has begun to read a page of a watch: the next one may be fetched."""

    page: Any


class PageDelivered(NamedTuple):
    """The caller has read all rows of a page of a watch: its token may name the cursor behind it."""

    page: Any


class LinkUp(NamedTuple):
    """A link stands; `clock_ahead_s` tells by how much the node's monotonic clock is ahead, at least."""

    link: int
    hello: Hello
    clock_ahead_s: float = 0.0


class LinkDown(NamedTuple):
    """A link broke, or the node turned it away (`refused`)."""

    link: int
    refused: CrdtkvError | None = None


class Returned(NamedTuple):
    """Requests that the host could not send, answered in the place of the node."""

    link: int
    answers: list[Message]


class TopologySeen(NamedTuple):
    """A data center, as one of its nodes describes it; `rank` 0 is the preferred one.

    `contacts` are addresses that lead to its nodes, where the addresses in the ring are out of reach.
    """

    datacenter: str
    rank: int
    reply: TopologyReply
    contacts: tuple[tuple[str, int], ...] = ()


class Closed(NamedTuple):
    """The client is closed: all links end, and all calls with them."""


Event = Canceled | PageTaken | PageDelivered | LinkUp | LinkDown | Returned | TopologySeen | Closed
