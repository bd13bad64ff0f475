"""A client belongs to the event loop it was connected in; in another one nothing is sent, and the error says why."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import crdtkv
from crdtkv import Client, ClosedError, InvalidRequest
from crdtkv.local.cluster import LocalCluster

from .conftest import addresses


async def scanned(kv: Client) -> None:
    async for _ in kv.scan():
        pass


async def watched(kv: Client) -> None:
    async for _ in kv.watch():
        pass


CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "get": lambda kv: kv.get("k"),
    "put": lambda kv: kv.put("k", 1),
    "increment": lambda kv: kv.counter("loops").increment(),
    "put_many": lambda kv: kv.put_many({"k": 1}),
    "get_many": lambda kv: kv.get_many(["k"]),
    "update": lambda kv: kv.update("k", lambda value: value),
    "scan": scanned,
    "watch": watched,
    "session": lambda kv: kv.session().put("k", 1),
    "status": lambda kv: kv.status(),
    "repair": lambda kv: kv.repair(),
    "inspect": lambda kv: kv.inspect(b"default\0register\0k"),
    "close": lambda kv: kv.close(),
}


class Elsewhere:
    """An event loop in a thread of its own, and a client connected in it."""

    def __init__(self, address: list[str]) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.kv: Client = self.run(self._connected(address))

    def run(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(30)

    def end(self) -> None:
        self.run(self.kv.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _connected(self, address: list[str]) -> Client:
        return await crdtkv.connect(address, timeout=20)


@pytest.fixture
def elsewhere(running: list[str]) -> Iterator[Elsewhere]:
    elsewhere = Elsewhere(running)
    yield elsewhere
    if not elsewhere.loop.is_closed():
        elsewhere.end()


@pytest.fixture(scope="module")
def running(cluster: LocalCluster) -> list[str]:
    return addresses(cluster.config, "eu")


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_from_another_event_loop_is_refused(elsewhere: Elsewhere, name: str) -> None:
    with pytest.raises(
        InvalidRequest, match="belongs to another event loop: connect in the loop that uses it"
    ) as caught:
        in_another_loop(CALLS[name], elsewhere.kv)
    assert not caught.value.maybe_applied
    elsewhere.run(elsewhere.kv.put("still works", 1))


def test_what_was_refused_in_another_event_loop_was_not_carried_out(elsewhere: Elsewhere) -> None:
    counter = elsewhere.kv.counter("counted in one loop")
    before = elsewhere.run(counter.increment())
    for _ in range(3):
        with pytest.raises(InvalidRequest):
            in_another_loop(lambda _: counter.increment(), elsewhere.kv)
    assert elsewhere.run(counter.increment()) == before + 1


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_after_the_clients_event_loop_has_ended_is_refused(running: list[str], name: str) -> None:
    elsewhere = Elsewhere(running)
    elsewhere.end()
    with pytest.raises(ClosedError, match="is closed: connect again in the current event loop"):
        in_another_loop(CALLS[name], elsewhere.kv)


def in_another_loop(call: Callable[[Client], Awaitable[Any]], kv: Client) -> None:
    """Do what a program does that calls `asyncio.run` twice, while the loop of the tests stands by."""

    async def act() -> None:
        await call(kv)

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(act())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    if failures:
        raise failures[0]
