"""The cost of anti-entropy between data centers: finding a few differences, and filling an empty data center.

Two data centers with `--nodes` nodes each, all in this process, hold the same `--keys` entries. Messages between data
centers arrive after `--delay-ms`, those within at once; the clock advances with the work that is done here, on one
core, and skips every pause in which no node has work. First `us` misses the last write of 10, 1,000 and 100,000 keys
(half of them it lacks, half it has in an older version), a session of each node of `eu` is begun, and ends when its
mark is cleared. Then the stores of `us` are empty. *bytes*: between the data centers, in both directions, after the
encoding and without the headers of NATS.

Run: python benchmarks/geo_anti_entropy.py [--keys 1000000] [--differences 10,1000,100000] [--nodes 1] [--delay-ms 40]
"""

import argparse
import heapq
import time
from itertools import count
from random import Random

from mending.rows import differing, fill, lose

from crdtkv.config.model import ClusterConfig
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.events import BusMessage, BusUp, Durable, Event, Now, PeerUp, Received
from crdtkv.node.replica.comparison_marks import GIVE
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.codec import decode_frame, encode_frame

COLUMNS = ("us lacks", "bytes", "messages", "exchanges", "CPU", "elapsed")


class DataCenters:
    """The nodes of `eu` and `us`, and the messages under way."""

    def __init__(self, arguments: argparse.Namespace, stores: dict[str, MemoryStore]) -> None:
        self.stores = stores
        self.delay_s = arguments.delay_ms / 1000
        self.bytes_sent = self.messages = 0
        self.cpu_s = 0.0
        self._began, self._skipped_s = time.perf_counter(), 0.0
        self._numbers = count()
        self._arriving: list[tuple[float, int, str, Event]] = []
        config = ClusterConfig.model_validate(
            {
                "datacenters": {
                    dc: {
                        "nats": {"url": f"nats://{dc}"},
                        "nodes": [
                            {"name": f"{dc}-{n}", "port": 1, "http_port": 1} for n in range(1, arguments.nodes + 1)
                        ],
                    }
                    for dc in ("eu", "us")
                },
                "repair": {"rebuild_s": 3600},
                "gossip": {"interval_s": 3600},
                "geo": {"compare_interval_s": 3600, "compare_max_mib_per_s": arguments.max_mib_per_s},
            }
        )
        self.cores: dict[str, NodeCore] = {}
        for number, name in enumerate(stores, 1):
            topology = config.first_topology(name[:2])
            for node in topology.nodes:
                incarnation = f"{list(stores).index(node.name) + 1:016x}"
                topology = topology.with_node(type(node)(node.name, node.host, node.port, None, 1.0, incarnation))
            settings = NodeSettings(config, name[:2], name, topology, number)
            self.cores[name] = NodeCore(settings, stores[name], Random(number), self._now())
        for name in stores:
            neighbors = [PeerUp(other) for other in stores if other[:2] == name[:2] and other != name]
            for event in (*neighbors, BusUp()):
                self._put(0.0, name, event)
        self._run(lambda: all(core.parts.anti_entropy.is_built for core in self.cores.values()))

    @property
    def elapsed_s(self) -> float:
        """Seconds on the nodes' clock."""
        return time.perf_counter() - self._began + self._skipped_s

    @property
    def exchanges(self) -> int:
        """How many exchanges have begun."""
        return sum(core.stats.counters.get("geo_exchanges", 0) for core in self.cores.values())

    def repair(self, numbers: list[int], what: str) -> str:
        """Let every node of `eu` hold a session; return a row of the table."""
        self.bytes_sent = self.messages = 0
        self.cpu_s = 0.0
        before, began_s = self.exchanges, self.elapsed_s
        mine = [core.parts.marks for name, core in self.cores.items() if name[:2] == "eu"]
        for marks in mine:
            marks.set("us", GIVE)
        self._run(lambda: not any(map(len, mine)))
        elapsed_s = self.elapsed_s - began_s
        left = sum(1 for _ in differing(self.stores.values(), numbers))
        assert not left, f"{left} keys differ"
        cells = (
            what,
            f"{self.bytes_sent / 1000:,.0f} kB",
            f"{self.messages:,}",
            f"{self.exchanges - before}",
            f"{self.cpu_s:.1f} s",
            f"{elapsed_s:.1f} s",
        )
        return f"| {' | '.join(cells)} |"

    def _now(self) -> Now:
        return Now(self.elapsed_s, time.time_ns() // 1_000_000)

    def _put(self, after_s: float, name: str, event: Event) -> None:
        heapq.heappush(self._arriving, (self.elapsed_s + after_s, next(self._numbers), name, event))

    def _run(self, is_done) -> None:  # type: ignore[no-untyped-def]
        while not is_done():
            timers = {name: at_s for name, core in self.cores.items() if (at_s := core.next_timer()) is not None}
            next_s = min([*timers.values(), *(item[0] for item in self._arriving[:1])])
            self._skipped_s += max(0.0, next_s - self.elapsed_s)
            events: dict[str, list[Event]] = {name: [] for name, at_s in timers.items() if at_s <= self.elapsed_s}
            while self._arriving and self._arriving[0][0] <= self.elapsed_s:
                _, _, name, event = heapq.heappop(self._arriving)
                events.setdefault(name, []).append(event)
            for name, some in events.items():
                self._step(name, some)

    def _step(self, name: str, events: list[Event]) -> None:
        began = time.process_time()
        effects = self.cores[name].handle(events, self._now())
        self.stores[name].sync()
        self.cpu_s += time.process_time() - began
        if effects.after_commit:
            self._put(0.0, name, Durable(effects.after_commit))
        for sends in (effects.at_once, effects.held):
            for peer, messages in sends.items():
                if isinstance(peer, str):
                    frame = decode_frame(encode_frame(1, messages))
                    self._put(0.0, peer, Received(name, self.cores[name].topology.epoch, frame.messages))
        for send in effects.held_bus:
            self.bytes_sent += len(send.payload)
            self.messages += 1
            self._put(self.delay_s, send.node, BusMessage(send.payload))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--differences", default="0,10,1000,100000")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1)
    parser.add_argument("--delay-ms", type=float, default=40.0, help="one way, between the data centers")
    parser.add_argument("--max-mib-per-s", type=float, default=8.0)
    arguments = parser.parse_args()
    names = [f"{dc}-{number}" for dc in ("eu", "us") for number in range(1, arguments.nodes + 1)]
    stores = {name: MemoryStore() for name in names}
    entry_bytes = fill(stores.values(), arguments.keys, arguments.value_bytes)
    print(f"{arguments.keys:,} keys of {entry_bytes} bytes; {arguments.delay_ms:g} ms one way")
    both = DataCenters(arguments, stores)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    shuffled = Random(2).sample(range(arguments.keys), arguments.keys)
    for text in arguments.differences.split(","):
        numbers, shuffled = shuffled[: int(text)], shuffled[int(text) :]
        for name in names:
            if name[:2] == "us":
                lose(both.cores[name], stores[name], numbers, arguments.value_bytes)
        print(both.repair(numbers, f"{int(text):,}"), flush=True)
    empty = {name: stores[name] if name[:2] == "eu" else MemoryStore() for name in names}
    both = DataCenters(arguments, empty)
    print(both.repair(list(range(0, arguments.keys, 997)), "everything"), flush=True)


if __name__ == "__main__":
    main()
