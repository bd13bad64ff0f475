"""A data center that was added or has lost disks is sent everything, and does not count as complete before."""

from types import SimpleNamespace

import pytest

from crdtkv.ids import identity_of
from crdtkv.node.enrollment.filling import AGAIN_AFTER_S, ASK_EVERY_S, Filling
from crdtkv.node.kernel.calls import CallTable
from crdtkv.node.kernel.cluster_view import ClusterView
from crdtkv.node.kernel.effects import Effects
from crdtkv.node.kernel.events import Now
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.step import Step
from crdtkv.node.replica.outbox import Outbox
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import storage_key_of
from crdtkv.storage import rows
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import FillDone, FillWanted, Message
from tests.unit.node.several_nodes import config

pytestmark = pytest.mark.interpreted  # a stand-in is no `Replica`

KEYS = [storage_key_of(identity_of("default", "register", f"k{number}")) for number in range(10)]
US = ["us-1", "us-2"]


class Node:
    """The outbox of eu-1, and its part in filling others; `start` is a start of the process."""

    def __init__(self, *peers: str, keys: int = 10) -> None:
        self.store = MemoryStore()
        self.now_s = 100.0
        for key in KEYS[:keys]:
            self.store.put(rows.data_row(key), b"entry")
        self.start(*peers)

    def start(self, *peers: str) -> None:
        ring = HashRing(config(3).first_topology("eu"))
        self.kernel = Kernel(ClusterView("eu-1", "eu", ring), Step(Now(self.now_s, 1)), CallTable())
        self.step = self.kernel.step
        self.outbox = Outbox(self.store, peers, 1000, self.now_s)
        others = {peer: [f"{peer}-1", f"{peer}-2"] for peer in peers}
        replica = SimpleNamespace(incarnation=7)
        self.filling = Filling(self.kernel, replica, self.store, self.outbox, others)  # type: ignore[arg-type]

    def after(self, seconds: float) -> list[tuple[str, Message]]:
        """Let time go by, and return what is sent over the bus."""
        self.now_s += seconds
        self.step.now = Now(self.now_s, 1)
        self.step.effects = Effects()
        self.filling.run_due()
        return self.sent

    @property
    def sent(self) -> list[tuple[str, Message]]:
        return [(send.node, decode_frame(send.payload).messages[0]) for send in self.step.effects.held_bus]

    def refill(self) -> None:
        while self.outbox.has_dropped:
            self.outbox.refill(self.now_s)

    def confirm(self, datacenter: str) -> None:
        self.outbox.confirm(datacenter, list(self.outbox._rows))


def settled(*peers: str) -> Node:
    node = Node(*peers)
    node.refill()
    for peer in peers:
        node.confirm(peer)
    node.start(*peers)
    assert not node.outbox.has_dropped
    return node


def test_a_data_center_that_is_added_is_sent_everything() -> None:
    node = settled("us")
    node.start("ap", "us")
    assert node.outbox.has_dropped
    node.refill()
    assert node.outbox.lag("ap", node.now_s)[0] == len(KEYS)


def test_a_data_center_that_is_put_back_is_sent_everything() -> None:
    node = settled("ap", "us")
    node.start("us")
    assert not node.outbox.has_dropped
    node.start("ap", "us")
    assert node.outbox.has_dropped


def test_a_store_without_data_has_nothing_to_send() -> None:
    assert not Node("us", keys=0).outbox.has_dropped


def test_a_node_that_is_asked_sends_everything_and_says_when_it_was_confirmed() -> None:
    node = settled("ap", "us")
    node.filling.asked(FillWanted("us-1", 5))
    assert node.outbox.has_dropped
    assert node.after(ASK_EVERY_S) == []
    node.refill()
    assert node.after(ASK_EVERY_S) == []
    node.confirm("ap")
    assert node.after(ASK_EVERY_S) == []
    node.confirm("us")
    assert node.after(ASK_EVERY_S) == [("us-1", FillDone("eu-1"))]


def test_what_is_written_meanwhile_does_not_hold_up_the_end() -> None:
    node = settled("us")
    node.filling.asked(FillWanted("us-1", 5))
    node.refill()
    node.after(ASK_EVERY_S)
    node.confirm("us")
    node.outbox.record(KEYS[0], node.now_s)
    assert node.after(ASK_EVERY_S) == [("us-1", FillDone("eu-1"))]


def test_nodes_of_one_data_center_that_ask_together_are_served_by_one_sending() -> None:
    node = settled("us")
    for asker in US:
        node.filling.asked(FillWanted(asker, 5))
    node.refill()
    node.filling.asked(FillWanted("us-1", 5))
    assert not node.outbox.has_dropped
    node.after(ASK_EVERY_S)
    node.confirm("us")
    assert node.after(ASK_EVERY_S) == [(asker, FillDone("eu-1")) for asker in US]


def test_one_that_has_not_heard_the_end_is_told_again_and_nothing_is_sent_again() -> None:
    node = settled("us")
    node.filling.asked(FillWanted("us-1", 5))
    node.refill()
    node.after(ASK_EVERY_S)
    node.confirm("us")
    node.after(ASK_EVERY_S)
    node.step.effects = Effects()
    node.filling.asked(FillWanted("us-1", 5))
    assert node.sent == [("us-1", FillDone("eu-1"))]
    assert not node.outbox.has_dropped


def test_everything_is_not_sent_again_and_again_because_others_ask_often() -> None:
    node = settled("us")
    for incarnation in range(50):
        node.filling.asked(FillWanted("us-1", incarnation))
        node.refill()
        node.after(ASK_EVERY_S / 10)
        node.confirm("us")
    assert node.step.stats.counters["geo_fills"] == 1
    node.after(AGAIN_AFTER_S)
    node.filling.asked(FillWanted("us-1", 99))
    assert node.step.stats.counters["geo_fills"] == 2


def test_a_node_that_wants_to_be_filled_asks_until_all_have_answered_also_after_a_restart() -> None:
    node = settled("us")
    node.filling.want()
    assert node.after(0) == [(name, FillWanted("eu-1", 7)) for name in US]
    assert node.after(ASK_EVERY_S) == [(name, FillWanted("eu-1", 7)) for name in US]
    node.filling.done(FillDone("us-1"))
    assert node.filling.unfilled == ["us"]
    node.start("us")
    assert node.filling.unfilled == ["us"]
    assert node.after(ASK_EVERY_S) == [("us-2", FillWanted("eu-1", 7))]
    node.filling.done(FillDone("us-2"))
    assert node.filling.unfilled == []
    assert node.after(ASK_EVERY_S) == []


def test_a_node_does_not_wait_for_one_that_was_taken_out_of_the_configuration() -> None:
    node = settled("ap", "us")
    node.filling.want()
    node.start("ap")
    assert node.filling.unfilled == ["ap"]


def test_a_stranger_is_not_served() -> None:
    node = settled("us")
    node.filling.asked(FillWanted("mars-1", 5))
    assert not node.outbox.has_dropped
    assert node.step.stats.counters["junk_messages"] == 1
