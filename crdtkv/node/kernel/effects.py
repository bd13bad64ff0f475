"""The effects of a step, grouped so that a host writes one frame per link and syncs once.

The durability rule: messages in `at_once` leave immediately. All held effects leave only when commit `after_commit`,
and with it all earlier commits, is durable. A part whose answer shows data that may not be durable yet puts the answer
into `held`; it has to do nothing else.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from crdtkv.node.kernel.events import Peer
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Message, WriteReplicas
from crdtkv.wire.weights import SMALL, weight_of

#: The most bytes that a step sends to one peer before it refuses further reads of that peer.
CLIENT_BYTES_A_STEP = 32 * 1024 * 1024
NODE_BYTES_A_STEP = 64 * 1024 * 1024

Sends = dict[Peer, list[Message]]


class Publish(NamedTuple):
    """Send a payload to this data center's stream; answered by `Published`.

    `entries` and `first_key` go into its headers.
    """

    number: int
    payload: bytes
    message_id: str
    entries: int
    first_key: str


class SendBus(NamedTuple):
    """Send a payload to a node of another data center."""

    datacenter: str
    node: str
    payload: bytes


class AckStream(NamedTuple):
    """Acknowledge a stream message (`applied`), or request its redelivery after a pause."""

    handle: int
    applied: bool


class Proposal(NamedTuple):
    """Replace `known` by `wanted` in the topology bucket, by compare-and-set; `TopologyChanged` follows, or nothing."""

    known: Topology
    wanted: Topology


@dataclass(slots=True)
class Effects:
    """The effects of one step."""

    at_once: Sends = field(default_factory=dict)
    held: Sends = field(default_factory=dict)
    held_publishes: list[Publish] = field(default_factory=list)
    held_bus: list[SendBus] = field(default_factory=list)
    held_acks: list[AckStream] = field(default_factory=list)
    held_proposal: Proposal | None = None
    after_commit: int = 0
    new_incarnation: int | None = None
    refresh_topology: bool = False
    #: The topology document that this node adopted in this step, if any.
    topology: Topology | None = None
    #: The reason why this process must stop at once, if it must.
    stop: str | None = None
    notes: list[str] = field(default_factory=list)
    #: By peer: the message in `held` that takes all small writes of this step.
    writes: dict[Peer, WriteReplicas] = field(default_factory=dict)
    #: Approximate bytes sent per peer. They bound the answers that one frame of small requests can produce in a step.
    weights: dict[Peer, int] = field(default_factory=dict)

    def send(self, peer: Peer, message: Message) -> None:
        """Send a message that reveals no write of this node that could still be lost."""
        self.charge(peer, weight_of(message))
        queue = self.at_once.get(peer)
        if queue is None:
            self.at_once[peer] = [message]
        else:
            queue.append(message)

    def send_when_durable(self, peer: Peer, message: Message) -> None:
        """Send a message when everything this node has written so far is durable."""
        self.charge(peer, weight_of(message))
        queue = self.held.get(peer)
        if queue is None:
            self.held[peer] = [message]
        else:
            queue.append(message)

    def write_when_durable(
        self,
        peer: Peer,
        number: int,
        identity: bytes,
        entry: bytes,
        supersede_before: int,
        record: bytes,
        made_on: bytes,
        newest: int,
    ) -> None:
        """Send a write together with the others of this step; the arguments are a row of `WriteReplicas`."""
        self.charge(peer, SMALL + len(identity) + len(entry))
        row = (number, identity, entry, supersede_before, record, made_on, newest)
        message = self.writes.get(peer)
        if message is None:
            message = self.writes[peer] = WriteReplicas(list(row))
            self.held.setdefault(peer, []).append(message)
        else:
            message.rows.extend(row)

    def charge(self, peer: Peer, weight: int) -> None:
        """Add bytes of work or answers to the weight of a peer."""
        self.weights[peer] = self.weights.get(peer, 0) + weight

    def has_room_for(self, peer: Peer) -> bool:
        """Return whether this step may do more work for a peer."""
        return self.weights.get(peer, 0) < (CLIENT_BYTES_A_STEP if isinstance(peer, int) else NODE_BYTES_A_STEP)
