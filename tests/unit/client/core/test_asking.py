"""Requests to every node: a node that stores nothing has answered, a node without an answer has not."""

from stage import KEY, Stage

from crdtkv.client.core.asking import AskEach
from crdtkv.errors import InvalidKey
from crdtkv.wire.messages import EntriesReply, InspectRequest


def asked(stage: Stage) -> tuple[AskEach, dict[str, InspectRequest]]:
    call = AskEach(lambda number: InspectRequest(number, KEY), 2.0)
    stage.begin(call)
    requests = {node: messages[-1] for node, messages in stage.sent.items()}
    assert all(isinstance(request, InspectRequest) for request in requests.values())
    return call, requests  # type: ignore[return-value]


def test_a_node_that_stores_nothing_has_answered() -> None:
    stage = Stage()
    call, requests = asked(stage)
    stage.answer("eu-1", EntriesReply(requests["eu-1"].id, [b"entry"]))
    stage.answer("eu-2", EntriesReply(requests["eu-2"].id, [None]))
    assert call not in stage.ended
    stage.down("eu-3")
    assert stage.ended[call] == {"eu-1": b"entry", "eu-2": None}


def test_a_node_without_an_answer_is_left_out_after_the_timeout() -> None:
    stage = Stage()
    call, requests = asked(stage)
    stage.answer("eu-2", EntriesReply(requests["eu-2"].id, [None]))
    stage.advance(2.5)
    assert stage.ended[call] == {"eu-2": None}


def test_a_refusal_is_the_error_of_the_call() -> None:
    stage = Stage()
    call, requests = asked(stage)
    stage.refuse("eu-1", requests["eu-1"], InvalidKey("no key"))
    for node in ("eu-2", "eu-3"):
        stage.answer(node, EntriesReply(requests[node].id, [None]))
    assert isinstance(stage.ended[call], InvalidKey)
