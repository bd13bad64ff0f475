"""What a step wants done, grouped so that a host writes one frame per link and does one sync.

The rule of durability lives here: what is in `at_once` leaves now; everything else leaves only when commit number
`after_commit` (and with it all earlier ones) is durable. A part that answers from data which may not be durable
yet puts the answer into `held`; nothing else has to be remembered anywhere.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from crdtkv.node.kernel.events import Peer
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Message, WriteReplicas
from crdtkv.wire.weights import SMALL, weight_of

#: What a step sends one peer before it refuses to read more for it.
CLIENT_BYTES_A_STEP = 32 * 1024 * 1024
NODE_BYTES_A_STEP = 64 * 1024 * 1024

Sends = dict[Peer, list[Message]]


class Publish(NamedTuple):
    """Send a payload to this data center's stream; answered by `Published`. The rest is for the readable headers."""

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
    """Acknowledge a stream message (`applied`), or ask for it again after a while."""

    handle: int
    applied: bool


class Proposal(NamedTuple):
    """Replace this topology document by that, if the bucket still holds it; answered by `TopologyChanged`, or never."""

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
    #: The topology document that came into use in this step, if one did.
    topology: Topology | None = None
    #: Why this process must stop at once, if it must.
    stop: str | None = None
    notes: list[str] = field(default_factory=list)
    #: By peer: the message in `held` that takes all small writes of this step.
    writes: dict[Peer, WriteReplicas] = field(default_factory=dict)
    #: About how much each peer is sent, so that no frame of small requests makes a step hold any amount of answers.
    weights: dict[Peer, int] = field(default_factory=dict)

    def send(self, peer: Peer, message: Message) -> None:
        """Send what reveals no write of this node that could still be lost."""
        self.charge(peer, weight_of(message))
        queue = self.at_once.get(peer)
        if queue is None:
            self.at_once[peer] = [message]
        else:
            queue.append(message)

    def send_when_durable(self, peer: Peer, message: Message) -> None:
        """Send when everything this node has written so far is durable."""
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
        """Count work or answers for a peer."""
        self.weights[peer] = self.weights.get(peer, 0) + weight

    def has_room_for(self, peer: Peer) -> bool:
        """Whether more may be done for a peer in this step."""
        return self.weights.get(peer, 0) < (CLIENT_BYTES_A_STEP if isinstance(peer, int) else NODE_BYTES_A_STEP)
