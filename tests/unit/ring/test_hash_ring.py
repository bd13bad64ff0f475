"""The ring: distinct replicas in distinct zones, the same in every process, and moving no more than it must."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv.ring.hash_ring import VNODES_PER_WEIGHT, HashRing, vnode_tokens
from crdtkv.ring.token import partition_in, storage_key_of, token_of
from crdtkv.ring.topology import RingNode, Topology


def node(name: str, zone: str = "z", weight: float = 1.0) -> RingNode:
    return RingNode(name, "127.0.0.1", 1, zone, weight)


def ring_of(*nodes: RingNode, replication_factor: int = 3, partitions: int = 64) -> HashRing:
    return HashRing(Topology("shop", "eu", 1, partitions, replication_factor, nodes))


def six_nodes() -> list[RingNode]:
    return [node(f"eu-{number}", "abc"[number % 3]) for number in range(6)]


# Rings of a few nodes with any zones and weights. The names vary, so that the points on the ring do.
RINGS = st.builds(
    lambda prefix, places, replication_factor: ring_of(
        *(node(f"{prefix}-{number}", zone, weight) for number, (zone, weight) in enumerate(places)),
        replication_factor=replication_factor,
        partitions=16,
    ),
    st.text("abcdefgh", min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0.001, 0.25, 1.0, 1.5])), min_size=1, max_size=7),
    st.integers(1, 5),
)


@settings(max_examples=40)
@given(RINGS)
def test_a_walk_meets_every_node_once(ring: HashRing) -> None:
    names = sorted(node.name for node in ring.topology.nodes)
    assert all(sorted(walk) == names for walk in ring.walks)


@settings(max_examples=40)
@given(RINGS)
def test_home_replicas_and_fallback_replicas_together_are_the_walk(ring: HashRing) -> None:
    for partition, walk in enumerate(ring.walks):
        assert ring.replicas_of(partition) + ring.fallbacks(partition) == walk
        assert not set(ring.replicas_of(partition)) & set(ring.fallbacks(partition))


@settings(max_examples=40)
@given(RINGS)
def test_every_partition_has_n_replicas_or_as_many_as_there_are_nodes(ring: HashRing) -> None:
    expected = min(ring.topology.replication_factor, len(ring.topology.nodes))
    assert {len(ring.replicas_of(partition)) for partition in range(ring.partitions)} == {expected}
    assert ring.replication_factor == expected


@settings(max_examples=40)
@given(RINGS)
def test_replicas_lie_in_as_many_zones_as_possible(ring: HashRing) -> None:
    zones = {node.name: node.zone for node in ring.topology.nodes}
    possible = min(ring.replication_factor, len(set(zones.values())))
    for partition in range(ring.partitions):
        assert len({zones[name] for name in ring.replicas_of(partition)}) == possible


@settings(max_examples=40)
@given(RINGS)
def test_shares_add_up_and_are_those_of_the_preference_lists(ring: HashRing) -> None:
    assert list(ring.share_of) == sorted(node.name for node in ring.topology.nodes)
    assert sum(ring.share_of.values()) == pytest.approx(1)
    for name, share in ring.share_of.items():
        held = sum(name in ring.replicas_of(partition) for partition in range(ring.partitions))
        assert share == pytest.approx(held / (ring.partitions * ring.replication_factor))


@settings(max_examples=40)
@given(RINGS, st.sampled_from("abcde"), st.sampled_from([0.25, 1.0]))
def test_a_node_that_joins_takes_its_part_and_moves_nothing_else(ring: HashRing, zone: str, weight: float) -> None:
    before, after = (
        ring,
        ring_of(
            *ring.topology.nodes,
            node("newcomer", zone, weight),
            replication_factor=ring.topology.replication_factor,
            partitions=ring.partitions,
        ),
    )
    for partition in range(ring.partitions):
        assert set(after.replicas_of(partition)) <= {*before.replicas_of(partition), "newcomer"}


@settings(max_examples=40)
@given(RINGS.filter(lambda ring: len(ring.topology.nodes) > 1))
def test_a_node_that_leaves_gives_away_its_part_and_moves_nothing_else(ring: HashRing) -> None:
    leaver, *others = ring.topology.nodes
    after = ring_of(*others, replication_factor=ring.topology.replication_factor, partitions=ring.partitions)
    for partition in range(ring.partitions):
        stayed = set(ring.replicas_of(partition)) - {leaver.name}
        assert stayed <= set(after.replicas_of(partition))
        if leaver.name not in ring.replicas_of(partition):
            assert after.replicas_of(partition) == ring.replicas_of(partition)


@settings(max_examples=40)
@given(RINGS, st.randoms())
def test_the_order_in_which_nodes_are_named_does_not_matter(ring: HashRing, random: object) -> None:
    nodes = list(ring.topology.nodes)
    random.shuffle(nodes)  # type: ignore[attr-defined]
    again = ring_of(*nodes, replication_factor=ring.topology.replication_factor, partitions=ring.partitions)
    assert again.walks == ring.walks


def test_where_a_node_listens_does_not_matter() -> None:
    one = ring_of(*six_nodes())
    moved = ring_of(*(RingNode(n.name, "elsewhere", 9, n.zone, n.weight) for n in six_nodes()))
    assert moved.walks == one.walks


@given(st.binary(max_size=30))
def test_a_key_is_placed_by_its_token_however_it_is_asked_for(identity: bytes) -> None:
    storage_key = storage_key_of(identity)
    replicas = RING.replicas_of(partition_in(storage_key, RING.partitions))
    assert RING.preference_list(storage_key) == replicas
    assert RING.replicas_at(token_of(identity)) == replicas


RING = ring_of(*six_nodes())


def test_a_lone_node_holds_everything() -> None:
    ring = ring_of(node("eu-1"))
    assert set(ring.walks) == {("eu-1",)}
    assert ring.share_of == {"eu-1": 1.0}
    assert ring.fallbacks(0) == ()


def test_with_as_many_nodes_as_replicas_every_node_holds_everything() -> None:
    ring = ring_of(*(node(f"eu-{number}") for number in range(3)))
    assert all(set(replicas) == {"eu-0", "eu-1", "eu-2"} for replicas in map(ring.replicas_of, range(64)))


def test_with_fewer_zones_than_replicas_the_walk_fills_up() -> None:
    ring = ring_of(node("a-1", "a"), node("a-2", "a"), node("a-3", "a"), node("b-1", "b"))
    for partition in range(ring.partitions):
        replicas = ring.replicas_of(partition)
        assert "b-1" in replicas
        assert len(set(replicas)) == 3


@pytest.mark.parametrize(("weight", "points"), [(1.0, 128), (2.0, 256), (0.5, 64), (0.001, 1), (64.0, 8192)])
def test_a_node_has_points_in_proportion_to_its_weight_and_at_least_one(weight: float, points: int) -> None:
    assert len(vnode_tokens(node("eu-1", weight=weight))) == points
    assert len(set(vnode_tokens(node("eu-1", weight=weight)))) == points


def test_a_heavier_node_keeps_the_points_it_had() -> None:
    light, heavy = vnode_tokens(node("eu-1")), vnode_tokens(node("eu-1", weight=2.0))
    assert heavy[: len(light)] == light
    assert len(light) == VNODES_PER_WEIGHT


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_every_process_computes_the_same_ring(seed: str) -> None:
    program = "from test_hash_ring import RING\nfor walk in RING.walks:\n    print(*walk)\n"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
    )
    assert done.stdout.splitlines() == [" ".join(walk) for walk in RING.walks]


@pytest.mark.parametrize(
    ("partition", "walk"),
    [
        (0, "eu-1 eu-3 eu-2 eu-4 eu-5 eu-0"),
        (1, "eu-5 eu-3 eu-1 eu-2 eu-0 eu-4"),
        (2, "eu-5 eu-4 eu-0 eu-1 eu-2 eu-3"),
        (31, "eu-0 eu-2 eu-4 eu-5 eu-3 eu-1"),
        (63, "eu-1 eu-2 eu-0 eu-5 eu-4 eu-3"),
    ],
)
def test_every_version_computes_the_same_ring_because_data_lies_where_it_says(partition: int, walk: str) -> None:
    assert " ".join(RING.walks[partition]) == walk
