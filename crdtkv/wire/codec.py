"""Encodes and decodes messages; it trusts no incoming bytes.

A frame's payload is `[wire version, epoch, [[number, field…]…]]`; on the bus it is the same with one message and epoch
0. Incoming bytes are decoded with bounds (`crdtkv.cbor`), then every message's number, length and field types are
checked. A message of an unknown number is skipped and counted, because a newer peer may have more; a malformed one is
an error of the whole frame, because the rest of it cannot be trusted. An older peer may leave out fields at the end
that have defaults.

`check_outgoing` makes the same checks before a message is sent, so that a message that no peer could decode fails
alone.
"""

from itertools import product
from typing import Any, NamedTuple, get_type_hints

from crdtkv import cbor
from crdtkv.errors import InvalidRequest, ProtocolError, ValueTooLarge
from crdtkv.wire.messages import NUMBERS, WIRE_VERSION, Message, MutateRequest

MAX_INT = 2**64 - 1
#: The largest message; a frame, which holds at least one, may have 16 MiB.
MAX_MESSAGE_BYTES = 12 * 1024 * 1024
#: The deepest nesting of lists in a field; frame, messages and message are three more levels.
_MAX_FIELD_DEPTH = cbor.MAX_DEPTH - 3
#: The most items of a frame, which take at most 10 MiB and 20 ms to decode; and the most messages.
MAX_ITEMS = 128 * 1024
MAX_MESSAGES = 16_384


class Frame(NamedTuple):
    """A decoded frame; `skipped` counts messages of unknown numbers."""

    epoch: int
    messages: list[Message]
    skipped: int


def encode_frame(epoch: int, messages: list[Message]) -> bytes:
    """Encode messages for a link."""
    return cbor.encode([WIRE_VERSION, epoch, [(NUMBERS[type(message)], *message) for message in messages]])


def decode_frame(payload: bytes) -> Frame:
    """Decode the result of `encode_frame`.

    Raises:
        ProtocolError: malformed, of too many items or messages, or of an unsupported wire version.
    """
    match cbor.decode(payload, MAX_ITEMS):
        case [1, epoch, list() as items] if type(epoch) is int and 0 <= epoch <= MAX_INT:
            if len(items) > MAX_MESSAGES:
                raise ProtocolError(f"a frame of {len(items)} messages, {MAX_MESSAGES} are allowed")
            messages: list[Message] = []
            skipped = 0
            for item in items:
                message = _message(item)
                if message is None:
                    skipped += 1
                else:
                    messages.append(message)
            return Frame(epoch, messages, skipped)
        case [int() as version, *_] if version != WIRE_VERSION:
            raise ProtocolError(f"wire version {version} is not supported, only {WIRE_VERSION}: upgrade the older side")
    raise ProtocolError("a frame is [version, epoch, messages]")


def check_outgoing(message: Message) -> None:
    """Check that every peer can decode a message. This does not encode it, so it takes little time.

    Raises:
        InvalidRequest: a value in it has no form on the wire.
        ValueTooLarge: it is larger than a message may be.
    """
    if type(message) is MutateRequest:
        # The most frequent request: only these of its fields hold values of the caller.
        size = 0 if message.context is None else _size_of(message.context, 0)
        for argument in message.arguments:
            size += len(argument) if type(argument) is bytes else _size_of(argument, 1)
    else:
        size = _size_of_fields(message)
    if size > MAX_MESSAGE_BYTES:
        raise ValueTooLarge(size, MAX_MESSAGE_BYTES)


def _size_of_fields(message: Message) -> int:
    spec = _SPEC_OF[type(message)]
    fields: tuple[object, ...] = message
    if tuple(map(type, fields)) not in spec.signatures:
        names = ", ".join([type(item).__name__ for item in fields])
        raise InvalidRequest(f"{spec.message_class.__name__} cannot be sent with the fields ({names})")
    size = 0
    for item in fields:
        if type(item) is int and not 0 <= item <= MAX_INT:
            raise InvalidRequest(f"{spec.message_class.__name__} cannot be sent: a number is out of range")
        size += _size_of(item, 0)
    return size


def _size_of(item: object, depth: int) -> int:
    """Return the approximate size of an item of a field in bytes, rarely more than its encoding."""
    kind = type(item)
    if kind is bytes:
        return len(item) + 1  # type: ignore[arg-type]
    if kind is str:
        try:
            return len(item.encode()) + 1  # type: ignore[attr-defined]
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"text must be valid Unicode to be sent as UTF-8: {error.reason}") from None
    if kind is list and depth < _MAX_FIELD_DEPTH:
        items: list[object] = item  # type: ignore[assignment]
        return sum([_size_of(inner, depth + 1) for inner in items]) + 1
    if kind is int and -MAX_INT <= item <= MAX_INT:  # type: ignore[operator]
        return 1
    if item is None or kind is float or kind is bool:
        return 1
    raise InvalidRequest(f"this cannot be sent: {item!r:.80}")


class _Spec(NamedTuple):
    """The form of the messages of one number.

    `signatures` are the allowed combinations of field types, `integers` the positions of integers, `defaults` the
    values of the fields that may be left out at the end.
    """

    message_class: Any
    signatures: frozenset[tuple[type, ...]]
    integers: tuple[int, ...]
    width: int
    defaults: tuple[object, ...]


def _message(item: object) -> Message | None:
    if type(item) is not list or not item or type(item[0]) is not int:
        raise ProtocolError("a message is [number, field…]")
    spec = _SPECS.get(item[0])
    if spec is None:
        return None
    del item[0]
    left_out = spec.width - len(item)
    if 0 < left_out <= len(spec.defaults):
        item += spec.defaults[-left_out:]
    signature = tuple(map(type, item))
    if signature not in spec.signatures:
        names = ", ".join(kind.__name__ for kind in signature)
        raise ProtocolError(f"{spec.message_class.__name__} does not have the fields ({names})")
    for index in spec.integers:
        if type(item[index]) is int and not 0 <= item[index] <= MAX_INT:
            raise ProtocolError(f"{spec.message_class.__name__}: a number is out of range")
    return spec.message_class._make(item)  # type: ignore[no-any-return]


def _spec(message_class: Any) -> _Spec:
    """Read the allowed fields from the annotations of the class, which are their only description."""
    hints = get_type_hints(message_class)
    allowed = [_plain_types(hints[name]) for name in message_class._fields]
    integers = tuple(index for index, types in enumerate(allowed) if int in types)
    defaults = tuple(message_class._field_defaults.values())
    return _Spec(message_class, frozenset(product(*allowed)), integers, len(allowed), defaults)


def _plain_types(hint: Any) -> tuple[type, ...]:
    members = getattr(hint, "__args__", ()) if getattr(hint, "__origin__", None) is not list else ()
    return tuple(getattr(member, "__origin__", member) for member in members or (hint,))


_SPECS = {number: _spec(message_class) for message_class, number in NUMBERS.items()}
_SPEC_OF = {message_class: _SPECS[number] for message_class, number in NUMBERS.items()}
