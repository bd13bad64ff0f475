"""CPU time per operation in the cores of three nodes, without sockets, threads or fsync.

Three `NodeCore`s on RocksDB stores exchange encoded frames in one process; a step gets `--batch` client requests at a
time. So the result contains only decisions, codec and storage: the part of a put or get that Python itself costs.
Prints microseconds per operation, the sum over all three nodes; with `--profile` a profile as well, with `--calls` the
calls of Python and C functions per operation, and the files of crdtkv that they are in.

Run: python benchmarks/core_path.py [--batch 20] [--operations 20000] [--without-ids] [--profile] [--calls]
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from secrets import token_bytes

from function_calls import Calls

from crdtkv.config.loader import load
from crdtkv.config.model import ClusterConfig
from crdtkv.ids import identity_of
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import Effects, Sends
from crdtkv.node.kernel.events import Durable, Event, Now, PeerUp, Received
from crdtkv.ring.hash_ring import HashRing
from crdtkv.ring.token import storage_key_of
from crdtkv.storage.rocks import RocksStore
from crdtkv.wire.codec import decode_frame, encode_frame
from crdtkv.wire.messages import GetRequest, MembersReply, Message, MutateRequest

CONFIG = Path(__file__).parent.parent / "datacenters.yaml"
CLIENT = 1


def config_of(*datacenters: str) -> ClusterConfig:
    """Return the configuration of the example, with these data centers only."""
    whole = load(CONFIG)
    return whole.model_copy(update={"datacenters": {name: whole.datacenters[name] for name in datacenters}})


class Nodes:
    """The three nodes of a data center, which exchange frames directly."""

    def __init__(self, directory: Path, config: ClusterConfig, datacenter: str = "eu") -> None:
        first = config.first_topology(datacenter)
        entered = [replace(node, incarnation=f"{number:016x}") for number, node in enumerate(first.nodes)]
        topology = replace(first, nodes=tuple(entered))
        self.cores: dict[str, NodeCore] = {}
        for number, node in enumerate(topology.nodes):
            settings = NodeSettings(config, datacenter, node.name, topology, number)
            self.cores[node.name] = NodeCore(settings, RocksStore(directory / node.name), Random(number), now())
        for name, core in self.cores.items():
            others = [other for other in self.cores if other != name]
            core.handle([PeerUp(other) for other in others], now())
            core.handle([Received(other, 1, [MembersReply([])]) for other in others], now())
        self.answers = 0
        #: The effects of all steps that go to other data centers.
        self.outside: list[tuple[str, Effects]] = []
        ring = HashRing(topology)
        self.keys: dict[str, list[bytes]] = {name: [] for name in self.cores}
        for number in range(2000):
            identity = identity_of("default", "register", f"user:{number}")
            self.keys[ring.preference_list(storage_key_of(identity))[0]].append(identity)

    def run(self, name: str, requests: list[Message]) -> None:
        """Give a node client requests, and carry frames until all is quiet."""
        frame = decode_frame(encode_frame(1, requests))
        self.step(name, [Received(CLIENT, frame.epoch, frame.messages)])

    def step(self, name: str, events: list[Event]) -> None:
        """Give a node events, and carry frames until all is quiet."""
        arrived = {name: events}
        while arrived:
            waiting: list[tuple[str, str | int, bytes]] = []
            for receiver, some in arrived.items():
                effects = self.cores[receiver].handle(some, now())
                waiting += self._frames(receiver, effects.at_once) + self._release(receiver, effects)
                if effects.held_publishes or effects.held_bus:
                    self.outside.append((receiver, effects))
            arrived = {}
            for receiver, sender, payload in waiting:
                frame = decode_frame(payload)
                arrived.setdefault(receiver, []).append(Received(sender, frame.epoch, frame.messages))

    def _release(self, name: str, effects: Effects) -> list[tuple[str, str | int, bytes]]:
        if effects.after_commit:
            self.cores[name].handle([Durable(effects.after_commit)], now())
        return self._frames(name, effects.held)

    def _frames(self, name: str, sends: Sends) -> list[tuple[str, str | int, bytes]]:
        frames: list[tuple[str, str | int, bytes]] = []
        for peer, messages in sends.items():
            payload = encode_frame(1, messages)
            if isinstance(peer, int):
                self.answers += len(decode_frame(payload).messages)
            else:
                frames.append((peer, name, payload))
        return frames


def now() -> Now:
    return Now(time.monotonic(), time.time_ns() // 1_000_000)


def puts(first: int, keys: list[bytes], without_ids: bool) -> list[Message]:
    """Return a put of each key, the first with the id `first`; they can be tried again unless `without_ids`."""
    return [
        MutateRequest(
            first + n,
            key,
            "put",
            [b"x" * 100],
            None,
            0,
            "LOCAL_QUORUM",
            5000,
            operation_id=b"" if without_ids else token_bytes(16),
        )
        for n, key in enumerate(keys)
    ]


def measure(nodes: Nodes, kind: str, operations: int, batch: int, without_ids: bool) -> float:
    """Return microseconds of CPU per operation: a `put`, or a get at the level that is the `kind`."""
    random = Random(1)
    names = list(nodes.cores)
    began = time.process_time()
    for first in range(0, operations, batch):
        name = names[first // batch % len(names)]
        keys = [random.choice(nodes.keys[name]) for _ in range(batch)]
        requests = puts(first, keys, without_ids) if kind == "put" else [GetRequest(first, [*keys], kind, 5000)]
        nodes.run(name, requests)
    return (time.process_time() - began) / operations * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--without-ids", action="store_true", help="puts that could not be tried again")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--calls", action="store_true", help="count calls and files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        nodes = Nodes(Path(directory), config_of("eu"))
        measure(nodes, "put", 4000, arguments.batch, arguments.without_ids)
        for kind in ("put", "ONE", "LOCAL_QUORUM"):
            profile = cProfile.Profile()
            if arguments.profile:
                profile.enable()
            cost = measure(nodes, kind, arguments.operations, arguments.batch, arguments.without_ids)
            profile.disable()
            what = "put" if kind == "put" else f"get at {kind}"
            print(f"{what}: {cost:.1f} µs per operation on all nodes together, batches of {arguments.batch}")
            if arguments.profile:
                pstats.Stats(profile).sort_stats("tottime").print_stats(32)
            if arguments.calls:
                with Calls() as calls:
                    measure(nodes, kind, 2000, arguments.batch, arguments.without_ids)
                python, c = calls.python / 2000, calls.c / 2000
                print(f"  {python:.1f} Python and {c:.1f} C calls, in {len(calls.files)} files")


if __name__ == "__main__":
    main()
