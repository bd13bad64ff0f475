"""The ring at any size: how evenly it loads its nodes, and the share of keys that one node more or less moves.

It is the product's own `HashRing`, so nothing is simulated. A *slot* is one replica of one partition; keys are spread
evenly over partitions, so the share of slots is the share of keys. With fewer slots than nodes some nodes hold nothing;
where every node holds everything, a node that leaves moves nothing. Times and memory are measured on request only,
because they differ from run to run.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from statistics import mean
from typing import TypeVar

from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.topology import RingNode, Topology

REPLICATION_FACTOR = 3
CHANGES = 3
_FRESH = count()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RingFigures:
    """The figures of one ring. Moved shares are means over a few nodes that join or leave, of all slots."""

    nodes: int
    partitions: int
    max_to_mean: float
    min_to_mean: float
    without_data: int
    moved_by_joining: float
    ideal_joining: float
    moved_by_leaving: float
    ideal_leaving: float
    build_s: float | None = None
    memory_mib: float | None = None


def measure(nodes: int, partitions: int, seed: int, is_timed: bool = False) -> RingFigures:
    """Build a ring of equal nodes, and those with one node more or less."""
    names = [f"eu-{number:04d}" for number in range(1, nodes + 1)]
    ring = _ring_of(names, partitions)
    loads = [share * nodes for share in ring.share_of.values()]
    random = Random(f"{seed} {nodes} {partitions}")
    joined = [_moved(ring, _ring_of([*names, f"new-{number}"], partitions)) for number in range(CHANGES)]
    leavers = random.sample(names, min(CHANGES, nodes - 1))
    left = [_moved(ring, _ring_of([name for name in names if name != leaver], partitions)) for leaver in leavers]
    return RingFigures(
        nodes=nodes,
        partitions=partitions,
        max_to_mean=max(loads),
        min_to_mean=min(loads),
        without_data=loads.count(0.0),
        moved_by_joining=mean(joined),
        ideal_joining=1 / (nodes + 1),
        moved_by_leaving=mean(left),
        ideal_leaving=1 / nodes if nodes > REPLICATION_FACTOR else 0.0,
        build_s=_seconds(lambda: _ring_of(_strangers("timed", nodes), partitions)) if is_timed else None,
        memory_mib=_mebibytes(lambda: _ring_of(_strangers("weighed", nodes), partitions)) if is_timed else None,
    )


def _ring_of(names: list[str], partitions: int) -> HashRing:
    nodes = tuple(RingNode(name, "127.0.0.1", 7400, "default", 1.0) for name in names)
    return HashRing(Topology("scale", "eu", 1, partitions, REPLICATION_FACTOR, nodes))


def _strangers(prefix: str, nodes: int) -> list[str]:
    """Return names that no ring has had: the points of known names are cached, and cost nothing."""
    return [f"{prefix}-{next(_FRESH)}" for _ in range(nodes)]


def _moved(before: HashRing, after: HashRing) -> float:
    """Return the share of all slots that another node holds afterwards."""
    moved = (len({*after.replicas_of(p)} - {*before.replicas_of(p)}) for p in range(before.partitions))
    return sum(moved) / (before.partitions * before.replication_factor)


def _seconds(build: Callable[[], object]) -> float:
    began = time.perf_counter()
    build()
    return time.perf_counter() - began


def _mebibytes(build: Callable[[], T]) -> float:
    tracemalloc.start()
    kept = build()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return used / 2**20
