"""The table of requests in flight: numbers, timers in ticks, and the calls that learn of a lost replica."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv.node.kernel.calls import TICK_S, CallTable
from crdtkv.wire.messages import Message


class Listener:
    """A call that records its events; on "again" it sets another timer, on "end" it ends `to_end`."""

    def __init__(self, table: CallTable, log: list[tuple[str, str]], name: str) -> None:
        self.table = table
        self.log = log
        self.name = name
        self.number = table.add(self)
        self.to_end = self.number

    def answered(self, replica: str, message: Message) -> None:
        self.log.append((self.name, f"{replica} answered"))

    def lost(self, replica: str) -> None:
        self.log.append((self.name, f"{replica} lost"))
        self.table.end(self.number)

    def timer(self, purpose: str) -> None:
        self.log.append((self.name, purpose))
        if purpose == "again":
            self.table.set_timer(self.number, 2.0, "second")
        elif purpose == "end":
            self.table.end(self.to_end)


@pytest.fixture
def log() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def table() -> CallTable:
    return CallTable(first=100)


def test_numbers_count_on_from_the_first_and_are_not_used_again(table: CallTable, log: list[tuple[str, str]]) -> None:
    one, two = Listener(table, log, "one"), Listener(table, log, "two")
    table.end(two.number)
    three = Listener(table, log, "three")
    assert [one.number, two.number, three.number] == [101, 102, 103]


def test_a_call_is_found_until_it_ends(table: CallTable, log: list[tuple[str, str]]) -> None:
    call = Listener(table, log, "call")
    assert table.get(call.number) is call
    assert len(table) == 1
    table.end(call.number)
    table.end(call.number)
    assert table.get(call.number) is None
    assert len(table) == 0


def test_an_answer_to_a_number_from_before_a_restart_finds_nobody(log: list[tuple[str, str]]) -> None:
    before = Listener(CallTable(first=5_000), log, "before").number
    table = CallTable(first=9_000_000)
    Listener(table, log, "after")
    assert table.get(before) is None


def test_when_a_replica_is_lost_all_calls_are_told_in_the_order_they_began(
    table: CallTable, log: list[tuple[str, str]]
) -> None:
    for name in ("one", "two", "three"):
        Listener(table, log, name)
    table.replica_lost("eu-2")
    assert log == [("one", "eu-2 lost"), ("two", "eu-2 lost"), ("three", "eu-2 lost")]
    assert len(table) == 0


def test_without_calls_there_is_no_timer(table: CallTable, log: list[tuple[str, str]]) -> None:
    assert table.next_timer() is None
    table.fire(1e9)
    assert log == []


def test_a_timer_fires_at_its_tick_and_not_before(table: CallTable, log: list[tuple[str, str]]) -> None:
    call = Listener(table, log, "call")
    table.set_timer(call.number, 1.0005, "deadline")
    table.fire(1.0005)
    assert log == []
    assert table.next_timer() == pytest.approx(1.001)
    table.fire(1.00101)
    assert log == [("call", "deadline")]
    assert table.next_timer() is None


def test_a_timer_fires_once(table: CallTable, log: list[tuple[str, str]]) -> None:
    call = Listener(table, log, "call")
    table.set_timer(call.number, 1.0, "deadline")
    table.fire(5.0)
    table.fire(6.0)
    assert log == [("call", "deadline")]


def test_timers_fire_in_the_order_of_their_ticks_whatever_the_order_they_were_set_in(
    table: CallTable, log: list[tuple[str, str]]
) -> None:
    call = Listener(table, log, "call")
    for at_s, purpose in ((3.0, "third"), (1.0, "first"), (2.0, "second")):
        table.set_timer(call.number, at_s, purpose)
    table.fire(10.0)
    assert [purpose for _, purpose in log] == ["first", "second", "third"]


def test_calls_that_share_a_tick_fire_in_the_order_they_were_set(table: CallTable, log: list[tuple[str, str]]) -> None:
    calls = [Listener(table, log, name) for name in ("one", "two", "three")]
    for call in reversed(calls):
        table.set_timer(call.number, 1.0, "deadline")
    table.fire(1.02)
    assert [name for name, _ in log] == ["three", "two", "one"]


def test_only_what_is_due_fires(table: CallTable, log: list[tuple[str, str]]) -> None:
    call = Listener(table, log, "call")
    table.set_timer(call.number, 1.0, "due")
    table.set_timer(call.number, 9.0, "later")
    table.fire(5.0)
    assert log == [("call", "due")]
    assert table.next_timer() == pytest.approx(9.001)


def test_a_call_that_has_ended_is_not_woken(table: CallTable, log: list[tuple[str, str]]) -> None:
    call = Listener(table, log, "call")
    table.set_timer(call.number, 1.0, "deadline")
    table.end(call.number)
    table.fire(5.0)
    assert log == []


def test_nobody_is_woken_for_calls_that_have_ended(table: CallTable, log: list[tuple[str, str]]) -> None:
    one, two, three = (Listener(table, log, name) for name in ("one", "two", "three"))
    for call, at_s in ((one, 1.0), (two, 1.0), (three, 2.0)):
        table.set_timer(call.number, at_s, "deadline")
    table.end(two.number)
    assert table.next_timer() == pytest.approx(1.001)
    table.end(one.number)
    assert table.next_timer() == pytest.approx(2.001)
    table.end(three.number)
    assert table.next_timer() is None


def test_a_call_ended_by_another_in_the_same_tick_is_not_woken(table: CallTable, log: list[tuple[str, str]]) -> None:
    one, two = Listener(table, log, "one"), Listener(table, log, "two")
    one.to_end = two.number
    table.set_timer(one.number, 1.0, "end")
    table.set_timer(two.number, 1.0, "deadline")
    table.fire(5.0)
    assert log == [("one", "end")]


def test_a_timer_set_while_timers_fire_comes_in_its_turn(table: CallTable, log: list[tuple[str, str]]) -> None:
    call = Listener(table, log, "call")
    table.set_timer(call.number, 1.0, "again")
    table.set_timer(call.number, 3.0, "third")
    table.fire(10.0)
    assert [purpose for _, purpose in log] == ["again", "second", "third"]


@given(st.floats(0, 1e6), st.integers(0, 3))
def test_a_timer_is_at_most_a_tick_late_and_fires_when_the_table_asks_to_be_woken(at_s: float, earlier: int) -> None:
    table = CallTable()
    log: list[tuple[str, str]] = []
    call = Listener(table, log, "call")
    table.set_timer(call.number, at_s, "deadline")
    wake_s = table.next_timer()
    assert wake_s is not None
    tolerance = 1e-6 * TICK_S * max(1.0, at_s)
    assert at_s - tolerance <= wake_s <= at_s + TICK_S + tolerance
    table.fire(wake_s - (1 + earlier) * TICK_S)
    assert log == []
    table.fire(wake_s)
    assert log == [("call", "deadline")]


def test_a_call_that_sets_its_timer_anew_at_the_same_time_does_not_hold_up_the_step(table: CallTable) -> None:
    """A deadline can be missed by a rounding error of the clock: the call then waits for the rest of it."""
    fired: list[float] = []

    class Waiting(Listener):
        def timer(self, purpose: str) -> None:
            fired.append(now_s)
            assert len(fired) < 100
            table.set_timer(self.number, 5.0, "deadline")

    call = Waiting(table, [], "waiting")
    table.set_timer(call.number, 5.0, "deadline")
    for now_s in (4.0, 5.0015, 5.0035):
        table.fire(now_s)
    assert fired == [5.0015, 5.0035, 5.0035]
