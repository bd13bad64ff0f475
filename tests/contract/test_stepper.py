"""What `Stepper` promises: nothing that a step holds back leaves before a sync that began after the step's commit.

A real core on a store whose syncs a test can hold: each waits in its worker thread until the test lets it go, or fail.
`GroupCommit` decides what may leave, and has unit tests of its own; here a real loop and real threads drive it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import StorageError
from crdtkv.ids import identity_of
from crdtkv.node.assembly import NodeSettings
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.effects import AckStream, Effects, Proposal, Publish, SendBus
from crdtkv.node.kernel.events import Event, Now, Peer, Received
from crdtkv.ring.topology import Topology
from crdtkv.server.stepper import Stepper, clock
from crdtkv.storage.memory import MemoryStore
from crdtkv.wire.messages import EntriesReply, GetRequest, Message, MutateReply, MutateRequest

pytestmark = pytest.mark.interpreted

CLIENT = 1
WITHIN_S = 20.0


class HeldStore(MemoryStore):
    """A store whose syncs wait for `let`; each covers, as a disk does, what was committed when it began."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True
        self.failure: Exception | None = None
        self.commit_failure: Exception | None = None
        #: How many commits each sync covered, in the order in which they began.
        self.covered: list[int] = []
        self.on_begun: Callable[[], None] = lambda: None
        self._full_comparisons = threading.Semaphore(0)

    def commit(self) -> None:
        if self.commit_failure is not None and self.has_writes:
            raise self.commit_failure
        super().commit()

    def sync(self) -> None:
        commit = self.commits
        self.covered.append(commit)
        self.on_begun()
        if not self.is_open and not self._full_comparisons.acquire(timeout=WITHIN_S):
            raise StorageError("no test has let this sync go")
        if self.failure is not None:
            raise self.failure
        self.sync_to(commit)

    def let(self, count: int = 1) -> None:
        """Let a sync end that is held, or the next one."""
        self._full_comparisons.release(count)


