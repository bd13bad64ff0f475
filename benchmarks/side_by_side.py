"""crdtkv beside the stores that people would use instead, on this machine, in one run, with one load generator.

Systems: crdtkv with one data center and with a second one on the same machine, Redis (`appendfsync always`, `WAIT 1`)
with a plain and a batching client, etcd, NATS KV and Cassandra. Each has three replicas and fsyncs before it
acknowledges. A system that is not installed is skipped, with the reason. One asyncio process asks them, with the load
generator of `crdtkv bench`; servers and client share the machine, which limits all of them: compare the ratios.

The systems take turns, several rounds. Printed: medians over the rounds, with ratios to crdtkv in the same round, and
CPU time per operation of the client and of all server processes (from /proc). `other cores` is what else the machine
did. With --workload the core workloads of YCSB take the place of puts and gets.

Needs: redis-server, etcd; the Python packages redis hiredis grpcio protobuf; for Cassandra a Java runtime, its jars
and cassandra-driver. Programs are looked for beside this Python and on the PATH, or are where the options say.

Run: python benchmarks/side_by_side.py [--systems crdtkv,redis] [--workload a,b] [--workers 1,64,256] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from peers.cassandra import Cassandra
from peers.crdtkv_cluster import Crdtkv, CrdtkvWithPeer
from peers.etcd import Etcd
from peers.nats_kv import NatsKv
from peers.redis import BatchedRedis, Redis
from peers.rounds import Extent, Result, lacking, measure
from peers.system import AbsentError, System
from peers.table import Row, summarized, table

from crdtkv.cli.cluster import run_loop
from crdtkv.cli.workloads import YCSB, Workload, only


def systems_of(arguments: argparse.Namespace) -> dict[str, System]:
    """Return all systems by the names of the option."""
    return {
        "crdtkv": Crdtkv(),
        "crdtkv-2dc": CrdtkvWithPeer(),
        "redis": Redis(arguments.redis_server),
        "redis-batched": BatchedRedis(arguments.redis_server),
        "etcd": Etcd(arguments.etcd),
        "nats": NatsKv(arguments.nats_server),
        "cassandra": Cassandra(arguments.cassandra_jars, arguments.java),
    }


def present(systems: list[System], workloads: list[Workload]) -> tuple[list[System], dict[str, str]]:
    """Return the systems that are here, and why others, or some workloads of them, are skipped."""
    here: list[System] = []
    skipped: dict[str, str] = {}
    for system in systems:
        try:
            system.require()
        except AbsentError as error:
            skipped[system.name] = str(error)
            continue
        here.append(system)
        for workload in workloads:
            if (reason := lacking(system, workload)) is not None:
                skipped[f"{system.name}, workload {workload.name}"] = reason
    return here, skipped


async def run(systems: list[System], extent: Extent) -> list[Result]:
    """Measure; a stop signal ends all servers, then this."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return [result async for result in measure(systems, extent, tell)]


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def document(arguments: argparse.Namespace, skipped: dict[str, str], results: list[Result], rows: list[Row]) -> Any:
    """Return everything as plain data."""
    return {
        "arguments": {name: str(value) for name, value in vars(arguments).items() if value is not None},
        "cores": os.cpu_count(),
        "skipped": skipped,
        "medians": [row.as_dict() for row in rows],
        "rounds": [
            {"round": one.round, **Row(one.system, one.cell, one.figures, 0, 0, 0, 1).as_dict()} for one in results
        ],
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    nothing = argparse.Namespace(redis_server=None, etcd=None, nats_server=None, cassandra_jars=None, java=None)
    parser.add_argument("--systems", default=",".join(systems_of(nothing)), help="which, with commas; default all")
    parser.add_argument("--op", default="put,get", help="put, get, or both with a comma")
    parser.add_argument("--workload", help="core workloads of YCSB instead: a to f, with commas")
    parser.add_argument("--workers", default="1,64,256")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to this file")
    parser.add_argument("--redis-server", metavar="PROGRAM", default=os.environ.get("REDIS_SERVER"))
    parser.add_argument("--etcd", metavar="PROGRAM", default=os.environ.get("ETCD"))
    parser.add_argument("--nats-server", metavar="PROGRAM", default=os.environ.get("NATS_SERVER"))
    parser.add_argument("--cassandra-jars", metavar="DIRECTORY", default=os.environ.get("CASSANDRA_JARS"))
    parser.add_argument("--java", metavar="PROGRAM", default=os.environ.get("JAVA"))
    arguments = parser.parse_args()
    for option, allowed in (("systems", systems_of(nothing)), ("op", ("put", "get")), ("workload", YCSB)):
        unknown = set((getattr(arguments, option) or "").split(",")) - set(allowed) - {""}
        if unknown:
            parser.error(f"--{option} takes {', '.join(allowed)}, not {', '.join(sorted(unknown))}")
    return arguments


def main() -> None:
    arguments = parsed()
    names = arguments.workload
    workloads = [YCSB[name] for name in names.split(",")] if names else [only(kind) for kind in arguments.op.split(",")]
    chosen = systems_of(arguments)
    systems, skipped = present([chosen[name] for name in arguments.systems.split(",")], workloads)
    for what, reason in skipped.items():
        tell(f"skipped: {what}: {reason}")
    workers = [int(number) for number in arguments.workers.split(",")]
    extent = Extent(workloads, workers, arguments.rounds, arguments.seconds, arguments.records, arguments.value_bytes)
    try:
        results = run_loop(run(systems, extent))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped; all servers have ended")
    rows = summarized(results)
    print(table(rows))
    print("\n".join(["", *(f"skipped: {what}: {reason}" for what, reason in skipped.items())]))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(document(arguments, skipped, results, rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
