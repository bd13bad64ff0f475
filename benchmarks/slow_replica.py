"""The latency of reads at LOCAL_QUORUM while one of three replicas answers late, in the simulator's virtual time.

Clients ask two nodes; the third is the slow one. Links take 0.05 to 0.5 ms each way. The third node is `fast` (as the
others), `slow` (each answer takes 5 to 50 ms, from the beginning), or it `stutters` (the same for 20 ms in every
second). Each case is measured with and without replica selection (without: the order of the ring) and hedging by the
99th percentile (without: after 50 ms). Nothing costs CPU in virtual time, so nothing queues: this measures decisions
only.

Prints a table: the latency of reads in milliseconds, and the number of additional replicas that were asked.

Run: python benchmarks/slow_replica.py [--seconds 20] [--reads-per-s 500] [--seed 1]
"""

import argparse
from random import Random

from crdtkv.node.quorum_calls.hedging import LONGEST_S
from crdtkv.sim.actors.client_host import LINKED_WITHIN_S
from crdtkv.sim.cluster import SimCluster
from crdtkv.sim.plan.plan import Plan
from crdtkv.sim.plan.shape import Shape, Weather
from crdtkv.sim.plan.workload import Call

ASKED, SLOW = ("eu-1", "eu-2"), "eu-3"
SLOWER = 100.0
KEYS = 1000


def ready(seed: int, seconds: float) -> SimCluster:
    """Return a cluster whose nodes have all come up, and whose clients are linked to two of them."""
    shape = Shape(datacenters=1, nodes=3, partitions=64, clients=1, gossip_interval_s=0.5, read_share=0.0)
    cluster = SimCluster(Plan(seed, seconds, shape, Weather(delay_max_s=0.0005), (), ()))
    while any(
        node.core is None or node.core.parts.enrollment.state != "member" for node in cluster.world.nodes.values()
    ):
        cluster.world.scheduler.run_until(cluster.world.scheduler.now + 0.1)
    for client in cluster.clients:
        for host in client.hosts.values():
            host.given = ASKED
    cluster.world.connect_clients()
    cluster.world.scheduler.run_until(cluster.world.scheduler.now + LINKED_WITHIN_S)
    return cluster


def without(cluster: SimCluster, has_preference: bool, has_hedging: bool) -> None:
    """Switch off the features that are not measured."""
    for name, node in cluster.world.nodes.items():
        assert node.core is not None
        if not has_preference:
            node.core.parts.selector.ordered = (  # type: ignore[method-assign]
                lambda nodes, _, name=name: sorted(nodes, key=lambda one: one != name)
            )
        if not has_hedging:
            node.core.parts.quorum_calls._hedging.wait_s = lambda _, __: LONGEST_S  # type: ignore[method-assign]


def slow_down(cluster: SimCluster, how: str, began_s: float, seconds: float) -> None:
    """Delay the third node's answers, all the time or periodically."""
    scheduler = cluster.world.scheduler

    def turn(factor: float) -> None:
        for name in ASKED:
            cluster.world.network.slow_down(SLOW, name, factor)

    if how == "slow":
        turn(SLOWER)
    for second in range(int(seconds)) if how == "stutters" else ():
        scheduler.after(began_s + second - scheduler.now, lambda: turn(SLOWER))
        scheduler.after(began_s + second + 0.02 - scheduler.now, lambda: turn(1.0))


def run(how: str, has_preference: bool, has_hedging: bool, arguments: argparse.Namespace) -> str:
    """Return a row of the table."""
    cluster = ready(arguments.seed, arguments.seconds)
    without(cluster, has_preference, has_hedging)
    slow_down(cluster, how, cluster.world.scheduler.now, arguments.seconds)
    random, client = Random(arguments.seed), cluster.clients[0]
    until_s = cluster.world.scheduler.now + arguments.seconds
    while cluster.world.scheduler.now < until_s:
        key = f"k{random.randrange(KEYS)}"
        client.call(Call(0.0, 0, "eu", "get", "register", key, None, "LOCAL_QUORUM", False))
        cluster.world.scheduler.run_until(cluster.world.scheduler.now + random.expovariate(arguments.reads_per_s))
    cluster.world.scheduler.run_until(until_s + 3)
    history = [operation for operation in client.history if operation.outcome == "ok"]
    took_ms = sorted((operation.ended - operation.began) * 1e3 for operation in history)
    hedged = sum(
        node.core.parts.kernel.step.stats.counters.get("hedged_reads", 0)
        for node in cluster.world.nodes.values()
        if node.core
    )
    parts = [how, "yes" if has_preference else "no", "yes" if has_hedging else "no"]
    parts += [f"{took_ms[int(len(took_ms) * share)]:.2f}" for share in (0.5, 0.99, 0.999)]
    parts.append(f"{100 * hedged / len(took_ms):.1f}")
    assert len(history) == len(client.history)
    return f"| {' | '.join(parts)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--reads-per-s", type=float, default=500.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print("| third replica | preference | hedging | p50 ms | p99 ms | p99.9 ms | hedges per 100 reads |")
    print("|---|---|---|---|---|---|---|")
    for how in ("fast", "slow", "stutters"):
        for has_preference, has_hedging in ((False, False), (True, False), (False, True), (True, True)):
            print(run(how, has_preference, has_hedging, arguments), flush=True)


if __name__ == "__main__":
    main()
