"""Which requests a node begins in a step, which wait, and which it refuses."""

from crdtkv.ids import identity_of
from crdtkv.node.coordinate.admission import BUDGET_MAX, QUEUE_MAX_S, STEP_LONG_S, UNITS_MAX, WRITE_UNITS
from crdtkv.node.kernel.events import Now, Received
from crdtkv.wire.messages import (
    EntriesReply,
    ErrorReply,
    GetRequest,
    Message,
    MutateReply,
    MutateRequest,
    StatusReply,
    StatusRequest,
)
from tests.unit.node.one_node import CLIENT, OneNode

STEP = BUDGET_MAX // WRITE_UNITS


def writes(first: int, count: int, timeout_ms: int = 5000) -> list[Message]:
    return [
        MutateRequest(
            number, identity_of("default", "register", f"k{number}"), "put", [b"\x01"], None, 0, "ONE", timeout_ms
        )
        for number in range(first, first + count)
    ]


class Overload:
    """A node whose steps take as long as a test says."""

    def __init__(self) -> None:
        self.node = OneNode()
        self.core = self.node.core
        self.now_s = self.node.now_s
        self.answers: list[Message] = []

    def step(self, messages: list[Message], took_s: float = 0.0) -> list[Message]:
        """Make a step, the one before having taken so long; return what leaves for the client."""
        self.now_s += max(took_s, 0.001)
        now = Now(self.now_s, 1_700_000_000_000 + int(self.now_s * 1000), took_s)
        effects = self.core.handle([Received(CLIENT, 0, messages)] if messages else [], now)
        sent = effects.at_once.get(CLIENT, []) + effects.held.get(CLIENT, [])
        self.answers += sent
        return sent


def kinds(messages: list[Message]) -> dict[str, int]:
    names = [message.code if isinstance(message, ErrorReply) else type(message).__name__ for message in messages]
    return {name: names.count(name) for name in names}


def test_a_step_begins_no_more_than_its_budget_and_the_next_goes_on() -> None:
    overload = Overload()
    assert kinds(overload.step(writes(1, STEP + 10))) == {"MutateReply": STEP}
    assert len(overload.core.admission) == 10
    assert overload.core.next_timer() == overload.now_s
    assert kinds(overload.step([])) == {"MutateReply": 10}
    assert [message[0] for message in overload.answers] == list(range(1, STEP + 11))


def test_what_an_operator_asks_does_not_wait_behind_requests() -> None:
    overload = Overload()
    sent = overload.step([*writes(1, 2 * STEP), StatusRequest(9999)])
    assert [type(message) for message in sent if isinstance(message, StatusReply)] == [StatusReply]


def test_long_steps_make_the_next_begin_less_and_short_ones_more_again() -> None:
    overload = Overload()
    overload.step(writes(1, 5 * STEP))
    after_long = kinds(overload.step([], took_s=2 * STEP_LONG_S))["MutateReply"]
    assert after_long == STEP // 2
    assert kinds(overload.step([], took_s=2 * STEP_LONG_S))["MutateReply"] == STEP // 4
    assert kinds(overload.step([], took_s=0.001))["MutateReply"] > STEP // 4


def test_requests_that_would_wait_too_long_are_refused_on_arrival_and_told_for_how_long() -> None:
    overload = Overload()
    overload.step(writes(1, 3 * STEP))
    for number in range(3):  # a step of full budget takes as long as a request may wait
        overload.step(writes(10_000 * (number + 1), STEP), took_s=QUEUE_MAX_S)
    sent = overload.step(writes(90_000, 5), took_s=QUEUE_MAX_S)
    refused = [message for message in sent if isinstance(message, ErrorReply)]
    assert [message.id for message in refused] == list(range(90_000, 90_005))
    assert {message.code for message in refused} == {"overloaded"}
    assert all(message.fields[1] > QUEUE_MAX_S * 1000 for message in refused)  # type: ignore[operator]


def test_what_was_not_refused_is_carried_out() -> None:
    overload = Overload()
    asked = writes(1, 30 * STEP, timeout_ms=600_000)
    for start in range(0, len(asked), 3 * STEP):
        overload.step(asked[start : start + 3 * STEP], took_s=0.2)
    while len(overload.core.admission):
        overload.step([], took_s=0.01)
    told = kinds(overload.answers)
    assert told["MutateReply"] + told["overloaded"] == len(asked)
    assert told["overloaded"] > 0


def test_a_burst_on_an_idle_node_is_taken_whole() -> None:
    overload = Overload()
    overload.step(writes(1, 10 * STEP))
    while len(overload.core.admission):
        overload.step([], took_s=0.01)
    assert kinds(overload.answers) == {"MutateReply": 10 * STEP}


def test_what_waits_is_bounded_however_fast_it_seems_to_go() -> None:
    overload = Overload()
    overload.step(writes(1, UNITS_MAX // WRITE_UNITS + STEP + 50))
    assert kinds(overload.answers)["overloaded"] >= 50


def test_reads_of_one_message_are_begun_together_and_refused_one_by_one() -> None:
    overload = Overload()
    keys: list[object] = [identity_of("default", "register", f"k{n}") for n in range(2 * BUDGET_MAX)]
    sent = overload.step([GetRequest(1, keys, "ONE", 5000)])
    assert sum(len(message.entries) for message in sent if isinstance(message, EntriesReply)) == len(keys)


def test_the_deadline_of_a_request_runs_while_it_waits() -> None:
    overload = Overload()
    overload.step(writes(1, STEP))
    request = writes(5000, 1)[0]._replace(begin_by_ms=int((overload.now_s + 0.1) * 1000))  # type: ignore[call-arg]
    overload.step([*writes(10_000, STEP), request])
    sent = overload.step([], took_s=0.2)
    assert kinds([message for message in sent if message[0] == 5000]) == {"overloaded": 1}
    assert not any(isinstance(message, MutateReply) and message.id == 5000 for message in overload.answers)
