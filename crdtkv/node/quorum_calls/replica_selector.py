"""`ReplicaSelector`: orders the replicas of a read by their expected cost.

This node itself comes first: it costs no message. Other nodes are ordered by cost: their measured latency
(`latencies`), multiplied by a factor for the load they gossip. Costs are imprecise, and if all coordinators chose the
cheapest node by a small margin, they would overload it. So

- nodes that cost at most `NEAR` times as much as the cheapest are equal, and take turns;
- load, which is seconds old, has less weight than latency: `LOAD_WEIGHT`. A node must have several times the load of
  another one to be avoided for its load alone, so that the loads do not oscillate;
- a small share of reads (`EXPLORED`) asks a node that costs more, because otherwise a decrease of its latency would
  never be measured. `hedging` keeps such reads fast.

A node that was never asked is assumed to be as fast as the fastest.

Costs are computed at most every few milliseconds; all reads in that time use the same order.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from crdtkv.node.kernel.kernel import Kernel
from crdtkv.node.membership.member import Load
from crdtkv.node.quorum_calls.latencies import Latencies

NEAR = 1.3
EXPLORED = 0.03
#: The additional cost of the most loaded node, as a factor; and the loads that count as idle.
LOAD_WEIGHT = 1.0
IDLE_OPERATIONS_PER_S = 1_000
IDLE_QUEUE = 64
#: The intervals for reading latencies and gossiped loads.
COSTS_EVERY_S = 0.005
LOADS_EVERY_S = 0.5


class _Ranking(NamedTuple):
    """Nodes by cost: this one, the cheap in the order of the ring, the others with the most expensive last."""

    own: list[str]
    cheap: list[str]
    dear: list[str]


class ReplicaSelector:
    """The order in which one node asks others; `load_of` returns the gossiped load of a node."""

    def __init__(self, kernel: Kernel, random: Random, load_of: Callable[[str], Load]) -> None:
        self._cluster = kernel.cluster
        self._step = kernel.step
        self._random = random
        self._load_of = load_of
        self.latencies = Latencies()
        self._rankings: dict[tuple[str, ...], _Ranking] = {}
        self._rank_again_at = 0.0
        self._weights: dict[str, float] = {}
        self._weigh_again_at = 0.0
        self._turn = 0
        self._until_explored = 0
        self._plan_exploration()

    def ordered(self, nodes: Sequence[str], needed: int) -> list[str]:
        """Return these nodes in the order of asking; `needed` is how many are asked at first."""
        if self._step.now.monotonic_s >= self._rank_again_at:
            self._rankings = {}
            self._rank_again_at = self._step.now.monotonic_s + COSTS_EVERY_S
        key = tuple(nodes)
        ranking = self._rankings.get(key)
        if ranking is None:
            ranking = self._rankings[key] = self._ranked(key)
        own, cheap, dear = ranking
        if len(cheap) > 1:
            turn = self._turn % len(cheap)
            self._turn += 1
            cheap = cheap[turn:] + cheap[:turn]
        if not dear:
            return own + cheap
        if len(own) < needed < len(nodes):
            self._until_explored -= 1
            if self._until_explored < 0:
                self._plan_exploration()
                self._step.stats.count("explored_reads")
                explored = self._random.randrange(len(dear))
                return [*own, dear[explored], *cheap, *dear[:explored], *dear[explored + 1 :]]
        return own + cheap + dear

    def snapshot(self) -> dict[str, dict[str, float]]:
        """Return the usual latency and the 99th percentile of every node that was asked, for `status`."""
        snapshot: dict[str, dict[str, float]] = {}
        for node in sorted(self._cluster.ring.topology.nodes, key=lambda node: node.name):
            usual_s, p99_s = self.latencies.usual_s(node.name), self.latencies.p99_s(node.name)
            if usual_s is not None:
                snapshot[node.name] = {"usual_ms": round(usual_s * 1e3, 3)}
                if p99_s is not None:
                    snapshot[node.name]["p99_ms"] = round(p99_s * 1e3, 3)
        return snapshot

    def _ranked(self, nodes: tuple[str, ...]) -> _Ranking:
        me = self._cluster.node
        own, others = [name for name in nodes if name == me], [name for name in nodes if name != me]
        if len(others) < 2:
            return _Ranking(own, others, [])
        if self._step.now.monotonic_s >= self._weigh_again_at:
            self._weigh()
        usual = [self.latencies.usual_s(name) for name in others]
        fastest = min((seconds for seconds in usual if seconds is not None), default=1.0)
        costs = {
            name: (fastest if seconds is None else seconds) * self._weights.get(name, 1.0)
            for name, seconds in zip(others, usual, strict=True)
        }
        most = NEAR * min(costs.values())
        cheap = [name for name in others if costs[name] <= most]
        return _Ranking(own, cheap, sorted((name for name in others if costs[name] > most), key=costs.__getitem__))

    def _weigh(self) -> None:
        """Compute the weights of all nodes from their loads, and drop the latencies of other nodes."""
        step = self._step
        self._weigh_again_at = step.now.monotonic_s + LOADS_EVERY_S
        loads = {
            node.name: self._load_of(node.name)
            for node in self._cluster.ring.topology.nodes
            if node.name != self._cluster.node
        }
        busiest = IDLE_OPERATIONS_PER_S + max((load.operations_per_s for load in loads.values()), default=0)
        deepest = IDLE_QUEUE + max((load.queue_depth for load in loads.values()), default=0)
        self._weights = {
            name: 1 + LOAD_WEIGHT * (load.operations_per_s / busiest + load.queue_depth / deepest) / 2
            for name, load in loads.items()
        }
        self.latencies.keep(loads)

    def _plan_exploration(self) -> None:
        """Draw the number of reads until the next one that explores."""
        self._until_explored = int(self._random.expovariate(EXPLORED))
