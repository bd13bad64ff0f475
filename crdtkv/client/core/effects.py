"""What a step of the client wants done. A host sends one frame per link and step, and tells callers how calls ended."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crdtkv.errors import CrdtkvError
from crdtkv.wire.messages import Message


class Dial(NamedTuple):
    """Keep a link to this address from now on, under this number; `node` is "" where it is not known who answers."""

    link: int
    node: str
    host: str
    port: int


class Ended(NamedTuple):
    """A call has ended, with an error or else with a result."""

    call: Any
    result: Any
    error: CrdtkvError | None


class Move(NamedTuple):
    """Requests go to another data center from now on."""

    before: str
    after: str


@dataclass(slots=True)
class Effects:
    """The effects of one step."""

    sends: dict[int, list[Message]] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    #: Pages of scans and watches, with the call they belong to, in the order they came.
    pages: list[tuple[Any, Any]] = field(default_factory=list)
    dials: list[Dial] = field(default_factory=list)
    #: Links to close now and to make again, and links to close for good.
    breaks: list[int] = field(default_factory=list)
    hang_ups: list[int] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
