"""What clients and other nodes send malformed is refused or left out; it never stops the node, nor keeps it busy."""

from typing import Any

import pytest
from one_node import CLIENT, OneNode, to

from crdtkv import cbor
from crdtkv.crdt.entry import BUNDLE, may_expire
from crdtkv.ids import actor_name, identity_of
from crdtkv.node.kernel.events import StreamMessage
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import (
    ErrorReply,
    FindOperation,
    GeoBatch,
    GetRequest,
    MutateReply,
    MutateRequest,
    OperationFound,
    Refusal,
    WriteReplica,
)

COUNTER, BOARD, MAP, REGISTER = (identity_of("default", kind, "k") for kind in ("counter", "board", "map", "register"))
UNKNOWN = identity_of("default", "hologram", "k")
OPERATION = b"o" * 16
A, B = actor_name("us-1", 1), actor_name("us-2", 1)


@pytest.fixture
def node() -> OneNode:
    return OneNode()


def asked(key: bytes, operation: str, *arguments: object, **fields: Any) -> MutateRequest:
    return MutateRequest(7, key, operation, list(arguments), None, 0, "ONE", 5000)._replace(**fields)


def answered(node: OneNode, request: MutateRequest) -> object:
    """Return the answer of a node whose disk syncs at once."""
    sent = node.ask(request)
    node.sync()
    return sent[CLIENT][-1]


def refusal(node: OneNode, request: MutateRequest) -> str:
    answer = answered(node, request)
    assert isinstance(answer, ErrorReply)
    return answer.code


@pytest.mark.parametrize("operation_id", [b"", b"o", b"o" * 15, b"o" * 17], ids=len)
@pytest.mark.parametrize("tried", [[], ["eu-2"]], ids=repr)
def test_an_operation_without_a_whole_id_is_refused(node: OneNode, operation_id: bytes, tried: list[object]) -> None:
    assert isinstance(answered(node, asked(COUNTER, "increment", 1, operation_id=OPERATION)), MutateReply)
    request = asked(COUNTER, "increment", 1, operation_id=operation_id, tried=tried)
    assert refusal(node, request) == "invalid_request"


@pytest.mark.parametrize("operation_id", [b"", b"o", b"o" * 15, b"o" * 17], ids=len)
def test_nothing_is_known_of_an_operation_whose_id_is_not_whole(node: OneNode, operation_id: bytes) -> None:
    answered(node, asked(COUNTER, "increment", 1, operation_id=OPERATION))
    sent = node.from_node("eu-2", FindOperation(3, COUNTER, operation_id))
    assert to(sent, OperationFound)["eu-2"] == OperationFound(3, b"", None)


@pytest.mark.parametrize("path", [[], 0, None, ["counter"]], ids=repr)
@pytest.mark.parametrize("size", [1, 400_000])
def test_an_update_of_what_is_no_path_is_refused(node: OneNode, path: object, size: int) -> None:
    parts = [[], b"x" * size, b"y" * size]
    assert refusal(node, asked(MAP, "update", path, *parts)) in ("invalid_request", "value_too_large")
    assert refusal(node, asked(REGISTER, "update", 0, *parts)) in ("invalid_request", "value_too_large")


@pytest.mark.parametrize(
    ("key", "done", "again"),
    [
        (COUNTER, ("increment", [1]), ("update", [5, "increment"])),
        (COUNTER, ("increment", [1]), ("update", [[], "increment"])),
        (BOARD, ("increment", [b"\x01", 1]), ("increment", [])),
        (BOARD, ("increment", [b"\x01", 1]), ("increment", [[]])),
        (COUNTER, ("increment", [1]), ("update", [["counter", b"n"], "increment", 1])),
    ],
    ids=str,
)  # fmt: skip
def test_a_retry_with_other_arguments_is_answered_with_the_write_that_was_made(
    node: OneNode, key: bytes, done: tuple[str, list[object]], again: tuple[str, list[object]]
) -> None:
    (operation, arguments), (other, others) = done, again
    first = answered(node, asked(key, operation, *arguments, operation_id=OPERATION))
    assert isinstance(first, MutateReply)
    second = answered(node, asked(key, other, *others, operation_id=OPERATION, tried=[]))
    assert isinstance(second, MutateReply)
    assert (second.actor, second.counter) == (first.actor, first.counter)


@pytest.mark.parametrize("reset", [0.0, -0.0, False, True, 1.0, -1], ids=repr)
def test_a_counter_that_was_reset_by_what_is_no_counter_is_refused(node: OneNode, reset: object) -> None:
    slot = [A, 1, 5, reset, 0]
    counter = cbor.encode([1, "counter", slot, [A, 1], [], None])
    board = cbor.encode([1, "board", [b"\x01", [[], slot]], [A, 1], [], None])
    for key, entry in ((COUNTER, counter), (BOARD, board)):
        assert to(node.from_node("eu-2", WriteReplica(9, key, entry, 0)), Refusal)["eu-2"].id == 9
        node.step(StreamMessage("us", 1, encode_frame(0, [GeoBatch("us-1", A, [[1, key, entry]])])))
        assert to(node.ask(GetRequest(1, [key], "ONE", 5000)), ErrorReply) == {}


def test_a_bundle_in_a_bundle_is_refused_before_it_is_opened(node: OneNode) -> None:
    inner = cbor.encode([1, "hologram", None, [A, 1], [], None])
    for _ in range(2000):
        inner = cbor.encode([BUNDLE, "hologram", [inner, b"\x80"]])
    assert to(node.from_node("eu-2", WriteReplica(9, UNKNOWN, inner, 0)), Refusal)["eu-2"].id == 9


def test_large_concurrent_entries_of_an_unknown_type_are_both_kept(node: OneNode) -> None:
    for number, actor in ((1, A), (2, B)):
        entry = cbor.encode([1, "hologram", [bytes(2000)], [actor, 1], [], None])
        node.step(StreamMessage("us", number, encode_frame(0, [GeoBatch(actor[:4], actor, [[1, UNKNOWN, entry]])])))
    held = node.core.parts.replica.read(node.core.parts.keys.from_peer(UNKNOWN).storage_key)[0]
    assert held is not None
    assert len(cbor.decode(held)[2]) == 2


@pytest.mark.parametrize("length", range(9))
def test_what_is_too_short_for_an_entry_may_expire(length: int) -> None:
    assert may_expire((b"\x86" + bytes(length) + b"\xf6")[-length:] if length else b"")
