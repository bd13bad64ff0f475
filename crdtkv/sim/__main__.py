"""`python -m crdtkv.sim SEED`: live one simulated life and say how it ended."""

import argparse
import sys

from crdtkv.sim.cluster import InvariantViolated, SimCluster


def main() -> int:
    """Run one seed or a range; exit 1 and name the seed when an invariant is violated."""
    parser = argparse.ArgumentParser(prog="python -m crdtkv.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="run N seeds, beginning with SEED")
    parser.add_argument("--trace", action="store_true", help="print every message")
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        cluster = SimCluster(seed)
        if arguments.trace:
            cluster.trace_to = print
        try:
            cluster.run()
        except InvariantViolated as error:
            print(f"seed {seed}: {error}\n  {cluster.faults}\n  replay: python -m crdtkv.sim {seed} --trace")
            return 1
        outcomes = [operation.outcome for operation in cluster.history]
        counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("ok", "fail", "info"))
        print(f"seed {seed}: {counts}; {cluster.steps} messages; trace {cluster.digest[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
