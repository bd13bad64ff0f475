"""CPU time per operation in the client, without sockets and nodes: in its core alone, and in the whole client.

The core is handed `--batch` calls at a time, and the answers of three nodes. The whole client runs `--workers` tasks,
each with one request in flight, over links that answer when the event loop comes round; its figures include these
links. Prints microseconds and calls of Python functions of crdtkv per operation. The calls are nearly the same in every
run, so they show what a change costs on a busy machine too.

Run: python benchmarks/client_path.py [--batch 20] [--workers 1,64] [--operations 20000] [--profile]
"""

import argparse
import asyncio
import cProfile
import pstats
import time
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any
from unittest.mock import patch

from function_calls import Calls

import crdtkv
from crdtkv.causality.context import EMPTY
from crdtkv.client.client import Client
from crdtkv.client.core.client_core import ClientCore
from crdtkv.client.core.effects import Effects
from crdtkv.client.core.events import LinkUp, TopologySeen
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.reading import Read
from crdtkv.client.core.writing import Mutation, Write
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register
from crdtkv.ids import identity_of
from crdtkv.ring.topology import RingNode, Topology
from crdtkv.wire.codec import Frame
from crdtkv.wire.messages import (
    EntriesReply,
    GetRequest,
    Hello,
    Message,
    MutateReply,
    MutateRequest,
    TopologyReply,
    TopologyRequest,
)

NODES = ("eu-1", "eu-2", "eu-3")
RING = Topology("shop", "eu", 1, 256, 3, tuple(RingNode(name, name, 1, "z", 1.0, "0" * 16) for name in NODES))
ENTRY = Entry(Register(), EMPTY).to_bytes()
KEYS = 2000
VALUE = b"x" * 100
COUNTED = 2000


def answers_to(requests: Iterable[Message]) -> list[Message]:
    """Return what nodes answer."""
    answers: list[Message] = []
    for request in requests:
        match request:
            case GetRequest(number, identities):
                answers.append(EntriesReply(number, [ENTRY] * len(identities)))
            case MutateRequest(number):
                answers.append(MutateReply(number, number, "eu-1.0000000000000000", number))
            case TopologyRequest(number):
                answers.append(topology_reply(number))
    return answers


def topology_reply(number: int) -> TopologyReply:
    return TopologyReply(number, RING.to_json(), [["default", "LOCAL_QUORUM"]], ["eu"], 0)


class Core:
    """A client core that is linked to three nodes."""

    def __init__(self) -> None:
        self._core = ClientCore(Random(1))
        self._now = 0.0
        self._identities = [identity_of("default", "register", f"user:{number}") for number in range(KEYS)]
        self._observations = Observations()
        self._core.handle([TopologySeen("eu", 0, topology_reply(0))], 0.0)
        for link in list(self._core.routing.links.values()):
            self._core.handle([LinkUp(link.number, Hello("shop", "eu", "node", link.node))], 0.0)

    def run(self, kind: str, operations: int, batch: int) -> None:
        """Make operations, so many at a time."""
        random, level = Random(1), crdtkv.LOCAL_QUORUM
        for _ in range(0, operations, batch):
            identities = [random.choice(self._identities) for _ in range(batch)]
            if kind == "get":
                self._answer(self._core.begin([Read(identity, level, 5.0) for identity in identities], self._now))
            else:
                mutation, seen = Mutation("put", [VALUE]), self._observations
                writes = [Write(identity, mutation, level, 5.0, seen) for identity in identities]
                self._answer(self._core.begin(writes, self._now))

    def _answer(self, effects: Effects) -> None:
        for link, messages in effects.sends.items():
            self._now += 0.0001
            ended = self._core.received(link, 1, answers_to(messages), 0.0, self._now).ended
            assert ended


class AnsweringLink:
    """A link of which the other side answers at once (`links.Link`, as far as clients use it)."""

    def __init__(self, user: Any, node: str) -> None:
        self._user = user
        self._requests: list[Message] = []
        self.hello = Hello("shop", "eu", "node", node)
        self.clock_ahead_s = 0.0

    def send(self, messages: list[Message]) -> None:
        """Take requests."""
        if not self._requests:
            asyncio.get_running_loop().call_soon(self._answer)
        self._requests += messages

    def close(self, reason: str) -> None:
        """End."""

    def _answer(self) -> None:
        requests, self._requests = self._requests, []
        self._user.frame(self, Frame(1, answers_to(requests), 0))


class AnsweringDialer:
    """Makes such a link (`links.Dialer`)."""

    def __init__(self, make_link: Any, host: str, port: int) -> None:
        self._user = make_link.__self__
        self._link = AnsweringLink(self._user, host)

    def start(self) -> None:
        """Connect."""
        asyncio.get_running_loop().call_soon(self._user.greeted, self._link, self._link.hello)

    def lost(self) -> None:
        """Stay."""

    async def stop(self) -> None:
        """Stop."""


async def work(kv: Client, kind: str, operations: int, workers: int) -> None:
    """Make operations, one in flight per worker."""

    async def worker(seed: int) -> None:
        choose = Random(seed).randrange
        for _ in range(operations // workers):
            if kind == "get":
                await kv.get(f"user:{choose(KEYS)}")
            else:
                await kv.put(f"user:{choose(KEYS)}", VALUE)

    await asyncio.gather(*(worker(seed) for seed in range(workers)))


async def measure(what: str, run: Callable[[int], Awaitable[None]], operations: int, is_profiled: bool) -> None:
    """Print what one operation costs."""
    await run(COUNTED)
    profile = cProfile.Profile()
    if is_profiled:
        profile.enable()
    began = time.process_time()
    await run(operations)
    cost_us = (time.process_time() - began) / operations * 1e6
    profile.disable()
    with Calls() as calls:
        await run(COUNTED)
    print(f"{what}: {cost_us:.1f} µs and {calls.python / COUNTED:.1f} calls per operation")
    if is_profiled:
        pstats.Stats(profile).sort_stats("tottime").print_stats(32)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--workers", default="1,64")
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    core = Core()
    with patch("crdtkv.client.connection.Dialer", AnsweringDialer):
        async with crdtkv.connect("eu-1:1") as kv:
            for kind in ("get", "put"):

                async def in_core(operations: int, kind: str = kind) -> None:
                    core.run(kind, operations, arguments.batch)

                await measure(
                    f"{kind}, core, batches of {arguments.batch}", in_core, arguments.operations, arguments.profile
                )
                for workers in map(int, arguments.workers.split(",")):

                    async def in_client(operations: int, kind: str = kind, workers: int = workers) -> None:
                        await work(kv, kind, operations, workers)

                    await measure(
                        f"{kind}, client, {workers} workers", in_client, arguments.operations, arguments.profile
                    )


if __name__ == "__main__":
    asyncio.run(main())
