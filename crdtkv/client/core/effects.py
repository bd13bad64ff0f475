"""What a step of the client wants done. A host sends one frame per link and step, and tells callers how calls ended."""

from typing import Any, NamedTuple

from crdtkv.wire.messages import Message


class Dial(NamedTuple):
    """Keep a link to this address from now on, under this number; `node` is "" where it is not known who answers."""

    link: int
    node: str
    host: str
    port: int


class Break(NamedTuple):
    """Close this link now, and make it again."""

    link: int


class HangUp(NamedTuple):
    """Close this link for good."""

    link: int


class Move(NamedTuple):
    """Requests go to another data center from now on."""

    before: str
    after: str


class Effects:
    """The effects of one step, in the order in which they are carried out. Most steps have only `sends` and `ended`."""

    __slots__ = ("changes", "ended", "pages", "sends")

    def __init__(self) -> None:
        #: Messages by link.
        self.sends: dict[int, list[Message]] = {}
        #: What becomes of links.
        self.changes: tuple[Dial | Break | HangUp | Move, ...] = ()
        #: Pages of scans and watches, with the call they belong to, in the order they came.
        self.pages: tuple[tuple[Any, Any], ...] = ()
        #: Calls (`calls.Call`) that have ended, with a result or an error.
        self.ended: list[Any] = []
