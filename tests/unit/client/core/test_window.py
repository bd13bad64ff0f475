"""`Window`, `RetryBudget` and `Timers`: the limit of requests in flight to one node, and the requests that wait."""

import math
from typing import Any

from crdtkv.client.core.failures import LinkLost
from crdtkv.client.core.retry_budget import SAVED_MAX, RetryBudget
from crdtkv.client.core.timers import Timers
from crdtkv.client.core.window import FIRST, LARGEST, SMALLEST, TARGET_S, Window
from crdtkv.errors import CrdtkvError, Overloaded


class Load:
    """Requests in flight, as a link counts them."""

    def __init__(self, limit: int) -> None:
        self.timers = Timers()
        self.window = Window(self.timers)
        self.window.limit = limit
        self.order: list[int] = []

    def send(self, number: int) -> "Request":
        request = Request(self, number)
        if self.window.is_full:
            self.window.wait(request, 60.0)
        else:
            request.placed()
        return request

    def answer(self, count: int = 1) -> None:
        self.window.used -= count
        self.window.give()


class Request:
    """A request: a `window.Waiter`."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self.is_over = False
        self.error: Any = None

    def placed(self) -> None:
        self._load.window.used += 1
        self._load.order.append(self._number)

    def failed(self, error: CrdtkvError) -> None:
        self.error = error


def test_no_more_requests_are_in_flight_than_the_limit() -> None:
    load = Load(limit=3)
    for number in range(10):
        load.send(number)
    most = 0
    for _ in range(10):
        most = max(most, load.window.used)
        load.answer()
    assert most == 3
    assert load.order == list(range(10))


def test_a_request_that_comes_while_others_wait_does_not_overtake_them() -> None:
    load = Load(limit=1)
    for number in (0, 1):
        load.send(number)
    load.window.used = 0  # the window has room, and the waiting request was not sent yet
    load.send(2)
    assert load.order == [0, 1]
    load.answer()
    assert load.order == [0, 1, 2]


def test_a_request_that_has_ended_is_skipped() -> None:
    load = Load(limit=1)
    requests = [load.send(number) for number in (0, 1, 2)]
    requests[1].is_over = True
    load.answer()
    assert load.order == [0, 2]


def test_a_request_that_waits_until_its_deadline_is_not_sent() -> None:
    load = Load(limit=1)
    load.send(0)
    late = load.send(1)
    load.timers.fire(60.0)
    assert isinstance(late.error, Overloaded)
    assert not late.error.maybe_applied
    load.answer()
    assert load.order == [0]


def test_a_request_that_was_sent_has_no_deadline_in_the_window() -> None:
    load = Load(limit=1)
    load.send(0)
    waiting = load.send(1)
    load.answer()
    load.timers.fire(0.0)
    assert load.timers.next_at == math.inf
    assert waiting.error is None


def test_requests_that_wait_for_a_lost_node_fail() -> None:
    load = Load(limit=1)
    load.send(0)
    waiting = load.send(1)
    load.window.fail(lambda: LinkLost(was_sent=False))
    assert isinstance(waiting.error, LinkLost)
    load.answer()
    assert not load.window.is_full


def test_the_window_shrinks_while_requests_take_long_and_never_to_nothing() -> None:
    window = Window(Timers())
    for _ in range(100):
        window.measured(2 * TARGET_S)
    assert window.limit == SMALLEST


def test_the_window_grows_while_requests_are_fast_and_more_wait() -> None:
    load = Load(limit=2)
    for number in range(3):
        load.send(number)
    load.window.measured(TARGET_S / 10)
    assert load.window.limit == 2.5
    for _ in range(100):
        load.window.measured(TARGET_S / 10)
    assert load.window.limit == LARGEST


def test_a_window_that_is_not_used_up_stays() -> None:
    window = Window(Timers())
    window.measured(TARGET_S / 10)
    assert window.limit == FIRST


def test_one_of_many_refusals_at_once_counts() -> None:
    window = Window(Timers())
    window.refused(10.0)
    once = window.limit
    window.refused(10.0 + TARGET_S / 2)
    assert window.limit == once < FIRST
    window.refused(10.0 + 2 * TARGET_S)
    assert window.limit < once


def test_a_tenth_of_the_requests_may_be_retried() -> None:
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(5_000)) == SAVED_MAX
    budget.requests += 1_001
    assert sum(budget.spend() for _ in range(1_000)) == 100


def test_canceled_timers_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.cancel(timers.at(1000.0 + number, lambda: None))
    assert len(timers._heap) < 200
    timers.fire(0.0)
    assert timers.next_at == math.inf
