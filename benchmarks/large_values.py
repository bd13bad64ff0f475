"""The cost of an add to a set, a field of a map and a score on a board when the value is large.

Two parts. In one process, three `NodeCore`s exchange frames (as in `core_path`): CPU of all nodes together and bytes
sent between nodes for one operation, and the bytes of the stored entry. Then on real processes: how long a client waits
for one at `LOCAL_QUORUM`, median and slowest of `--operations`; and with `--writers` writers at once on the one value,
half of their writes new elements and half of them existing elements: writes a second, how long they wait, and how many
fail.

Run: python benchmarks/large_values.py [--sizes 10 1000 10000] [--operations 50] [--writers 32] [--seconds 10]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from core_path import CONFIG, Nodes

import crdtkv
from crdtkv import cbor
from crdtkv.config.loader import load
from crdtkv.ids import identity_of
from crdtkv.local.cluster import LocalCluster
from crdtkv.local.ports import on_free_ports
from crdtkv.node.kernel.effects import Sends
from crdtkv.ring.token import storage_key_of
from crdtkv.wire.messages import MutateRequest

FILL_AT_ONCE = 100
FILLERS = 8
#: So that boards and maps of 100,000 fit.
ENTRY_KIB = 8192
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
        first = nodes.cores["eu-1"].parts.kernel.cluster.ring.preference_list(storage_key_of(identity))[0]

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
        entry = nodes.cores[first].parts.replica.read(storage_key_of(identity))[0]
        assert entry is not None
        return f"{len(entry):,} | {cpu_ms:.2f} ms | {nodes.sent_bytes / operations:,.0f}"


async def on_processes(sizes: list[int], operations: int, writers: int, seconds: float) -> dict[tuple[str, int], str]:
    """Return rows: median and slowest latency of one writer, then rate, waits and failures of many."""
    whole = load(CONFIG)
    whole = whole.model_copy(update={"limits": whole.limits.model_copy(update={"entry_kib": ENTRY_KIB})})
    config = on_free_ports(whole.model_copy(update={"datacenters": {"eu": whole.datacenters["eu"]}}))
    rows: dict[tuple[str, int], str] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with LocalCluster(config, Path(directory)) as cluster, crdtkv.connect(cluster.config) as kv:
            for kind in KINDS:
                for size in sizes:
                    write = writer(kv, kind, f"{kind}-{size}")
                    await fill(kv, kind, f"{kind}-{size}", size)
                    waited = []
                    for number in range(size, size + operations):
                        began = time.perf_counter()
                        await write(number)
                        waited.append((time.perf_counter() - began) * 1e3)
                    alone = f"{statistics.median(waited):.1f} / {max(waited):.1f} ms"
                    rows[kind, size] = f"{alone} | {await together(write, size, writers, seconds)}"
    return rows


async def fill(kv: crdtkv.Client, kind: str, key: str, size: int) -> None:
    """Write so many elements."""
    if kind == "set":
        for start in range(0, size, FILL_AT_ONCE):
            members = [f"element-{n}" for n in range(start, min(size, start + FILL_AT_ONCE))]
            await kv.set(key).add(*members, timeout=60)
        return
    write = writer(kv, kind, key)
    for start in range(0, size, FILLERS):
        await asyncio.gather(*(write(n) for n in range(start, min(size, start + FILLERS))))


async def together(write: Callable[[int], Awaitable[None]], size: int, writers: int, seconds: float) -> str:
    """Let many write at once for a while; return writes a second, median and slowest wait, and failures."""
    waited: list[float] = []
    failed: Counter[str] = Counter()
    until = time.perf_counter() + seconds

    async def keep_writing(own: int) -> None:
        number = own
        while time.perf_counter() < until:
            began = time.perf_counter()
            try:
                # New and existing elements in turn.
                await write(size + 1_000_000 + number if number // writers % 2 else number % size)
            except crdtkv.CrdtkvError as error:
                failed[type(error).__name__] += 1
            else:
                waited.append((time.perf_counter() - began) * 1e3)
            number += writers

    await asyncio.gather(*(keep_writing(own) for own in range(writers)))
    failures = ", ".join(f"{count} {name}" for name, count in failed.items()) or "none"
    return f"{len(waited) / seconds:,.0f} | {statistics.median(waited):.0f} / {max(waited):.0f} ms | {failures}"


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
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    latencies = asyncio.run(on_processes(options.sizes, options.operations, options.writers, options.seconds))
    print(
        "| value | elements | entry, bytes | CPU an operation | bytes between nodes | alone, median / slowest "
        f"| {options.writers} writers, writes/s | median / slowest | failures |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for size in options.sizes:
            measured = in_process(kind, size, options.operations)
            print(f"| {kind} | {size:,} | {measured} | {latencies[kind, size]} |", flush=True)


if __name__ == "__main__":
    main()
