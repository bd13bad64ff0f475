"""`SessionRead`: repetitions of a read whose answer is too old: at a quorum, then again, until the deadline."""

import pytest
from stage import KEY, Stage, entry_of

from crdtkv import LINEARIZABLE, LOCAL_ALL, ONE, ConsistencyLevel, Quorum, ReadTimeout, StaleReplica
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.seen import Seen
from crdtkv.causality.version_vector import VersionVector
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.sessions import SessionRead
from crdtkv.crdt.register import Register
from crdtkv.wire.messages import EntriesReply, GetRequest

ACTOR = "eu-1.00000000000000aa"


def context(counter: int) -> CausalContext:
    return CausalContext(VersionVector({ACTOR: counter}))


def entry(counter: int) -> bytes:
    return entry_of(Register(), context(counter))


class Reading:
    """One read of a session that has written the second dot of `ACTOR`, with the levels of its requests."""

    def __init__(self, level: ConsistencyLevel, timeout_s: float = 1.0) -> None:
        self.stage = Stage()
        seen = Seen()
        seen.written(KEY, Dot(ACTOR, 2), 0)
        self.seen = seen
        self.call = SessionRead(KEY, level, timeout_s, Observations(seen))
        self.levels: list[str] = []
        self.timeouts_ms: list[int] = []
        self.stage.begin(self.call)

    def answer(self, answer: bytes | Exception | None) -> None:
        node, request = self.stage.take_any(GetRequest)
        self.levels.append(request.level)
        self.timeouts_ms.append(request.timeout_ms)
        if isinstance(answer, Exception):
            self.stage.refuse(node, request, answer)  # type: ignore[arg-type]
        else:
            self.stage.answer(node, EntriesReply(request.id, [answer]))

    @property
    def result(self) -> object:
        return self.stage.ended[self.call]


def test_an_answer_that_is_new_enough_is_returned_at_the_requested_level() -> None:
    reading = Reading(ONE)
    reading.answer(entry(2))
    assert reading.result == entry(2)
    assert reading.levels == ["ONE"]


@pytest.mark.parametrize("stale", [None, entry(1)], ids=["nothing", "an older entry"])
def test_a_read_with_an_old_answer_is_repeated_at_a_quorum(stale: bytes | None) -> None:
    reading = Reading(ONE)
    reading.answer(stale)
    reading.answer(entry(3))
    assert reading.result == entry(3)
    assert reading.levels == ["ONE", "LOCAL_QUORUM"]
    assert not reading.seen.is_in(KEY, context(2)), "later reads must show the context that was read"


def test_without_a_quorum_the_read_is_repeated_at_the_requested_level() -> None:
    reading = Reading(ONE)
    for answer in (entry(1), ReadTimeout(1, 2), entry(2)):
        reading.answer(answer)
    assert reading.result == entry(2)
    assert reading.levels == ["ONE", "LOCAL_QUORUM", "ONE"]


@pytest.mark.parametrize("level", [LINEARIZABLE, LOCAL_ALL, Quorum(r=3, w=1), Quorum(r=2, w=2)], ids=repr)
def test_a_read_never_asks_fewer_replicas_than_its_level(level: ConsistencyLevel) -> None:
    """With R=3 and W=1 a read at two replicas may miss an acknowledged write."""
    reading = Reading(level)
    reading.answer(entry(1))
    reading.answer(entry(2))
    assert reading.result == entry(2)
    assert reading.levels == [level.to_wire()] * 2


def test_a_repeated_read_keeps_its_deadline() -> None:
    reading = Reading(ONE, timeout_s=3.0)
    for answer in (entry(1), ReadTimeout(1, 2)):
        reading.stage.now += 0.2
        reading.answer(answer)
    reading.stage.now += 0.2
    reading.answer(entry(2))
    assert reading.result == entry(2)
    assert reading.timeouts_ms == pytest.approx([3000, 2800, 2600], abs=1)


def test_a_write_that_does_not_arrive_in_time_is_an_error_and_no_old_value() -> None:
    reading = Reading(ONE, timeout_s=0.3)
    while reading.call not in reading.stage.ended:
        if reading.stage.sent:
            reading.answer(entry(1))
        reading.stage.advance(0.05)
    assert isinstance(reading.result, StaleReplica)
    assert "wait, or read in the data center where it was written" in str(reading.result)
    assert len(reading.levels) > 2
