"""The cost of finding and repairing differences: bytes, messages, exchanges, CPU, time.

The replicas of one data center hold the same `--keys` entries; after a start they build their Merkle trees from the
disk. Then one replica misses the last write of 10, 1,000 and 100,000 of them (half of them it lacks, half it has in an
older version), and anti-entropy runs until all are equal again. All replicas are in this process and exchange encoded
frames (`mending/replicas.py`); every commit is fsynced.

Columns: *to it*, *from it*: bytes of frames to and from that replica. *entries*: the part of them that
`repair.max_mib_per_s` bounds; *limit implies*: how long these take at that rate. *CPU*: of all nodes together. *work*:
wall time of all steps, one after the other; *busiest*: of the busiest node alone. *elapsed*: work and every pause
between exchanges. *longest step*: mostly a full garbage collection, of the objects of all nodes; a node alone has one
third of them.

Run: python benchmarks/anti_entropy.py [--keys 1000000] [--differences 10,1000,100000] [--nodes 3] [--memory]
"""

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path
from random import Random

from mending.replicas import Replicas
from mending.rows import differing, fill, lose

from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.storage.memory import MemoryStore
from crdtkv.storage.rocks import RocksStore
from crdtkv.storage.store import Store

CONFIG = Path(__file__).parent.parent / "datacenters.yaml"
MIB = 1024 * 1024
LONGEST_S = 1200.0
COLUMNS = (
    "differences",
    "exchanges",
    "messages",
    "to it",
    "from it",
    "entries",
    "limit implies",
    "CPU",
    "work",
    "busiest",
    "elapsed",
    "longest step",
)


def configuration(nodes: int, max_mib_per_s: float | None) -> ClusterConfig:
    """Return one data center of the example, with this many nodes."""
    fields = load(CONFIG).model_dump(mode="json")
    fields["datacenters"] = {"eu": fields["datacenters"]["eu"]}
    fields["datacenters"]["eu"]["nodes"] = fields["datacenters"]["eu"]["nodes"][:nodes]
    if max_mib_per_s is not None:
        fields["repair"]["max_mib_per_s"] = max_mib_per_s
    return ClusterConfig.model_validate(fields)


def build(replicas: Replicas) -> None:
    """Let all nodes build their trees, and print the cost."""
    began_s = replicas.elapsed_s
    replicas.run_until(lambda: all(core.parts.anti_entropy.is_built for core in replicas.cores.values()), LONGEST_S)
    print(
        f"building the trees: {replicas.cpu_s / len(replicas.cores):.1f} s of CPU a node, "
        f"{replicas.elapsed_s - began_s:.1f} s until all nodes have built theirs, pauses included, "
        f"longest step {replicas.longest_step_s * 1000:.0f} ms"
    )


def mend(replicas: Replicas, lacking: str, numbers: list[int], limit_mib_per_s: float) -> str:
    """Let the replicas become equal again; return a row of the table."""
    replicas.forget_measured()
    began_s, exchanges = replicas.elapsed_s, replicas.exchanges
    wanted_exchanges = exchanges + (0 if numbers else len(replicas.cores))
    replicas.run_until(lambda: replicas.exchanges >= wanted_exchanges and replicas.are_equal, LONGEST_S)
    elapsed_s = replicas.elapsed_s - began_s
    left = list(differing(replicas.stores.values(), numbers))
    assert not left, f"{len(left)} keys differ under equal roots"
    traffic = replicas.traffic
    to_it = sum(size for (_, receiver), size in traffic.bytes_sent.items() if receiver == lacking)
    from_it = sum(size for (sender, _), size in traffic.bytes_sent.items() if sender == lacking)
    cells = [
        f"{len(numbers):,}",
        f"{replicas.exchanges - exchanges:,}",
        f"{traffic.messages.total():,}",
        f"{to_it / 1000:,.0f} kB",
        f"{from_it / 1000:,.0f} kB",
        f"{traffic.entry_bytes / 1000:,.0f} kB",
        f"{traffic.entry_bytes / MIB / limit_mib_per_s:.2f} s",
        f"{replicas.cpu_s:.2f} s",
        f"{sum(replicas.busy_s.values()):.2f} s",
        f"{max(replicas.busy_s.values()):.2f} s",
        f"{elapsed_s:.1f} s",
        f"{replicas.longest_step_s * 1000:.0f} ms",
    ]
    return f"| {' | '.join(cells)} |"


def run(arguments: argparse.Namespace, directory: Path) -> None:
    config = configuration(arguments.nodes, arguments.max_mib_per_s)
    names = [node.name for node in config.datacenters["eu"].nodes]
    stores: dict[str, Store] = {n: MemoryStore() if arguments.memory else RocksStore(directory / n) for n in names}
    began = time.perf_counter()
    entry_bytes = fill(stores.values(), arguments.keys, arguments.value_bytes)
    print(f"{arguments.keys:,} keys of {entry_bytes} bytes on {len(names)} nodes: {time.perf_counter() - began:.1f} s")
    replicas = Replicas(config, "eu", stores)
    build(replicas)
    lacking = names[-1]
    # No key twice: a repaired entry is in the node's cache of entries, from which this script removes nothing.
    shuffled = iter(Random(2).sample(range(arguments.keys), arguments.keys))
    print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for count in (int(part) for part in arguments.differences.split(",")):
        numbers = list(islice(shuffled, count))
        lose(replicas.cores[lacking], stores[lacking], numbers, arguments.value_bytes)
        print(mend(replicas, lacking, numbers, config.repair.max_mib_per_s), flush=True)
        if arguments.messages:
            print(f"  {dict(replicas.traffic.messages.most_common())}")
    corrected = sum(
        core.parts.kernel.step.stats.counters.get("merkle_trees_corrected", 0) for core in replicas.cores.values()
    )
    assert not corrected, f"{corrected} trees were not those of the disk"
    for store in stores.values():
        store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--differences", default="0,10,1000,100000")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--nodes", type=int, choices=(2, 3), default=3)
    parser.add_argument("--max-mib-per-s", type=float, default=None, help="instead of the configured rate limit")
    parser.add_argument("--memory", action="store_true", help="stores in memory instead of RocksDB")
    parser.add_argument("--messages", action="store_true", help="also print how many messages of which kind")
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        run(arguments, Path(directory))


if __name__ == "__main__":
    main()
