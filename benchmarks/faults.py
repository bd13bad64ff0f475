"""The effect on users of one data center when one of its three nodes fails, on real processes.

Every run starts a cluster on free ports, puts a steady load on it through the client, and strikes one node, each in
turn: `kill` (SIGKILL, started again after 5 s), `pause` (SIGSTOP for 10 s), `wipe` (SIGKILL, its directory deleted,
started again after 5 s). It measures: how soon the other nodes report it as down and send it no more requests;
operations that succeed, by the second; errors, by class; how long after the fault all three replicas hold the same
bytes of every key; and whether any acknowledged write is missing from them. `crdtkv.checking` checks every history.

Prints a line per run, and a table; two figures in a cell are median and maximum. Nodes, nats-server and client share
the machine. Stale quorum reads (I10) are counted under violations; lost writes must never occur.

Run: python benchmarks/faults.py kill pause wipe [--runs 20] [--json FILE] [--datacenters 2] [--keep DIR]
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from striking.run import Run, Setting, run
from striking.strikes import STRIKES
from striking.table import line, table

from crdtkv import CrdtkvError
from crdtkv.checking.history import Operation
from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.local.ports import on_free_ports

CONFIG = Path(__file__).parent.parent / "datacenters.yaml"


def configuration(datacenters: int) -> ClusterConfig:
    """Return the first data centers of the example, on free ports."""
    whole = load(CONFIG)
    kept = dict(list(whole.datacenters.items())[:datacenters])
    return on_free_ports(whole.model_copy(update={"datacenters": kept}))


def keep(history: list[Operation], directory: Path, name: str) -> None:
    """Write a history to a file, for `python -m crdtkv.checking`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.jsonl").write_text("".join(f"{operation.to_json()}\n" for operation in history))


def measure(fault: str, number: int, arguments: argparse.Namespace) -> Run | None:
    """Carry out one run, and print its result; return None if it failed."""
    setting = Setting(arguments.workers, arguments.pause_ms / 1000, arguments.timeout)
    with tempfile.TemporaryDirectory(prefix="crdtkv-faults-") as directory:
        try:
            measured, history = asyncio.run(
                run(fault, number, configuration(arguments.datacenters), Path(directory), setting)
            )
        except (CrdtkvError, TimeoutError) as error:
            print(f"{fault} {number} failed: {type(error).__name__}: {error}", flush=True)
            note(arguments.json, {"fault": fault, "number": number, "failed": f"{type(error).__name__}: {error}"})
            return None
    print(line(measured), flush=True)
    for example in measured.examples:
        print(f"  {example}")
    note(arguments.json, measured.to_json())
    if arguments.keep is not None and measured.examples:
        keep(history, arguments.keep, f"{fault}-{number}")
    return measured


def note(file: Path | None, document: dict[str, object]) -> None:
    """Append a line to a file, if there is one."""
    if file is not None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(document) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="+", choices=sorted(STRIKES))
    parser.add_argument("--runs", type=int, default=3, help="of each fault")
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--pause-ms", type=float, default=30.0, help="between two requests of a worker, on average")
    parser.add_argument("--timeout", type=float, default=5.0, help="of every request, in seconds")
    parser.add_argument("--datacenters", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", type=Path, default=None, help="append a line a run to this file")
    parser.add_argument("--keep", type=Path, default=None, help="keep histories that break a promise here")
    arguments = parser.parse_args()
    runs = [measure(fault, number, arguments) for number in range(arguments.runs) for fault in arguments.faults]
    done = [run for run in runs if run is not None]
    if done:
        print(f"\n{table(done)}")
    if len(done) < len(runs):
        print(f"\n{len(runs) - len(done)} of {len(runs)} runs failed")


if __name__ == "__main__":
    main()
