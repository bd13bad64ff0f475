"""A flame graph of one node under load, as SVG: where it spends its time while clients put or get.

Starts a data center of three nodes on free ports, lets `crdtkv bench` load it, and samples the first node with py-spy
(`pip install py-spy`), which needs the right to read another process (root, or `kernel.yama.ptrace_scope=0`). Counted
is time in which a thread runs Python, not time in which it waits for the disk or for messages. Every node coordinates a
third of the operations and is a replica of all, so one graph shows both.

Run: python benchmarks/flame_graph.py put.svg [--op put] [--workers 64] [--seconds 10] [--py-spy py-spy]
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path

from one_datacenter import bench_command, config_of

from crdtkv.local.cluster import LocalCluster


async def run(arguments: argparse.Namespace, directory: Path) -> int:
    config = config_of(1, 3)
    async with LocalCluster(config, directory) as cluster:
        load = bench_command(directory, arguments.op, arguments.workers, arguments.seconds + 3)
        node = next(iter(cluster.nodes.values()))
        record = [arguments.py_spy, *f"record --gil --function --rate 500 --pid {node.pid}".split()]
        record += ["--duration", str(arguments.seconds), "--output", str(arguments.svg)]
        bench = await asyncio.create_subprocess_exec(*load)
        await asyncio.sleep(2)  # for the start of the client
        recorder = await asyncio.create_subprocess_exec(*record)
        failed = await recorder.wait() or await bench.wait()
    if not failed:
        title = f"crdtkv: one of three nodes under {arguments.workers} workers that {arguments.op}"
        svg = re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\1{title}", arguments.svg.read_text())
        arguments.svg.write_text(svg)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("svg", type=Path)
    parser.add_argument("--op", default="put")
    parser.add_argument("--workers", default="64")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--py-spy", default="py-spy")
    arguments = parser.parse_args()
    if shutil.which(arguments.py_spy) is None:
        parser.error(f"there is no {arguments.py_spy}: pip install py-spy, or name it with --py-spy")
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(asyncio.run(run(arguments, Path(directory))))


if __name__ == "__main__":
    main()
