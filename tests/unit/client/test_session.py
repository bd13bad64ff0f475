"""What a session asks when an answer lacks something: a quorum, then again, until time is up."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from crdtkv import LINEARIZABLE, LOCAL_ALL, LOCAL_QUORUM, ONE, ConsistencyLevel, Quorum, ReadTimeout, StaleReplica
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.seen import Seen
from crdtkv.causality.version_vector import VersionVector
from crdtkv.client.caller import Caller
from crdtkv.client.session import SessionCaller
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register
from crdtkv.ids import identity_of

KEY = identity_of("default", "register", "k")
ACTOR = "eu-1.00000000000000aa"


def entry(counter: int) -> bytes:
    return Entry(Register(), CausalContext(VersionVector({ACTOR: counter}))).to_bytes()


class Script:
    """Answers in the place of a data center."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bytes | Exception | None) -> None:
        self.answers = list(answers)
        self.levels: list[ConsistencyLevel] = []
        self.timeouts: list[float | None] = []
        self.spends_s = 0.0
        seen = Seen()
        seen.written(KEY, Dot(ACTOR, 2), 0)
        script = self

        async def answered(self: Caller, identity: bytes, level: ConsistencyLevel, timeout: float | None) -> Any:
            script.levels.append(level)
            script.timeouts.append(timeout)
            await asyncio.sleep(script.spends_s)
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(Caller, "entry", answered)
        router = SimpleNamespace(views=[SimpleNamespace(replication_factor=3)])
        self.caller = SessionCaller(Caller(router, None, 0.2), seen)  # type: ignore[arg-type]
        self.seen = seen


async def test_what_is_new_enough_is_taken_at_the_level_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, entry(2))
    assert await script.caller.entry(KEY, ONE, None) == entry(2)
    assert script.levels == [ONE]


@pytest.mark.parametrize("stale", [None, entry(1)], ids=["nothing", "an older entry"])
async def test_what_one_replica_lacks_a_quorum_is_asked_for(monkeypatch: pytest.MonkeyPatch, stale: bytes) -> None:
    script = Script(monkeypatch, stale, entry(3))
    assert await script.caller.entry(KEY, ONE, None) == entry(3)
    assert script.levels == [ONE, LOCAL_QUORUM]
    assert not script.seen.is_in(KEY, CausalContext(VersionVector({ACTOR: 2}))), "what was read must be read again"


async def test_without_a_quorum_the_level_that_was_asked_for_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, entry(1), ReadTimeout(1, 2), entry(2))
    assert await script.caller.entry(KEY, ONE, None) == entry(2)
    assert script.levels == [ONE, LOCAL_QUORUM, ONE]


@pytest.mark.parametrize("level", [LINEARIZABLE, LOCAL_ALL, Quorum(r=3, w=1), Quorum(r=2, w=2)], ids=repr)
async def test_a_read_never_asks_fewer_replicas_than_its_level(
    monkeypatch: pytest.MonkeyPatch, level: ConsistencyLevel
) -> None:
    """With R=3 and W=1 a read at two replicas may miss an acknowledged write."""
    script = Script(monkeypatch, entry(1), entry(2))
    assert await script.caller.entry(KEY, level, None) == entry(2)
    assert script.levels == [level, level]


async def test_a_read_that_asks_twice_has_its_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, entry(1), ReadTimeout(1, 2), entry(2))
    script.spends_s = 0.2
    assert await script.caller.entry(KEY, ONE, 3.0) == entry(2)
    assert script.timeouts[2] is not None
    assert script.timeouts[2] <= 3.0 - 2 * 0.2


async def test_what_does_not_come_in_time_is_an_error_and_no_old_value(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, entry(1))
    with pytest.raises(StaleReplica, match="wait, or read where it was written"):
        await script.caller.entry(KEY, ONE, 0.1)
