"""`crdtkv demo`: demonstrates the product's guarantees on a real cluster in about half a minute.

Every step prints what it does, does it, checks the outcome, and adds a row to the closing table with its time. A step
with a wrong outcome ends the demonstration with an error.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from crdtkv.cli.output import say, table
from crdtkv.client.client import Client, connect
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import CrdtkvError
from crdtkv.local.cluster import LocalCluster

PATIENCE_S = 30.0
T = TypeVar("T")


class Demonstration:
    """One demonstration; needs at least two data centers, uses the first two."""

    def __init__(self, config: ClusterConfig, directory: Path) -> None:
        self._cluster = LocalCluster(config, directory, cuttable=True)
        self._one, self._other = list(config.datacenters)[:2]
        self._proven: list[tuple[str, float]] = []

    async def run(self) -> None:
        """Run all steps, and stop all processes at the end.

        Raises:
            CrdtkvError: a step has a wrong outcome.
        """
        stopped = asyncio.get_running_loop().create_future()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.cancel)
        showing = asyncio.ensure_future(self._show())
        await asyncio.wait([showing, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            say("\nstopped by you; ending all processes …")
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            return
        await showing

    async def _show(self) -> None:
        one, other = self._one, self._other
        config = self._cluster.config
        nodes = sum(len(dc.nodes) for dc in config.datacenters.values())
        say(f"Starting {len(config.datacenters)} data centers, each with its own nats-server, {nodes} nodes …")
        began = time.perf_counter()
        try:
            await self._cluster.start()
            self._prove(f"{nodes} nodes in {len(config.datacenters)} data centers are ready", began)
            config = self._cluster.config  # now with the ports of the links between data centers
            async with (
                connect(config, datacenter=one, timeout=5) as here,
                connect(config, datacenter=other, timeout=5) as there,
            ):
                await self._write_here_read_there(here, there)
                await self._cut_and_heal(here, there)
                await self._resolve(here, there)
                await self._kill_a_node(here)
        finally:
            await self._cluster.stop()
        say("")
        table("What was just shown, measured on this machine", ("shown", "seconds"), self._proven)
        say("\nEverything is stopped. `crdtkv up` keeps a cluster running; `crdtkv --help` shows what to do with it.")

    async def _write_here_read_there(self, here: Client, there: Client) -> None:
        say(f"\nA write in {self._one} …")
        began = time.perf_counter()
        await here.put("user:1", {"name": "Ada"})
        self._prove(f"a write at LOCAL_QUORUM in {self._one}, fsynced by 2 of 3 replicas", began)
        began = time.perf_counter()
        seen = await _until(lambda: there.get("user:1"), lambda value: value == {"name": "Ada"})
        self._prove(f"{self._other} reads {seen}, through NATS", began)

    async def _cut_and_heal(self, here: Client, there: Client) -> None:
        one, other = self._one, self._other
        say(f"\nCutting {one} and {other} apart; both go on …")
        self._cluster.cut(one, other)
        began = time.perf_counter()
        await asyncio.gather(here.put("user:1", {"name": "Ada King"}), there.put("user:1", {"name": "A. Lovelace"}))
        await asyncio.gather(here.counter("views").increment(3), there.counter("views").increment(4))
        mine, theirs = await asyncio.gather(here.get("user:1"), there.get("user:1"))
        _expect(mine == {"name": "Ada King"} and theirs == {"name": "A. Lovelace"}, "each side reads its own write")
        self._prove(
            f"both sides took writes to the same keys: {one} has {mine['name']!r}, {other} {theirs['name']!r}", began
        )
        await asyncio.sleep(1)
        _expect(await here.get("user:1") == mine, "nothing crosses a cut")

        say("\nHealing the cut …")
        self._cluster.heal(one, other)
        began = time.perf_counter()
        entries = await asyncio.gather(
            _until(lambda: here.entry("user:1"), lambda entry: len(entry.siblings) == 2),
            _until(lambda: there.entry("user:1"), lambda entry: len(entry.siblings) == 2),
        )
        views = await asyncio.gather(
            _until(here.counter("views").value, lambda value: value == 7),
            _until(there.counter("views").value, lambda value: value == 7),
        )
        _expect(entries[0].siblings == entries[1].siblings, "both sides agree")
        names = " and ".join(repr(sibling["name"]) for sibling in entries[0].siblings)
        self._prove(f"healed: neither write is lost, both sides keep {names} as siblings", began)
        self._prove(f"healed: 3 + 4 increments are {views[0]} views on both sides", began)

    async def _resolve(self, here: Client, there: Client) -> None:
        say("\nResolving the siblings, with the context they were read with …")
        began = time.perf_counter()
        entry = await here.entry("user:1")
        await here.put("user:1", {"name": "Ada King, Countess of Lovelace"}, context=entry.context)
        await _until(lambda: there.entry("user:1"), lambda seen: len(seen.siblings) == 1)
        self._prove(f"resolved in {self._one}, one value again in {self._other}", began)

    async def _kill_a_node(self, here: Client) -> None:
        victim = sorted(name for name in self._cluster.nodes if name.startswith(self._node_prefix()))[1]
        say(f"\nKilling {victim} (SIGKILL) while 32 workers write …")
        began = time.perf_counter()
        done, failed, slowest = 0, 0, 0.0
        is_over = False

        async def work(worker: int) -> None:
            nonlocal done, failed, slowest
            count = 0
            while not is_over:
                count += 1
                write_began = time.perf_counter()
                try:
                    await here.put(f"load:{worker}:{count % 100}", count)
                except CrdtkvError:
                    # Sent to the killed node, so its outcome is unknown: the caller decides what to do.
                    failed += 1
                else:
                    done += 1
                slowest = max(slowest, time.perf_counter() - write_began)

        working = [asyncio.create_task(work(worker)) for worker in range(32)]
        try:
            await asyncio.sleep(1)
            await self._cluster.nodes[victim].kill()
            await asyncio.sleep(2)
            after_kill = done
            await asyncio.sleep(1)
            _expect(done > after_kill, "writes go on without the killed node")
            await self._cluster.start_node(victim)
        finally:  # also when the demonstration is stopped here
            is_over = True
            await asyncio.gather(*working)
        self._prove(
            f"{victim} killed and restarted: {done:,} writes acknowledged, {failed} with unknown outcome, "
            f"the slowest took {slowest:.2f} s",
            began,
        )
        began = time.perf_counter()
        values = await here.get_many([f"load:{worker}:1" for worker in range(32)])
        _expect(all(isinstance(value, int) for value in values.values()), "what was written is read")
        self._prove("what was written during the crash is read at LOCAL_QUORUM", began)

    def _node_prefix(self) -> str:
        return self._cluster.config.datacenters[self._one].nodes[0].name.rpartition("-")[0]

    def _prove(self, what: str, began: float) -> None:
        seconds = time.perf_counter() - began
        self._proven.append((what, seconds))
        say(f"  ✓ {what}  [{seconds:.3f} s]")


async def _until(read: Callable[[], Awaitable[T]], is_right: Callable[[T], bool]) -> T:
    """Read until the outcome is right; return it.

    Raises:
        CrdtkvError: it does not become right.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        outcome = await read()
        if is_right(outcome):
            return outcome
        if time.monotonic() > deadline:
            raise CrdtkvError(f"not as promised after {PATIENCE_S:g} s: {outcome!r}")
        await asyncio.sleep(0.005)


def _expect(is_so: bool, what: str) -> None:
    if not is_so:
        raise CrdtkvError(f"not as promised: {what}")
