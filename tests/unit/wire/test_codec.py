"""The codec: every message comes out as it went in, and whatever is not exactly a message is refused."""

import types
import typing
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from damaged import others
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.errors import InvalidRequest, ProtocolError, ValueTooLarge
from crdtkv.wire.codec import (
    MAX_INT,
    MAX_ITEMS,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    Frame,
    check_outgoing,
    decode_frame,
    encode_frame,
)
from crdtkv.wire.frames import framed
from crdtkv.wire.messages import (
    NUMBERS,
    WIRE_VERSION,
    Beat,
    GetRequest,
    Hello,
    Message,
    MutateReply,
    MutateRequest,
    ReplicaEntry,
    ScanRequest,
    StatusRequest,
)

CLASSES: list[Any] = list(NUMBERS)
UNSIGNED = st.integers(0, MAX_INT)
ITEMS = st.recursive(
    st.none() | st.integers(-MAX_INT, MAX_INT) | st.text(max_size=8) | st.binary(max_size=8) | st.booleans(),
    lambda children: st.lists(children, max_size=3),
    max_leaves=6,
)
VALUES: dict[object, st.SearchStrategy[Any]] = {
    int: UNSIGNED,
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    list: st.lists(ITEMS, max_size=4),
    types.NoneType: st.none(),
    bool: st.booleans(),
}
PLAIN: dict[object, object] = {int: 7, str: "text", bytes: b"bytes", list: [], types.NoneType: None, bool: False}


def kinds_of(message_class: Any, field: str) -> list[type]:
    """Return the types that the annotation of a field allows."""
    hint = typing.get_type_hints(message_class)[field]
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return [typing.get_origin(member) or member for member in members]


def messages_of(message_class: Any) -> st.SearchStrategy[Message]:
    fields = [st.one_of([VALUES[kind] for kind in kinds_of(message_class, field)]) for field in message_class._fields]
    return st.builds(message_class, *fields)


def plain(message_class: Any) -> Any:
    """Return some message of the class."""
    return message_class(*(PLAIN[kinds_of(message_class, field)[0]] for field in message_class._fields))


ANY_MESSAGE = st.one_of([messages_of(message_class) for message_class in CLASSES])
every_class = pytest.mark.parametrize("message_class", CLASSES, ids=lambda message_class: message_class.__name__)


def test_every_message_of_the_protocol_has_a_number_of_its_own() -> None:
    assert set(typing.get_args(Message)) == set(CLASSES)
    assert len(set(NUMBERS.values())) == len(CLASSES)


@every_class
@settings(max_examples=25)
@given(data=st.data())
def test_a_message_comes_out_as_it_went_in(message_class: Any, data: st.DataObject) -> None:
    message = data.draw(messages_of(message_class))
    (received,) = decode_frame(encode_frame(1, [message])).messages
    assert received == message
    assert type(received) is message_class


@given(UNSIGNED, st.lists(ANY_MESSAGE, max_size=5))
def test_a_frame_keeps_its_epoch_and_the_order_of_its_messages(epoch: int, messages: list[Message]) -> None:
    frame = decode_frame(encode_frame(epoch, messages))
    assert frame == Frame(epoch, messages, 0)
    assert [type(message) for message in frame.messages] == [type(message) for message in messages]


@every_class
def test_a_field_of_another_type_is_refused(message_class: Any) -> None:
    message = plain(message_class)
    assert decode_frame(encode_frame(1, [message])).messages == [message]
    for field in message_class._fields:
        kinds = kinds_of(message_class, field)
        for value in others(PLAIN[kinds[0]]):
            if type(value) not in kinds:
                with pytest.raises(ProtocolError, match=message_class.__name__):
                    decode_frame(encode_frame(1, [message._replace(**{field: value})]))


@every_class
def test_a_negative_or_huge_number_is_refused(message_class: Any) -> None:
    message = plain(message_class)
    for field in message_class._fields:
        if int in kinds_of(message_class, field):
            assert decode_frame(encode_frame(1, [message._replace(**{field: MAX_INT})])).messages
            for number in (-1, -(2**63), MAX_INT + 1):
                with pytest.raises(ProtocolError):
                    decode_frame(encode_frame(1, [message._replace(**{field: number})]))


