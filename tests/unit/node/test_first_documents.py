"""A node and the document of a first start: it counts at once, unless its disk replaces one that the cluster knew."""

from random import Random

import pytest
from several_nodes import WALL_MS, config

from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.enrollment.enrollment import HEARSAY_S
from crdtkv.node.kernel.events import Event, Now, PeerUp, Received
from crdtkv.ring.topology import RingNode
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.messages import MembersPush, MembersReply, Message

INCARNATION = 0xAB


class Starting:
    """eu-1 with the document of a first start, in which no node has entered an incarnation."""

    def __init__(self, nodes: int = 3, starts: int = 1, is_replacement: bool = False) -> None:
        model = config(nodes)
        first = model.first_topology("eu")
        settings = NodeSettings(model, "eu", "eu-1", first, INCARNATION, starts, True, is_replacement)
        self.now_s = 100.0
        self.core = NodeCore(settings, MemoryStore(), Random(1), self._now())

    def step(self, *events: Event) -> RingNode | None:
        """Take a step; return what the node proposes for itself."""
        proposal = self.core.handle(events, self._now()).held_proposal
        return proposal.wanted.node("eu-1") if proposal is not None else None

    def hear(self, message: Message) -> RingNode | None:
        return self.step(PeerUp("eu-2"), Received("eu-2", 1, [message]))

    def _now(self) -> Now:
        return Now(self.now_s, WALL_MS + int(self.now_s * 1000))


def test_a_node_enters_itself_as_a_member_when_another_one_does_not_know_it() -> None:
    node = Starting()
    assert node.step() is None
    entered = node.hear(MembersReply([]))
    assert entered is not None
    assert (entered.incarnation, entered.is_learner) == (f"{INCARNATION:016x}", False)


def test_a_node_that_hears_from_no_other_enters_itself_in_a_moment() -> None:
    node = Starting()
    node.now_s += HEARSAY_S - 0.1
    assert node.step() is None
    node.now_s += 0.2
    entered = node.step()
    assert entered is not None
    assert not entered.is_learner


def test_a_node_alone_in_its_data_center_does_not_wait() -> None:
    assert Starting(nodes=1).step() is not None


@pytest.mark.parametrize("kind", [MembersReply, MembersPush])
def test_a_node_of_which_others_know_another_disk_enters_itself_as_a_learner(kind: type[Message]) -> None:
    entered = Starting().hear(kind([["eu-1", 4, 7, 0xCD, 0, 0, 0, 0]]))  # type: ignore[call-arg, arg-type]
    assert entered is not None
    assert (entered.incarnation, entered.is_learner) == (f"{INCARNATION:016x}", True)


def test_a_node_whose_disk_lost_its_identity_enters_itself_as_a_learner() -> None:
    """Its generation is above the one that others remember, so their rows do not show that."""
    entered = Starting(starts=5, is_replacement=True).hear(MembersReply([["eu-2", 1, 1, 0xEF, 0, 0, 0, 0]]))
    assert entered is not None
    assert entered.is_learner
