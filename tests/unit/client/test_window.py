"""How many requests are in flight to one node, and what becomes of those that wait."""

import asyncio

import pytest

from crdtkv.client.connection import LinkLost
from crdtkv.client.retry_budget import SAVED_MAX, RetryBudget
from crdtkv.client.window import FIRST, LARGEST, SMALLEST, TARGET_S, Window
from crdtkv.errors import Overloaded


class Load:
    """Requests in flight, as a connection counts them."""

    def __init__(self, limit: int) -> None:
        self.in_flight = 0
        self.window = Window(lambda: self.in_flight)
        self.window.limit = limit
        self.order: list[int] = []

    async def send(self, number: int) -> None:
        if self.window.is_full:
            await self.window.place(60)
        self.in_flight += 1
        self.order.append(number)

    def answer(self, count: int = 1) -> None:
        self.in_flight -= count
        self.window.give()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_are_in_flight_than_there_are_places() -> None:
    load = Load(limit=3)
    tasks = [asyncio.create_task(load.send(number)) for number in range(10)]
    most = 0
    for _ in range(10):
        await settled()
        most = max(most, load.in_flight)
        load.answer()
    await asyncio.gather(*tasks)
    assert most == 3
    assert load.order == list(range(10))


async def test_a_request_that_comes_while_others_wait_does_not_overtake_them() -> None:
    load = Load(limit=1)
    await load.send(0)
    waiting = asyncio.create_task(load.send(1))
    await settled()
    load.in_flight = 0  # a place is free, and nobody has been told yet
    late = asyncio.create_task(load.send(2))
    await settled()
    assert load.order == [0, 1]
    load.answer()
    await asyncio.gather(waiting, late)
    assert load.order == [0, 1, 2]


async def test_who_stops_waiting_gives_its_place_to_the_next() -> None:
    load = Load(limit=1)
    await load.send(0)
    tasks = [asyncio.create_task(load.send(number)) for number in (1, 2)]
    await settled()
    load.answer()
    tasks[0].cancel()  # just as its place was given to it
    await settled()
    load.window.give()
    await settled()
    assert load.order == [0, 2]


async def test_what_has_waited_until_its_deadline_was_not_sent() -> None:
    load = Load(limit=1)
    await load.send(0)
    with pytest.raises(Overloaded) as caught:
        await load.window.place(0.01)
    assert not caught.value.maybe_applied
    assert load.in_flight == 1


async def test_those_who_wait_for_a_node_that_is_gone_go_elsewhere() -> None:
    load = Load(limit=1)
    await load.send(0)
    waiting = asyncio.create_task(load.send(1))
    await settled()
    load.window.fail(lambda: LinkLost(was_sent=False))
    with pytest.raises(LinkLost):
        await waiting
    load.answer()
    assert not load.window.is_full


def test_the_window_shrinks_while_requests_take_long_and_never_to_nothing() -> None:
    window = Window(lambda: 0)
    for _ in range(100):
        window.measured(2 * TARGET_S)
    assert window.limit == SMALLEST


async def test_the_window_grows_while_requests_are_fast_and_more_wait() -> None:
    load = Load(limit=2)
    tasks = [asyncio.create_task(load.send(number)) for number in range(3)]
    await settled()
    load.window.measured(TARGET_S / 10)
    assert load.window.limit == 2.5
    for _ in range(100):
        load.window.measured(TARGET_S / 10)
    assert load.window.limit == LARGEST
    load.window.give()
    await asyncio.gather(*tasks)


def test_a_window_that_is_not_used_up_stays() -> None:
    window = Window(lambda: 0)
    window.measured(TARGET_S / 10)
    assert window.limit == FIRST


def test_of_many_refusals_at_once_one_counts() -> None:
    window = Window(lambda: 0)
    window.refused(10.0)
    once = window.limit
    window.refused(10.0 + TARGET_S / 2)
    assert window.limit == once < FIRST
    window.refused(10.0 + 2 * TARGET_S)
    assert window.limit < once


def test_a_tenth_of_the_requests_may_be_sent_again() -> None:
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(5_000)) == SAVED_MAX
    for _ in range(1_001):
        budget.earn()
    assert sum(budget.spend() for _ in range(1_000)) == 100
