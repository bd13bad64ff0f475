"""What a step of the client wants done. A host sends one frame per link and step, and tells callers how calls ended."""

from typing import TYPE_CHECKING, Any, NamedTuple

from crdtkv.wire.messages import Message

if TYPE_CHECKING:
    from crdtkv.client.core.calls import Call


class Dial(NamedTuple):
    """Keep a link to this address from now on, under this number; `node` is "" where it is not known who answers."""

    link: int
    node: str
    host: str
    port: int


class Move(NamedTuple):
    """Requests go to another data center from now on."""

    before: str
    after: str


class Effects:
    """The effects of one step. What few steps have is empty in the class, so that the others do not make it."""

    #: Pages of scans and watches, with the call they belong to, in the order they came.
    pages: "tuple[tuple[Call, Any], ...]" = ()
    dials: tuple[Dial, ...] = ()
    #: Links to close now and to make again, and links to close for good.
    breaks: tuple[int, ...] = ()
    hang_ups: tuple[int, ...] = ()
    moves: tuple[Move, ...] = ()

    def __init__(self) -> None:
        #: Messages by link.
        self.sends: dict[int, list[Message]] = {}
        #: Calls that have ended, with a result or an error.
        self.ended: list[Call] = []