class Node:
    """One node of its own, and all that leaves it, in the order in which it leaves."""

    def __init__(self) -> None:
        self.store = HeldStore()
        self.store.on_begun = self._tell_from_elsewhere
        config = ClusterConfig.model_validate(
            {
                "partitions": 1,
                "repair": {"interval_s": 3600, "rebuild_s": 3600},
                "gossip": {"interval_s": 3600},
                "datacenters": {
                    "eu": {"nats": {"url": "nats://eu"}, "nodes": [{"name": "eu-1", "port": 1, "http_port": 1}]}
                },
            }
        )
        first = config.first_topology("eu")
        topology = replace(first, nodes=tuple(replace(node, incarnation="0" * 16) for node in first.nodes))
        self.core = NodeCore(NodeSettings(config, "eu", "eu-1", topology, 0), self.store, Random(7), clock())
        self.steps = 0
        self.left: list[int] = []
        #: By the number of a request that left: how many commits of the store were durable then.
        self.durable_at: dict[int, int] = {}
        self.failures: list[StorageError] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._handle = self.core.handle
        self.core.handle = self._handling  # type: ignore[method-assign]
        self.stepper = Stepper(self.core, self.store, self, self._failed)

    # `World`, and what else tells that something has happened.

    def send(self, peer: Peer, messages: list[Message]) -> None:
        assert peer == CLIENT
        for message in messages:
            assert isinstance(message, MutateReply | EntriesReply), message
            self.left.append(message.id)
            self.durable_at[message.id] = self.store.commits - self.store.unsynced
        self._changed.set()

    def publish(self, publish: Publish) -> None:
        raise AssertionError(publish)

    def send_bus(self, send: SendBus) -> None:
        raise AssertionError(send)

    def propose(self, proposal: Proposal) -> None:
        raise AssertionError(proposal)

    def ack(self, ack: AckStream) -> None:
        raise AssertionError(ack)

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def save_incarnation(self, incarnation: int) -> None:
        raise StorageError("no space left")

    def follow_topology(self, topology: Topology) -> None:
        raise AssertionError(topology)

    def refresh_topology(self) -> None:
        pass

    def halt(self, reason: str) -> None:
        raise AssertionError(reason)

    def _handling(self, events: Sequence[Event], now: Now) -> Effects:
        effects = self._handle(events, now)
        self.steps += 1
        self._changed.set()
        return effects

    def _failed(self, error: StorageError) -> None:
        self.failures.append(error)
        self._changed.set()

    def _tell_from_elsewhere(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    # What tests do.

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def ask(self, *messages: Message) -> None:
        """Let the node take requests in a step of their own."""
        steps = self.steps
        self.stepper.put(Received(CLIENT, 0, list(messages)))
        await self.until(lambda: self.steps > steps)

    async def put(self, number: int) -> None:
        await self.ask(put_request(number))

    async def begun(self, count: int) -> None:
        """Wait until so many syncs have begun since they are held."""
        await self.until(lambda: len(self.store.covered) >= count)


async def all_that_is_ready() -> None:
    """Let the loop do what was scheduled before this."""
    handled = asyncio.Event()
    asyncio.get_running_loop().call_soon(handled.set)
    await handled.wait()


def put_request(number: int) -> MutateRequest:
    key = identity_of("default", "register", f"key {number}")
    return MutateRequest(number, key, "put", [b"\x61A"], None, 0, "ONE", 5000)


def get_request(number: int, key: int) -> GetRequest:
    return GetRequest(number, [identity_of("default", "register", f"key {key}")], "ONE", 5000)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node that has answered one write, number 100; from then on its syncs are held."""
    node = Node()
    await node.put(100)
    await node.until(lambda: node.left == [100])
    await node.until(lambda: not node.store.unsynced)
    node.store.is_open = False
    node.store.covered, node.left, node.durable_at = [], [], {}
    yield node
    node.store.is_open = True
    node.store.let(1000)
    async with asyncio.timeout(WITHIN_S):
        await node.stepper.stop()


async def test_a_write_is_answered_only_after_a_sync_that_began_after_its_commit(node: Node) -> None:
    """The second is committed while the first one's sync is under way: that sync need not have covered it."""
    await node.put(1)
    await node.begun(1)
    await node.put(2)
    assert node.left == []
    node.store.let()
    await node.begun(2)
    assert node.left == [1]
    node.store.let()
    await node.until(lambda: node.left == [1, 2])


async def test_whatever_leaves_is_on_the_disk(node: Node) -> None:
    committed: dict[int, int] = {}
    for number in range(1, 6):
        await node.put(number)
        committed[number] = node.store.commits
        await node.begun(1)
    node.store.let(5)
    await node.until(lambda: len(node.left) == 5)
    assert len(set(committed.values())) == 5
    assert [number for number, commit in committed.items() if node.durable_at[number] < commit] == []


async def test_one_sync_covers_all_steps_that_committed_before_it_began(node: Node) -> None:
    await node.put(1)
    await node.begun(1)
    for number in (2, 3, 4):
        await node.put(number)
    assert len(node.store.covered) == 1, "one sync at a time"
    node.store.let()
    await node.begun(2)
    assert node.store.covered[1] == node.store.commits
    node.store.let()
    await node.until(lambda: node.left == [1, 2, 3, 4])
    assert len(node.store.covered) == 2


async def test_what_was_held_leaves_in_the_order_of_the_steps(node: Node) -> None:
    for number in range(1, 9):
        await node.put(number)
        if number % 3 == 0:
            node.store.let()
    node.store.let(8)
    await node.until(lambda: len(node.left) == 8)
    assert node.left == list(range(1, 9))


async def test_what_reveals_nothing_new_leaves_while_the_disk_is_busy(node: Node) -> None:
    await node.put(1)
    await node.begun(1)
    await node.ask(get_request(2, key=100), get_request(3, key=7))
    assert node.left == [2, 3]


async def test_a_read_of_what_is_not_durable_waits_with_it(node: Node) -> None:
    await node.put(1)
    await node.begun(1)
    await node.ask(get_request(2, key=1))
    assert node.left == []
    node.store.let(2)
    await node.until(lambda: node.left == [1, 2])


async def test_the_core_knows_what_is_durable_before_it_handles_anything_else(node: Node) -> None:
    await node.put(1)
    await node.begun(1)
    node.store.let()
    await node.until(lambda: node.left == [1])
    await node.ask(get_request(2, key=1))
    assert node.left == [1, 2], "a read of what is durable waits for nothing"


@pytest.mark.parametrize("failure", [StorageError("no space left"), OSError(5, "Input/output error")])
async def test_after_a_failed_sync_nothing_leaves_and_the_node_stops(node: Node, failure: Exception) -> None:
    await node.put(1)
    await node.begun(1)
    await node.put(2)
    node.store.failure = failure
    node.store.let()
    await node.until(lambda: node.failures)
    assert [type(error) for error in node.failures] == [StorageError]
    steps = node.steps
    node.stepper.put(Received(CLIENT, 0, [get_request(3, key=100)]))
    await all_that_is_ready()
    node.store.let(10)
    await node.stepper.stop()
    assert (node.left, node.steps, len(node.store.covered)) == ([], steps, 1)


async def test_after_a_failed_commit_nothing_that_was_held_leaves(node: Node) -> None:
    """Also not what the sync under way covers: a disk that fails is believed nothing."""
    await node.put(1)
    await node.begun(1)
    node.store.commit_failure = StorageError("Input/output error")
    node.stepper.put(Received(CLIENT, 0, [put_request(2)]))
    await node.until(lambda: node.failures)
    node.store.let()
    await node.stepper.stop()
    assert (node.left, len(node.failures)) == ([], 1)


async def test_a_new_incarnation_that_cannot_be_kept_stops_the_node_before_anything_leaves(node: Node) -> None:
    handle = node._handle
    node._handle = lambda events, now: replace(handle(events, now), new_incarnation=1)
    await node.ask(get_request(2, key=100))
    assert [str(error) for error in node.failures] == ["no space left"]
    assert node.left == []


async def test_a_stop_waits_until_everything_that_was_committed_is_durable_and_answered(node: Node) -> None:
    await node.put(1)
    await node.begun(1)
    await node.put(2)
    stopping = asyncio.create_task(node.stepper.stop())
    node.store.let()
    await node.begun(2)
    assert not stopping.done()
    node.store.let()
    async with asyncio.timeout(WITHIN_S):
        await stopping
    assert node.left == [1, 2]
    assert node.store.unsynced == 0


async def test_after_a_stop_nothing_is_handled(node: Node) -> None:
    node.store.is_open = True
    await node.stepper.stop()
    steps = node.steps
    node.stepper.put(Received(CLIENT, 0, [put_request(1)]))
    await all_that_is_ready()
    assert (node.steps, node.left) == (steps, [])


async def test_what_was_put_just_before_a_stop_is_not_handled_any_more(node: Node) -> None:
    """Its step was due; but the disk is about to be closed."""
    steps = node.steps
    node.stepper.put(Received(CLIENT, 0, [put_request(1)]))
    await node.stepper.stop()
    await all_that_is_ready()
    assert (node.steps, node.store.covered, node.left) == (steps, [], [])
