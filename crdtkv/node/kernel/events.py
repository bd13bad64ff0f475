"""What can happen to a node. A host hands `NodeCore.handle` all events that have arrived as one step."""

from typing import NamedTuple

from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Message

#: Who is at the other end of a link: a node's name, or the host's number for a client connection.
Peer = str | int


class Now(NamedTuple):
    """The host's clocks at the start of a step: monotonic seconds for deadlines, Unix milliseconds for timestamps.

    `last_step_s` is how long the step before took.
    """

    monotonic_s: float
    wall_ms: int
    last_step_s: float = 0.0


class Received(NamedTuple):
    """One frame's messages from a peer, sent under the peer's `epoch`."""

    peer: Peer
    epoch: int
    messages: list[Message]


class PeerUp(NamedTuple):
    """The link to a node of this data center stands."""

    node: str


class PeerClock(NamedTuple):
    """The monotonic clock of a node of this data center is ahead of ours by that, or a little more."""

    node: str
    clock_ahead_s: float


class PeerDown(NamedTuple):
    """The link to a node of this data center broke: requests in flight to it will not be answered."""

    node: str


class ClientGone(NamedTuple):
    """The link to this client is gone: nothing needs to be kept for it."""

    client: int


class Durable(NamedTuple):
    """All commits up to this number survive a power loss."""

    commit: int


class BusUp(NamedTuple):
    """The connection to this data center's NATS stands, and its stream and consumers exist."""


class BusDown(NamedTuple):
    """The connection to this data center's NATS is gone."""


class Published(NamedTuple):
    """The stream took (`ok`) or did not take a `Publish` effect with this number."""

    number: int
    ok: bool


class StreamMessage(NamedTuple):
    """A message from another data center's stream; `handle` is the host's number for acknowledging it."""

    datacenter: str
    handle: int
    payload: bytes


class BusMessage(NamedTuple):
    """A message another data center sent to this node: a confirmation, or a request for rights."""

    payload: bytes


class ConsumerIdle(NamedTuple):
    """Since `as_of` (monotonic seconds), a data center's consumer has nothing left to deliver from our stream."""

    datacenter: str
    as_of: float


class TopologyChanged(NamedTuple):
    """The KV bucket holds this topology."""

    topology: Topology


class DiskSpace(NamedTuple):
    """Whether the disk has more free space than the floor, and how full it is."""

    is_sufficient: bool
    used_percent: int = 0


Event = (
    Received | PeerUp | PeerClock | PeerDown | ClientGone | Durable | BusUp | BusDown | Published
    | StreamMessage | BusMessage | ConsumerIdle | TopologyChanged | DiskSpace
)  # fmt: skip
