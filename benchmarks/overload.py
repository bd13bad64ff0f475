"""Goodput of durable puts when there are more requests than the cluster can handle.

A cluster of one data center with three nodes runs on this machine, beside the clients. For each number of workers, all
client processes together have this many puts in flight for some seconds. Prints: puts that succeeded per second, their
latency (from the call to its answer, including the wait in the client), and the results of the others.

Run: python benchmarks/overload.py [--workers 256,2000,12000] [--processes 2] [--seconds 5] [--timeout 5]
"""

import argparse
import asyncio
import collections
import json
import sys
import tempfile
import time
from pathlib import Path

import crdtkv
from crdtkv.config.loader import load
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports

CONFIG = Path(__file__).parent.parent / "datacenters.yaml"
PAUSE_S = 3.0


async def client(config: str, workers: int, seconds: float, timeout_s: float) -> None:
    """Run as a client process: print the results of its calls, as JSON."""
    ended: collections.Counter[str] = collections.Counter()
    latencies: list[float] = []
    async with crdtkv.connect(config, datacenter="eu", timeout=timeout_s) as kv:
        until = time.monotonic() + seconds

        async def work(number: int) -> None:
            turn = 0
            while time.monotonic() < until:
                turn += 1
                began = time.monotonic()
                try:
                    await kv.put(f"{number}-{turn}", b"x" * 100)
                except crdtkv.CrdtkvError as error:
                    ended[type(error).__name__] += 1
                else:
                    ended["ok"] += 1
                    latencies.append(time.monotonic() - began)

        began = time.monotonic()
        await asyncio.gather(*map(work, range(workers)))
        took_s = time.monotonic() - began
    print(json.dumps({"ended": ended, "latencies": latencies, "took_s": took_s}))


async def measure(config: Path, workers: int, arguments: argparse.Namespace) -> None:
    """Run the clients, and print a line."""
    share = workers // arguments.processes
    command = [sys.executable, __file__, "--client", str(config), str(share)]
    command += [str(arguments.seconds), str(arguments.timeout)]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        for _ in range(arguments.processes)
    ]
    told = [json.loads((await process.communicate())[0]) for process in processes]
    ended: collections.Counter[str] = sum((collections.Counter(one["ended"]) for one in told), collections.Counter())
    latencies = sorted(latency for one in told for latency in one["latencies"]) or [0.0]
    took_s = max(one["took_s"] for one in told)
    p50, p99 = (latencies[min(len(latencies) - 1, len(latencies) * part // 100)] for part in (50, 99))
    others = {name: count for name, count in ended.items() if name != "ok"} or "none"
    print(f"{workers:>7}  {ended['ok'] / took_s:>8,.0f}  {p50 * 1e3:>8,.0f}  {p99 * 1e3:>8,.0f}  {others}", flush=True)
    await asyncio.sleep(PAUSE_S)


async def run(arguments: argparse.Namespace, directory: Path) -> None:
    """Start the cluster, and measure each number of workers on it."""
    whole = load(CONFIG)
    config = on_free_ports(whole.model_copy(update={"datacenters": {"eu": whole.datacenters["eu"]}}))
    async with LocalCluster(config, directory):
        print("workers    puts/s    p50 ms    p99 ms  errors")
        for workers in map(int, arguments.workers.split(",")):
            await measure(directory / "datacenters.yaml", workers, arguments)


def main() -> None:
    """Parse the arguments; a client process has other ones."""
    if sys.argv[1:2] == ["--client"]:
        config, workers, seconds, timeout_s = sys.argv[2:]
        asyncio.run(client(config, int(workers), float(seconds), float(timeout_s)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="256,2000,12000")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--timeout", type=float, default=5.0)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(parser.parse_args(), Path(directory)))


if __name__ == "__main__":
    main()
