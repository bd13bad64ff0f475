"""In which order a step's effects are carried out, and which of them wait for its commit."""

from dataclasses import fields

import pytest

from crdtkv.errors import StorageError
from crdtkv.node.kernel.effects import AckStream, Effects, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.world import carry_out, release
from crdtkv.ring.topology import Topology
from crdtkv.wire.messages import Message, StatusRequest, TopologyRequest

TOPOLOGY = Topology("shop", "eu", 1, 8, 1, ())
PUBLISH, SEND_BUS = Publish(1, b"rows", "id", 1, "key"), SendBus("us", "us-1", b"confirm")
PROPOSAL, ACK = Proposal(TOPOLOGY, TOPOLOGY), AckStream(1, True)


class Recorded:
    """A `World` that records what it is asked to do."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.is_disk_broken = False

    def send(self, peer: Peer, messages: list[Message]) -> None:
        self.done.append((peer, *messages))

    def publish(self, publish: Publish) -> None:
        self.done.append(publish)

    def send_bus(self, send: SendBus) -> None:
        self.done.append(send)

    def propose(self, proposal: Proposal) -> None:
        self.done.append(proposal)

    def ack(self, ack: AckStream) -> None:
        self.done.append(ack)

    def note(self, text: str) -> None:
        self.done.append(text)

    def save_incarnation(self, incarnation: int) -> None:
        if self.is_disk_broken:
            raise StorageError("no space left")
        self.done.append(("incarnation", incarnation))

    def follow_topology(self, topology: Topology) -> None:
        self.done.append(topology)

    def refresh_topology(self) -> None:
        self.done.append("refresh")

    def halt(self, reason: str) -> None:
        self.done.append(("halt", reason))


def everything() -> Effects:
    """One of each."""
    return Effects(
        at_once={"eu-2": [StatusRequest(1)], 7: [StatusRequest(2)]},
        held={7: [TopologyRequest(3)], "eu-2": [TopologyRequest(4)]},
        held_publishes=[PUBLISH],
        held_bus=[SEND_BUS],
        held_acks=[ACK],
        held_proposal=PROPOSAL,
        after_commit=5,
        new_incarnation=9,
        refresh_topology=True,
        topology=TOPOLOGY,
        stop="twice",
        notes=["a note"],
    )


def test_every_effect_is_carried_out() -> None:
    """A new field of `Effects` has to be carried out in `world`, and to be named here."""
    not_carried_out = {"after_commit", "weights", "writes"}
    effects = everything()
    assert not [
        field.name
        for field in fields(Effects)
        if field.name not in not_carried_out and not getattr(effects, field.name)
    ]
    world = Recorded()
    carry_out(effects, world)
    release(effects, world)
    assert len(world.done) == 13


def test_what_waits_for_no_commit_is_carried_out_in_a_fixed_order_and_sent_last() -> None:
    """A new incarnation is kept before anything is sent under it."""
    world = Recorded()
    carry_out(everything(), world)
    assert world.done == [
        "a note",
        ("incarnation", 9),
        TOPOLOGY,
        "refresh",
        ("halt", "twice"),
        ("eu-2", StatusRequest(1)),
        (7, StatusRequest(2)),
    ]


def test_what_was_held_leaves_in_a_fixed_order_and_acknowledgements_to_streams_last() -> None:
    """A message that is acknowledged does not come again, so what followed from it has left before."""
    world = Recorded()
    release(everything(), world)
    assert world.done == [
        (7, TopologyRequest(3)),
        ("eu-2", TopologyRequest(4)),
        PUBLISH,
        SEND_BUS,
        PROPOSAL,
        ACK,
    ]


def test_a_step_without_effects_does_nothing() -> None:
    world = Recorded()
    carry_out(Effects(), world)
    release(Effects(), world)
    assert world.done == []


def test_nothing_is_sent_under_an_incarnation_that_could_not_be_kept() -> None:
    world = Recorded()
    world.is_disk_broken = True
    with pytest.raises(StorageError):
        carry_out(everything(), world)
    assert world.done == ["a note"]
