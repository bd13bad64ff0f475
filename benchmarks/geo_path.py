"""CPU time per put in the cores of two data centers, without sockets, threads, fsync or NATS.

As `core_path.py`: three nodes of `eu` take puts in batches; what they publish is given to the three nodes of `us` in
turns, and their confirmations to `eu`. The keys are written anew all the time, so that outbox rows rarely coalesce.
Prints microseconds per put on all nodes of each data center together: `eu` without and with another data center, and
`us`, which applies; with `--calls` the calls of functions there, with `--profile` a profile.

Run: python benchmarks/geo_path.py [--batch 20] [--operations 20000] [--profile] [--calls]
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from itertools import cycle
from pathlib import Path
from random import Random

from core_path import Nodes, config_of, measure, puts
from function_calls import Calls

from crdtkv.node.kernel.events import BusMessage, BusUp, Event, Published, StreamMessage
from crdtkv.wire.messages import Message


class DataCenters:
    """`eu` and `us`, and the messages between them."""

    def __init__(self, directory: Path) -> None:
        config = config_of("eu", "us")
        self.eu = Nodes(directory / "eu", config)
        self.us = Nodes(directory / "us", config, "us")
        self._appliers = cycle(self.us.cores)
        self._handles = 0
        self.seconds = {"eu": 0.0, "us": 0.0}
        for nodes in (self.eu, self.us):
            for name in nodes.cores:
                nodes.step(name, [BusUp()])

    def put(self, name: str, requests: list[Message]) -> None:
        """Give a node of `eu` puts; let both data centers work until all is confirmed."""
        began = time.process_time()
        self.eu.run(name, requests)
        self.seconds["eu"] += time.process_time() - began
        while self.eu.outside:
            began = time.process_time()
            sent = self._published()
            between = time.process_time()
            self.seconds["eu"] += between - began
            for message in sent:
                self.us.step(next(self._appliers), [message])
            ended = time.process_time()
            self.seconds["us"] += ended - between
            self._confirm()
            self.seconds["eu"] += time.process_time() - ended

    def _published(self) -> list[StreamMessage]:
        """Let the stream take all batches; return them as its messages."""
        sent: list[StreamMessage] = []
        outside, self.eu.outside = self.eu.outside, []
        for name, effects in outside:
            answers: list[Event] = []
            for publish in effects.held_publishes:
                self._handles += 1
                sent.append(StreamMessage("eu", self._handles, publish.payload))
                answers.append(Published(publish.number, True))
            self.eu.step(name, answers)
        return sent

    def _confirm(self) -> None:
        outside, self.us.outside = self.us.outside, []
        for _, effects in outside:
            for confirmation in effects.held_bus:
                self.eu.step(confirmation.node, [BusMessage(confirmation.payload)])


def measure_both(both: DataCenters, operations: int, batch: int) -> dict[str, float]:
    """Return microseconds of CPU per put in each data center."""
    random, names = Random(1), list(both.eu.cores)
    both.seconds = {"eu": 0.0, "us": 0.0}
    for first in range(0, operations, batch):
        name = names[first // batch % len(names)]
        keys = [random.choice(both.eu.keys[name]) for _ in range(batch)]
        both.put(name, puts(first, keys, without_ids=True))
    return {name: seconds / operations * 1e6 for name, seconds in both.seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--calls", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        alone = Nodes(Path(directory) / "alone", config_of("eu"))
        both = DataCenters(Path(directory))
        measure(alone, "put", 4000, arguments.batch, True)
        measure_both(both, 4000, arguments.batch)
        profile = cProfile.Profile()
        print(f"eu alone: {measure(alone, 'put', arguments.operations, arguments.batch, True):.1f} µs per put")
        if arguments.profile:
            profile.enable()
        cost = measure_both(both, arguments.operations, arguments.batch)
        profile.disable()
        print(f"eu with us: {cost['eu']:.1f} µs per put; us: {cost['us']:.1f} µs; batches of {arguments.batch}")
        if arguments.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        if arguments.calls:
            with Calls() as calls:
                measure_both(both, 2000, arguments.batch)
            print(f"  {calls.python / 2000:.1f} Python and {calls.c / 2000:.1f} C calls per put in both")


if __name__ == "__main__":
    main()