@every_class
def test_a_message_with_a_field_too_few_or_too_many_is_refused(message_class: Any) -> None:
    fields = tuple(plain(message_class))
    required = len(fields) - len(message_class._field_defaults)
    for wrong in (fields[: required - 1], (*fields, fields[-1]), ()):
        # A named tuple made past its constructor may have any length, like a message of a careless peer.
        with pytest.raises(ProtocolError, match=message_class.__name__):
            decode_frame(encode_frame(1, [tuple.__new__(message_class, wrong)]))


@every_class
def test_what_an_older_peer_leaves_out_at_the_end_has_its_default(message_class: Any) -> None:
    fields = tuple(plain(message_class))
    defaults = message_class._field_defaults
    for left_out in range(1, len(defaults) + 1):
        sent = tuple.__new__(message_class, fields[:-left_out])
        expected = message_class(*fields[:-left_out])
        assert decode_frame(encode_frame(1, [sent])).messages == [expected]
        assert expected[-left_out:] == tuple(defaults.values())[-left_out:]


# What goes out.


@given(ANY_MESSAGE)
def test_every_message_that_can_be_decoded_may_go_out(message: Message) -> None:
    check_outgoing(message)


UNSENDABLE = [2**64, -(2**64), Decimal(1), date(2024, 2, 29), object, {}, {1}, "caf\udce9", bytearray(b"x")]


@pytest.mark.parametrize("item", UNSENDABLE, ids=repr)
def test_what_nobody_could_decode_is_refused_before_it_goes_out(item: object) -> None:
    for arguments in ([item], [b"x", [item]]):
        with pytest.raises(InvalidRequest):
            check_outgoing(mutation(arguments))


def test_fields_of_other_types_and_numbers_out_of_range_do_not_go_out() -> None:
    scan = ScanRequest(1, 2, b"default\0register\0", b"", 500, "ONE", 1000)
    check_outgoing(scan)
    for wrong in ({"level": 7}, {"timeout_ms": 1.5}, {"prefix": "text"}, {"partition": -1}, {"limit": 2**64}):
        with pytest.raises(InvalidRequest, match="ScanRequest cannot be sent"):
            check_outgoing(scan._replace(**wrong))  # type: ignore[arg-type]


def test_lists_that_are_nested_as_deep_as_the_decoder_takes_go_out_and_deeper_ones_do_not() -> None:
    nested: list[object] = []
    depth = 1
    while True:
        message = mutation([nested])
        try:
            check_outgoing(message)
        except InvalidRequest:
            break
        assert decode_frame(encode_frame(1, [message])).messages == [message]
        nested, depth = [nested], depth + 1
    assert depth > 8, "as deep as maps are nested"


def test_a_message_may_not_take_more_than_a_frame_has_room_for() -> None:
    piece = b"x" * (512 * 1024)
    check_outgoing(mutation([piece] * 23))
    framed(encode_frame(1, [mutation([piece] * 23)]))
    with pytest.raises(ValueTooLarge) as caught:
        check_outgoing(mutation([piece] * 25))
    assert caught.value.limit_bytes == MAX_MESSAGE_BYTES


def mutation(arguments: list[object]) -> MutateRequest:
    return MutateRequest(1, b"default\0set\0k", "add", arguments, None, 0, "ONE", 1000)


class FromTheFuture(NamedTuple):
    """A message that this program does not know."""

    id: int
    news: list[object]


def test_messages_of_an_unknown_number_are_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer_peer:
        newer_peer.setitem(NUMBERS, FromTheFuture, 999)
        unknown: Any = FromTheFuture(1, ["x"])
        payload = encode_frame(4, [unknown, StatusRequest(1), unknown, MutateReply(2, 3, "eu-1.00", 4)])
    assert decode_frame(payload) == Frame(4, [StatusRequest(1), MutateReply(2, 3, "eu-1.00", 4)], 2)


