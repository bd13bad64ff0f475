"""What an add to a set, a field of a map and a score on a board cost when the value is large.

Two parts. In one process, three `NodeCore`s hand each other frames (as in `core_path`): CPU of all nodes together and
bytes sent between nodes for one operation, and the bytes of the stored entry. Then on real processes: how long a client
waits for one at `LOCAL_QUORUM`, median and slowest of `--operations`.

Run: python benchmarks/large_values.py [--sizes 10 1000 10000] [--operations 50]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from core_path import CONFIG, Nodes

import crdtkv
from crdtkv import cbor
from crdtkv.config.loader import load
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from crdtkv.node.effects import Sends
from crdtkv.ring.token import located
from crdtkv.wire.messages import MutateRequest

FILL_AT_ONCE = 100
Arguments = Callable[[int], tuple[str, list[object]]]
KINDS: dict[str, Arguments] = {
    "set": lambda number: ("add", [cbor.encode_value(f"element-{number}")]),
    "map": lambda number: ("update", [["register", b"field-%d" % number], "put", cbor.encode_value(number)]),
    "board": lambda number: ("set", [cbor.encode_value(f"member-{number}"), number]),
}


class Counted(Nodes):
    """Three nodes, and the bytes they send each other."""

    sent_bytes = 0

    def _frames(self, name: str, sends: Sends) -> list[tuple[str, str | int, bytes]]:
        frames = super()._frames(name, sends)
        self.sent_bytes += sum(len(payload) for _, _, payload in frames)
        return frames


def in_process(kind: str, size: int, operations: int) -> str:
    """Return a row: entry bytes, CPU per operation, bytes between nodes per operation."""
    with tempfile.TemporaryDirectory() as directory:
        nodes = Counted(Path(directory))
        identity = identity_of("default", kind, "large")
        first = nodes.cores["eu-1"].step.ring.preference_list(located(identity))[0]

        def operate(number: int, level: str) -> None:
            operation, arguments = KINDS[kind](number)
            nodes.run(first, [MutateRequest(number, identity, operation, arguments, None, 0, level, 60_000)])

        for number in range(size):
            operate(number, "ONE")
        nodes.sent_bytes = 0
        began = time.process_time()
        for number in range(size, size + operations):
            operate(number, "LOCAL_QUORUM")
        cpu_ms = (time.process_time() - began) / operations * 1e3
        entry = nodes.cores[first].replica.read(located(identity))[0]
        assert entry is not None
        return f"{len(entry):,} | {cpu_ms:.2f} ms | {nodes.sent_bytes / operations:,.0f}"


async def on_processes(sizes: list[int], operations: int) -> dict[tuple[str, int], str]:
    """Return rows: median and slowest latency."""
    whole = load(CONFIG)
    config = on_free_ports(whole.model_copy(update={"datacenters": {"eu": whole.datacenters["eu"]}}))
    rows: dict[tuple[str, int], str] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with LocalCluster(config, Path(directory)) as cluster, crdtkv.connect(cluster.config) as kv:
            for kind in KINDS:
                for size in sizes:
                    write = writer(kv, kind, f"{kind}-{size}")
                    if kind == "set":
                        for start in range(0, size, FILL_AT_ONCE):
                            members = [f"element-{n}" for n in range(start, min(size, start + FILL_AT_ONCE))]
                            await kv.set(f"{kind}-{size}").add(*members)
                    else:
                        for number in range(size):
                            await write(number)
                    waited = []
                    for number in range(size, size + operations):
                        began = time.perf_counter()
                        await write(number)
                        waited.append((time.perf_counter() - began) * 1e3)
                    rows[kind, size] = f"{statistics.median(waited):.1f} / {max(waited):.1f} ms"
    return rows


def writer(kv: crdtkv.Client, kind: str, key: str) -> Callable[[int], Awaitable[None]]:
    """Return what writes the n-th element."""
    match kind:
        case "set":
            return lambda number: kv.set(key).add(f"element-{number}")
        case "map":
            return lambda number: kv.map(key).register(f"field-{number}").put(number)
    return lambda number: kv.board(key).set(f"member-{number}", number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 1000, 10_000])
    parser.add_argument("--operations", type=int, default=50)
    options = parser.parse_args()
    latencies = asyncio.run(on_processes(options.sizes, options.operations))
    print("| value | elements | entry, bytes | CPU an operation | bytes between nodes | latency, median / slowest |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        for size in options.sizes:
            measured = in_process(kind, size, options.operations)
            print(f"| {kind} | {size:,} | {measured} | {latencies[kind, size]} |", flush=True)


if __name__ == "__main__":
    main()
