"""`Write` and its attempts: one operation id, one data center, and no two attempts that could both begin."""

import pytest
from stage import KEY, Stage, topology

from crdtkv import LINEARIZABLE, LOCAL_QUORUM, InvalidRequest, NoNodeReachable, Overloaded, Unavailable, WriteTimeout
from crdtkv.client.core.events import Closed
from crdtkv.client.core.observations import Observations
from crdtkv.client.core.reading import Read
from crdtkv.client.core.writing import BEGIN_WITHIN_S, Mutation, Write
from crdtkv.wire.messages import GetRequest, MutateReply, MutateRequest

REPLY = MutateReply(0, 1, "eu-1.00", 5)


def put(timeout_s: float = 5.0, value: object = b"v") -> Write:
    return Write(KEY, Mutation("put", [value]), LOCAL_QUORUM, timeout_s, Observations())


def test_an_attempt_that_may_have_begun_is_repeated_with_the_same_id_when_it_cannot_begin_any_more() -> None:
    stage, write = Stage(), put()
    stage.begin(write)
    first, sent = stage.take_any(MutateRequest)
    sent_at = stage.now
    stage.down(first)
    stage.advance(BEGIN_WITHIN_S - 0.01)
    assert not stage.sent, "the node may still begin the first attempt"
    stage.advance(0.1)
    second, again = stage.take_any(MutateRequest)
    assert second != first
    assert again.operation_id == sent.operation_id
    assert again.tried == [first]
    assert sent.begin_by_ms == int((sent_at + BEGIN_WITHIN_S) * 1000)
    stage.answer(second, REPLY._replace(id=again.id))
    assert stage.ended[write] == REPLY._replace(id=again.id)


def test_an_attempt_that_was_refused_is_not_named_as_tried() -> None:
    stage, write = Stage(), put()
    stage.begin(write)
    node, sent = stage.take_any(MutateRequest)
    stage.refuse(node, sent, Overloaded("full"))
    stage.advance(0.1)
    other, again = stage.take_any(MutateRequest)
    assert other != node, "after a refusal the next replica is tried"
    assert again.tried is None
    assert again.operation_id == sent.operation_id


def test_unavailable_is_final_when_all_replicas_return_it() -> None:
    stage, write = Stage(), put()
    stage.begin(write)
    asked = []
    while stage.sent:
        node, sent = stage.take_any(MutateRequest)
        asked.append(node)
        stage.refuse(node, sent, Unavailable(2, 1))
    assert sorted(asked) == ["eu-1", "eu-2", "eu-3"]
    assert isinstance(stage.ended[write], Unavailable)


def test_a_write_that_may_have_been_applied_is_never_unavailable() -> None:
    stage, write = Stage(), put(timeout_s=3.0)
    stage.begin(write)
    node, _ = stage.take_any(MutateRequest)
    stage.down(node)
    while write not in stage.ended:
        stage.advance(0.05)
        if stage.sent:
            other, sent = stage.take_any(MutateRequest)
            stage.refuse(other, sent, Unavailable(2, 1))
    assert isinstance(stage.ended[write], WriteTimeout)


def test_a_write_of_unknown_outcome_does_not_move_to_another_data_center() -> None:
    stage, write = Stage(topology("eu"), topology("us")), put(timeout_s=3.0)
    stage.begin(write)
    stage.take_any(MutateRequest)
    for node in ("eu-1", "eu-2", "eu-3"):
        stage.down(node)
    stage.advance(5.0)
    assert not stage.sent
    assert isinstance(stage.ended[write], WriteTimeout)


def test_a_write_that_was_not_sent_moves() -> None:
    stage, write = Stage(topology("eu"), topology("us")), put()
    stage.begin(Read(KEY, LOCAL_QUORUM, 1.0))
    stage.take_any(GetRequest)
    for node in ("eu-1", "eu-2", "eu-3"):
        stage.down(node)
    stage.sent.clear()
    stage.begin(write)
    node, sent = stage.take_any(MutateRequest)
    assert node.startswith("us")
    assert stage.moves == [("eu", "us")]
    stage.answer(node, REPLY._replace(id=sent.id))
    assert stage.ended[write].id == sent.id


def test_a_linearizable_write_stays_in_its_data_center() -> None:
    stage = Stage(topology("eu"), topology("us"))
    for node in ("eu-1", "eu-2", "eu-3"):
        stage.down(node)
    write = Write(KEY, Mutation("put", [b"v"]), LINEARIZABLE, 1.0, Observations())
    stage.begin(write)
    stage.advance(2.0)
    assert not stage.sent
    assert isinstance(stage.ended[write], NoNodeReachable)
    assert not stage.ended[write].maybe_applied


def test_a_write_to_a_silent_node_is_retried_when_the_node_would_not_begin_it_any_more() -> None:
    stage, write = Stage(), put()
    stage.begin(write)
    first, _ = stage.take_any(MutateRequest)
    stage.advance(BEGIN_WITHIN_S - 0.05)
    assert not stage.sent
    stage.advance(0.5)
    second, again = stage.take_any(MutateRequest)
    assert second != first
    assert again.tried == [first]


def test_a_write_that_cannot_be_decoded_fails_alone() -> None:
    stage, good, wrong = Stage(), put(), put(value=object())
    stage.begin(wrong, good)
    assert isinstance(stage.ended[wrong], InvalidRequest)
    node, sent = stage.take_any(MutateRequest)
    stage.answer(node, REPLY._replace(id=sent.id))
    assert stage.ended[good].id == sent.id


def test_a_canceled_write_is_not_tried_again() -> None:
    stage, write = Stage(), put()
    stage.begin(write)
    node, _ = stage.take_any(MutateRequest)
    stage.cancel(write)
    stage.down(node)
    stage.advance(10.0)
    assert not stage.sent
    assert write not in stage.ended


@pytest.mark.parametrize("is_sent", [True, False], ids=["under way", "not sent"])
def test_a_closed_client_says_whether_a_write_may_have_been_applied(is_sent: bool) -> None:
    stage, write = Stage(), put()
    if not is_sent:
        for node in ("eu-1", "eu-2", "eu-3"):
            stage.down(node)
    stage.begin(write)
    stage.step(Closed())
    stage.advance(2.0)
    assert stage.ended[write].maybe_applied == is_sent