def test_one_malformed_message_spoils_the_whole_frame() -> None:
    malformed = ReplicaEntry("seven", b"")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        decode_frame(encode_frame(1, [StatusRequest(1), malformed, StatusRequest(2)]))


@pytest.mark.parametrize("version", [0, 2, 2**40])
def test_another_wire_version_is_refused_with_both_numbers(version: int) -> None:
    payload = cbor.encode([version, 1, [[NUMBERS[Hello], *Hello("shop", "eu", "node", "eu-1")]]])
    with pytest.raises(ProtocolError, match=f"wire version {version} is not supported, only 1: upgrade"):
        decode_frame(payload)


@pytest.mark.parametrize("epoch", [-1, MAX_INT + 1, "1", None, 1.0, True, b"", []], ids=repr)
def test_an_epoch_that_is_no_number_is_refused(epoch: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_frame(cbor.encode([WIRE_VERSION, epoch, [[NUMBERS[StatusRequest], 1]]]))


@pytest.mark.parametrize(
    "item",
    [None, 0, 1, "x", b"x", [], [1], [1, 0], {}, [[]], [None, None, None], [1, 0, None], [1, 0, {}], [1, 0, [], []]],
    ids=repr,
)
def test_what_is_no_frame_is_refused(item: object) -> None:
    with pytest.raises(ProtocolError):
        decode_frame(cbor.encode(item))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_frame_or_refused(payload: bytes) -> None:
    try:
        frame = decode_frame(payload)
    except ProtocolError:
        return
    assert isinstance(frame, Frame)


@given(st.lists(ANY_MESSAGE, min_size=1, max_size=3))
def test_a_cut_frame_is_refused(messages: list[Message]) -> None:
    payload = encode_frame(1, messages)
    for end in range(len(payload)):
        with pytest.raises(ProtocolError):
            decode_frame(payload[:end])


@given(st.lists(ANY_MESSAGE, max_size=3), st.binary(min_size=1, max_size=3))
def test_a_frame_with_leftovers_is_refused(messages: list[Message], rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_frame(encode_frame(1, messages) + rest)


@given(st.lists(ANY_MESSAGE, min_size=1, max_size=3), st.data())
def test_a_frame_with_one_other_byte_is_refused_or_a_frame_of_checked_messages(
    messages: list[Message], data: st.DataObject
) -> None:
    payload = bytearray(encode_frame(1, messages))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        frame = decode_frame(bytes(payload))
    except ProtocolError:
        return
    for message in frame.messages:
        for field, value in zip(type(message)._fields, message, strict=True):
            assert type(value) in kinds_of(type(message), field)
            assert type(value) is not int or 0 <= value <= MAX_INT


def test_lists_inside_a_message_are_nested_at_most_16_deep_in_all() -> None:
    def deep(depth: int) -> bytes:
        item: object = b"key"
        for _ in range(depth):
            item = [item]
        return encode_frame(1, [GetRequest(1, [item], "ONE", 1000)])

    assert decode_frame(deep(4)).messages
    with pytest.raises(ProtocolError):
        decode_frame(deep(16))


def test_a_frame_of_too_many_messages_is_refused() -> None:
    messages: list[Message] = [Beat(1)] * MAX_MESSAGES
    assert len(decode_frame(encode_frame(0, messages)).messages) == MAX_MESSAGES
    with pytest.raises(ProtocolError, match=f"a frame of {MAX_MESSAGES + 1} messages, {MAX_MESSAGES} are allowed"):
        decode_frame(encode_frame(0, [*messages, Beat(1)]))


def test_a_frame_of_too_many_items_is_refused() -> None:
    keys: list[object] = [0] * (MAX_ITEMS - 20)
    assert decode_frame(encode_frame(0, [GetRequest(1, keys, "ONE", 1)])).messages == [GetRequest(1, keys, "ONE", 1)]
    with pytest.raises(ProtocolError, match=f"more than {MAX_ITEMS} items"):
        decode_frame(encode_frame(0, [GetRequest(1, keys + [0] * 20, "ONE", 1)]))
