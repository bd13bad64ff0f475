"""The events of a node. A host passes all events that have arrived to `NodeCore.handle` as one step."""

from typing import NamedTuple

from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Message

#: The other end of a link: a node's name, or the host's number for a client connection.
Peer = str | int


class Now(NamedTuple):
    """The host's clocks at the start of a step: monotonic seconds for deadlines, Unix milliseconds for timestamps.

    `last_step_s` is the duration of the previous step.
    """

    monotonic_s: float
    wall_ms: int
    last_step_s: float = 0.0


class Received(NamedTuple):
    """The messages of one frame from a peer, sent under the peer's `epoch`."""

    peer: Peer
    epoch: int
    messages: list[Message]


class PeerUp(NamedTuple):
    """The link to a node of this data center is established."""

    node: str


class PeerClock(NamedTuple):
    """The monotonic clock of a node of this data center is ahead of this node's by at least `clock_ahead_s`."""

    node: str
    clock_ahead_s: float


class PeerDown(NamedTuple):
    """The link to a node of this data center broke: requests in flight to it will not be answered."""

    node: str


class ClientGone(NamedTuple):
    """The link to this client is closed: the node may drop all state it keeps for it."""

    client: int


class Durable(NamedTuple):
    """All commits up to this number survive a power loss."""

    commit: int


class BusUp(NamedTuple):
    """The connection to this data center's NATS is established, and its stream and consumers exist."""


class BusDown(NamedTuple):
    """The connection to this data center's NATS is lost."""


class Published(NamedTuple):
    """The stream stored (`ok`) or did not store the payload of the `Publish` effect with this number."""

    number: int
    ok: bool


class StreamMessage(NamedTuple):
    """A message from another data center's stream; `handle` is the number under which the host acknowledges it."""

    datacenter: str
    handle: int
    payload: bytes


class BusMessage(NamedTuple):
    """A message from another data center to this node: a confirmation, a request for rights, or about a fill."""

    payload: bytes


class ConsumerIdle(NamedTuple):
    """Since `as_of` (monotonic seconds), a data center's consumer has no undelivered messages of our stream."""

    datacenter: str
    as_of: float


class TopologyChanged(NamedTuple):
    """The topology bucket holds this document."""

    topology: Topology


class DiskSpace(NamedTuple):
    """Whether the free space of the disk is above the floor, and how full the disk is, in percent."""

    is_sufficient: bool
    used_percent: int = 0


Event = (
    Received | PeerUp | PeerClock | PeerDown | ClientGone | Durable | BusUp | BusDown | Published
    | StreamMessage | BusMessage | ConsumerIdle | TopologyChanged | DiskSpace
)  # fmt: skip
