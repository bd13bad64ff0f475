"""The effects of a step of `ClientCore`. The host sends one frame per link and step, and notifies callers."""

from typing import Any, NamedTuple

from crdtkv.wire.messages import Message


class Dial(NamedTuple):
    """Keep a link, with the number `link`, to this address; `node` is "" if the node at the address is unknown."""

    link: int
    node: str
    host: str
    port: int


class Break(NamedTuple):
    """Close this link and reconnect."""

    link: int


class HangUp(NamedTuple):
    """Close this link and do not reconnect."""

    link: int


class Move(NamedTuple):
    """Requests now go to the data center `after` instead of `before`."""

    before: str
    after: str


class Effects:
    """The effects of one step. A host carries out `pages` before `ended`."""

    __slots__ = ("changes", "ended", "pages", "sends")

    def __init__(self) -> None:
        #: Messages by link number.
        self.sends: dict[int, list[Message]] = {}
        #: Changes of links, and moves to other data centers.
        self.changes: tuple[Dial | Break | HangUp | Move, ...] = ()
        #: Pages of scans and watches as (call, page), in the order of arrival.
        self.pages: tuple[tuple[Any, Any], ...] = ()
        #: Calls (`calls.Call`) that have ended, with a result or an error.
        self.ended: list[Any] = []
