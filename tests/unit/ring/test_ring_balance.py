"""How evenly the ring loads its nodes and how little it moves, as measured bounds for usual names."""

import pytest

from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import RingNode, Topology

PARTITIONS = 256
REPLICAS = 3
SIZES = range(5, 21)
NAMES = ["eu-{}", "us-east-1-{}", "n{}", "node-{:02d}.example.net"]


def ring_of(pattern: str, count: int, weights: dict[int, float] | None = None, zones: int = 1) -> HashRing:
    nodes = (
        RingNode(pattern.format(number), "127.0.0.1", 1, f"zone-{number % zones}", (weights or {}).get(number, 1.0))
        for number in range(1, count + 1)
    )
    return HashRing(Topology("shop", "eu", 1, PARTITIONS, REPLICAS, tuple(nodes)))


@pytest.fixture(scope="module", params=NAMES)
def rings(request: pytest.FixtureRequest) -> dict[int, HashRing]:
    return {count: ring_of(request.param, count) for count in range(SIZES.start, SIZES.stop + 1)}


def slots_moved(before: HashRing, after: HashRing) -> float:
    """Return the share of all replica slots that have another holder."""
    pairs = ((set(before.replicas_of(p)), set(after.replicas_of(p))) for p in range(PARTITIONS))
    return sum(len(new - old) for old, new in pairs) / (PARTITIONS * REPLICAS)


def test_equal_nodes_carry_between_70_and_135_percent_of_the_mean(rings: dict[int, HashRing]) -> None:
    """5 to 20 nodes of weight 1, 256 partitions, 3 replicas. Measured over these names: 72 to 130 percent."""
    for count in SIZES:
        loads = [share * count for share in rings[count].share_of.values()]
        assert min(loads) >= 0.70
        assert max(loads) <= 1.35


def test_a_node_more_or_less_moves_its_fair_share_within_25_percent(rings: dict[int, HashRing]) -> None:
    """When one joins n nodes (5 to 20), 1 / (n + 1) of all replica slots is fair. Measured: 0.82 to 1.24 of that."""
    for count in SIZES:
        fair = 1 / (count + 1)
        joined = slots_moved(rings[count], rings[count + 1])
        assert 0.75 * fair <= joined <= 1.25 * fair
        assert slots_moved(rings[count + 1], rings[count]) == pytest.approx(joined)


@pytest.mark.parametrize("pattern", NAMES)
def test_weights_are_respected_within_25_percent(pattern: str) -> None:
    """Ten nodes, one of weight 2 and one of weight 1/2. Measured: the heavy one gets 0.84 to 0.92 of its due.

    It falls short because a walk meets it once only, however many points it has.
    """
    share_of = ring_of(pattern, 10, {1: 2.0, 2: 0.5}).share_of
    total = 10.5
    assert share_of[pattern.format(1)] == pytest.approx(2 / total, rel=0.25)
    assert share_of[pattern.format(2)] == pytest.approx(0.5 / total, rel=0.25)


@pytest.mark.parametrize("pattern", NAMES)
def test_three_equal_zones_hold_a_copy_each_and_cost_no_balance(pattern: str) -> None:
    """6, 9 and 12 nodes in 3 zones carry 80 to 125 percent of the mean. Measured: 86 to 120 percent."""
    for count in (6, 9, 12):
        ring = ring_of(pattern, count, zones=3)
        loads = [share * count for share in ring.share_of.values()]
        assert min(loads) >= 0.80
        assert max(loads) <= 1.25
        zone_of = {node.name: node.zone for node in ring.topology.nodes}
        for partition in range(PARTITIONS):
            assert len({zone_of[name] for name in ring.replicas_of(partition)}) == 3
