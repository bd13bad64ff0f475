"""The order in which a node asks replicas: itself, then significantly faster or less loaded ones; equals take turns."""

from collections import Counter
from random import Random

import pytest

from crdtkv.node.kernel.calls import CallTable
from crdtkv.node.kernel.cluster_view import ClusterView
from crdtkv.node.kernel.events import Now
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.kernel.step import Step
from crdtkv.node.membership.member import NO_LOAD, Load
from crdtkv.node.quorum_calls.replica_selector import COSTS_EVERY_S, EXPLORED, LOADS_EVERY_S, ReplicaSelector
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import RingNode, Topology

ME = "eu-1"
ALL = [f"eu-{number}" for number in range(1, 6)]
THREE = ALL[:3]


def topology(names: list[str], epoch: int = 1) -> Topology:
    nodes = tuple(RingNode(name, "127.0.0.1", 1, "z", 1.0) for name in names)
    return Topology("c", "eu", epoch, 8, 3, nodes)


class Asking:
    """A node's selector, with loads that the test sets."""

    def __init__(self) -> None:
        self.kernel = Kernel(ClusterView(ME, "eu", HashRing(topology(ALL))), Step(Now(100.0, 1)), CallTable())
        self.step, self.cluster = self.kernel.step, self.kernel.cluster
        self.loads: dict[str, Load] = {}
        self.selector = ReplicaSelector(self.kernel, Random(1), lambda node: self.loads.get(node, NO_LOAD))

    def later(self, seconds: float) -> None:
        self.step.now = Now(self.step.now.monotonic_s + seconds, 1)

    def measured(self, **milliseconds: float) -> None:
        """Let nodes have been this fast for a while."""
        for name, one in milliseconds.items():
            for _ in range(100):
                self.selector.latencies.answered(name.replace("_", "-"), one / 1000)

    def firsts(self, times: int, nodes: list[str], needed: int = 2) -> Counter[str]:
        """Return which other node is asked first, how often."""
        self.later(COSTS_EVERY_S)
        found = [self.selector.ordered(nodes, needed) for _ in range(times)]
        return Counter(next(name for name in order if name != ME) for order in found)


@pytest.fixture
def asking() -> Asking:
    return Asking()


def test_a_node_asks_itself_first(asking: Asking) -> None:
    asking.measured(eu_2=0.001)
    for _ in range(20):
        assert asking.selector.ordered(["eu-3", "eu-2", ME], 2)[0] == ME


def test_a_node_that_is_not_among_them_is_not_asked(asking: Asking) -> None:
    assert set(asking.selector.ordered(["eu-2", "eu-3"], 1)) == {"eu-2", "eu-3"}


def test_at_first_the_order_is_that_of_the_ring_and_then_equals_take_turns(asking: Asking) -> None:
    assert [asking.selector.ordered(THREE, 2) for _ in range(3)] == [
        ["eu-1", "eu-2", "eu-3"],
        ["eu-1", "eu-3", "eu-2"],
        ["eu-1", "eu-2", "eu-3"],
    ]


def test_equals_are_asked_equally_often(asking: Asking) -> None:
    asking.measured(eu_2=1.0, eu_3=1.2, eu_4=1.0)
    assert asking.firsts(300, ["eu-2", "eu-3", "eu-4"], 1) == {"eu-2": 100, "eu-3": 100, "eu-4": 100}


def test_a_slow_node_is_asked_now_and_then_so_that_it_is_noticed_when_it_is_fast_again(asking: Asking) -> None:
    asking.measured(eu_2=30.0, eu_3=1.0)
    firsts = asking.firsts(10_000, THREE)
    assert EXPLORED / 2 < firsts["eu-2"] / 10_000 < EXPLORED * 1.5
    assert asking.step.stats.counters["explored_reads"] == firsts["eu-2"]
    asking.measured(eu_2=1.0)
    assert asking.firsts(100, THREE) == {"eu-2": 50, "eu-3": 50}


def test_those_that_cost_more_come_last_the_dearest_at_the_end(asking: Asking) -> None:
    asking.measured(eu_2=9.0, eu_3=1.0, eu_4=4.0, eu_5=1.1)
    asking.selector._until_explored = 100
    assert asking.selector.ordered(ALL, 2)[3:] == ["eu-4", "eu-2"]


def test_a_node_that_was_never_asked_has_its_turn(asking: Asking) -> None:
    asking.measured(eu_2=0.3)
    assert asking.firsts(10, THREE) == {"eu-2": 5, "eu-3": 5}


def test_a_read_that_asks_all_explores_nothing(asking: Asking) -> None:
    asking.measured(eu_2=30.0, eu_3=1.0)
    assert all(asking.selector.ordered(THREE, 3) == ["eu-1", "eu-3", "eu-2"] for _ in range(100))
    assert "explored_reads" not in asking.step.stats.counters


@pytest.mark.parametrize(
    ("load", "is_avoided"),
    [
        (Load(operations_per_s=20_000), True),
        (Load(queue_depth=5_000), True),
        (Load(operations_per_s=8_000), False),
        (Load(operations_per_s=300, queue_depth=20), False),
    ],
    ids=["ten times the operations", "a deep queue", "four times the operations", "nearly idle"],
)
def test_a_node_is_avoided_for_its_load_only_if_that_is_several_times_as_high(
    asking: Asking, load: Load, is_avoided: bool
) -> None:
    asking.measured(eu_2=1.0, eu_3=1.0)
    asking.loads = {"eu-2": load, "eu-3": Load(operations_per_s=2_000 if load.operations_per_s > 2_000 else 0)}
    assert (asking.firsts(100, THREE)["eu-2"] < 20) == is_avoided


def test_without_any_measurement_the_less_loaded_node_is_preferred(asking: Asking) -> None:
    asking.loads = {"eu-2": Load(operations_per_s=50_000)}
    assert asking.firsts(100, THREE)["eu-3"] > 90


def test_what_was_measured_weighs_more_than_what_was_gossiped(asking: Asking) -> None:
    asking.measured(eu_2=1.0, eu_3=10.0)
    asking.loads = {"eu-2": Load(operations_per_s=50_000, queue_depth=10_000)}
    assert asking.firsts(100, THREE)["eu-2"] > 90


def test_loads_are_looked_at_again_after_a_while(asking: Asking) -> None:
    asking.firsts(1, THREE)
    asking.loads = {"eu-2": Load(operations_per_s=50_000)}
    assert asking.firsts(10, THREE)["eu-2"] == 5
    asking.later(LOADS_EVERY_S)
    assert asking.firsts(100, THREE)["eu-2"] < 20


def test_a_node_that_has_left_the_ring_is_forgotten(asking: Asking) -> None:
    asking.measured(eu_2=1.0, eu_5=1.0)
    asking.cluster.ring = HashRing(topology(ALL[:4], epoch=2))
    asking.later(LOADS_EVERY_S)
    asking.firsts(1, THREE)
    assert list(asking.selector.snapshot()) == ["eu-2"]


def test_the_same_history_gives_the_same_order() -> None:
    def orders() -> list[list[str]]:
        asking = Asking()
        asking.measured(eu_2=3.0, eu_3=1.0, eu_4=2.0)
        return [asking.selector.ordered(ALL, 2) for _ in range(200)]

    assert orders() == orders()
