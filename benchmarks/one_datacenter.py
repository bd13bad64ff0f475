"""`crdtkv bench` on a fresh cluster of one data center with three nodes, on free ports.

All nodes, their nats-server and the client share the machine. Prints the table of `crdtkv bench`; `--json` prints its
JSON. With `--datacenters 2` the second data center of the example runs and applies everything as well. `--nodes` is the
number of nodes in each data center; every key has three replicas.

Run: python benchmarks/one_datacenter.py [--seconds 5] [--workers 1,64,256] [--op put,get] [--value-bytes 100] [--json]
                                         [--datacenters 1] [--nodes 3]
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports

CONFIG = Path(__file__).parent.parent / "datacenters.yaml"


def config_of(datacenters: int, nodes: int) -> ClusterConfig:
    """Return the example with so many data centers, and so many nodes in each."""
    whole = load(CONFIG)
    kept = {}
    for name, datacenter in list(whole.datacenters.items())[:datacenters]:
        first = datacenter.nodes[0]
        named = [
            first.model_copy(update={"name": f"{name}-{number}", "zone": "default"}) for number in range(1, nodes + 1)
        ]
        kept[name] = datacenter.model_copy(
            update={"nodes": named if nodes != len(datacenter.nodes) else datacenter.nodes}
        )
    return on_free_ports(whole.model_copy(update={"datacenters": kept}))


def bench_command(directory: Path, op: str, workers: str, seconds: float) -> list[str]:
    """Return the command that loads the cluster in a directory."""
    command = [sys.executable, "-m", "crdtkv.cli", "bench", "--config", str(directory / "datacenters.yaml")]
    return [*command, "--op", op, "--workers", workers, "--seconds", str(seconds)]


async def run(arguments: argparse.Namespace, directory: Path) -> int:
    config = config_of(arguments.datacenters, arguments.nodes)
    async with LocalCluster(config, directory):
        command = bench_command(directory, arguments.op, arguments.workers, arguments.seconds)
        command += ["--value-bytes", str(arguments.value_bytes), *(["--json"] if arguments.json else [])]
        command += ["--level", arguments.level] if arguments.level else []
        return await asyncio.to_thread(subprocess.call, command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", default="1,64,256")
    parser.add_argument("--op", default="put,get")
    parser.add_argument("--level", default="", help="default: LOCAL_QUORUM for put, ONE for get")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--datacenters", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(asyncio.run(run(arguments, Path(directory))))


if __name__ == "__main__":
    main()
