"""`World`: the environment that carries out the effects of one node; `carry_out` and `release` define the order.

Every host implements `World` for its own links, bus and disk. It passes the effects of a step to `carry_out` when the
step has ended, and to `release` when `GroupCommit` returns them. No host reads the fields of `Effects` itself, so no
host can omit an effect or change the order.
"""

from typing import Protocol

from crdtkv.node.kernel.effects import AckStream, Effects, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import Peer
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Message


class World(Protocol):
    """The environment of one node.

    No method waits. An effect that cannot be carried out is lost, and the core tries again.
    """

    def send(self, peer: Peer, messages: list[Message]) -> None:
        """Send messages to a node of this data center, or to a client."""
        ...

    def publish(self, publish: Publish) -> None:
        """Send a payload to the stream of this data center."""
        ...

    def send_bus(self, send: SendBus) -> None:
        """Send a payload to a node of another data center."""
        ...

    def propose(self, proposal: Proposal) -> None:
        """Replace the topology document, if it is still `proposal.known`."""
        ...

    def ack(self, ack: AckStream) -> None:
        """Acknowledge a message of a stream, or request its redelivery."""
        ...

    def note(self, text: str) -> None:
        """Log a line for the operator."""
        ...

    def save_incarnation(self, incarnation: int) -> None:
        """Write a new incarnation into the identity record.

        Raises:
            StorageError: the write failed. The next start finds the mismatch, and takes another incarnation.
        """
        ...

    def follow_topology(self, topology: Topology) -> None:
        """Use the addresses of a topology that this node has adopted."""
        ...

    def refresh_topology(self) -> None:
        """Read the topology bucket now."""
        ...

    def halt(self, reason: str) -> None:
        """Stop the process."""
        ...


def carry_out(effects: Effects, world: World) -> None:
    """Carry out the effects that wait for no commit, at the end of a step.

    Raises:
        StorageError: the disk refused a new incarnation; no message of the step was sent.
    """
    for note in effects.notes:
        world.note(note)
    if effects.new_incarnation is not None:
        world.save_incarnation(effects.new_incarnation)
    if effects.topology is not None:
        world.follow_topology(effects.topology)
    if effects.refresh_topology:
        world.refresh_topology()
    if effects.stop is not None:
        world.halt(effects.stop)
    for peer, messages in effects.at_once.items():
        world.send(peer, messages)


def release(effects: Effects, world: World) -> None:
    """Carry out the held effects of a step whose commit is durable."""
    for peer, messages in effects.held.items():
        world.send(peer, messages)
    for publish in effects.held_publishes:
        world.publish(publish)
    for send in effects.held_bus:
        world.send_bus(send)
    if effects.held_proposal is not None:
        world.propose(effects.held_proposal)
    # Last: the stream does not redeliver an acknowledged message, so all effects of the message must have left before.
    for ack in effects.held_acks:
        world.ack(ack)
