"""Messages to bytes and back, trusting nothing that comes in.

A frame's payload is `[wire version, epoch, [[number, field…]…]]`; on the bus it is the same with one message and
epoch 0. What arrives is decoded with bounds (`crdtkv.cbor`), then every message's number, length and field types
are checked. A message of an unknown number is skipped and counted, because a newer peer may know more; a malformed one
is an error of the whole frame, because nothing else in it can be trusted.
"""

from typing import Any, NamedTuple, get_type_hints

from crdtkv import cbor
from crdtkv.errors import ProtocolError
from crdtkv.wire.messages import NUMBERS, WIRE_VERSION, Message

MAX_INT = 2**64 - 1


class Frame(NamedTuple):
    """A decoded frame; `skipped` counts messages of unknown numbers."""

    epoch: int
    messages: list[Message]
    skipped: int


def encode_frame(epoch: int, messages: list[Message]) -> bytes:
    """Encode messages for a link."""
    return cbor.encode([WIRE_VERSION, epoch, [(NUMBERS[type(message)], *message) for message in messages]])


def decode_frame(payload: bytes) -> Frame:
    """Decode what `encode_frame` made.

    Raises:
        ProtocolError: malformed, or of a wire version this program does not speak.
    """
    match cbor.decode(payload):
        case [version, int() as epoch, list() as items] if version == WIRE_VERSION and 0 <= epoch <= MAX_INT:
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
            raise ProtocolError(
                f"wire version {version} is not spoken here, only {WIRE_VERSION}: upgrade the older side"
            )
    raise ProtocolError("a frame is [version, epoch, messages]")


def _message(item: object) -> Message | None:
    if type(item) is not list or not item or type(item[0]) is not int:
        raise ProtocolError("a message is [number, field…]")
    spec = _SPECS.get(item[0])
    if spec is None:
        return None
    message_class, field_types = spec
    if len(item) != len(field_types) + 1:
        raise ProtocolError(f"{message_class.__name__} has {len(field_types)} fields, not {len(item) - 1}")
    del item[0]
    for value, allowed in zip(item, field_types, strict=True):
        kind = type(value)
        if kind not in allowed or (kind is int and not 0 <= value <= MAX_INT):
            raise ProtocolError(f"{message_class.__name__}: a field is of type {kind.__name__} or out of range")
    return message_class._make(item)  # type: ignore[no-any-return]


def _spec(message_class: Any) -> tuple[Any, tuple[frozenset[type], ...]]:
    """Read the allowed types of each field from the class: the annotations are the only description."""
    hints = get_type_hints(message_class)
    return message_class, tuple(_plain_types(hints[name]) for name in message_class._fields)


def _plain_types(hint: Any) -> frozenset[type]:
    members = getattr(hint, "__args__", ()) if getattr(hint, "__origin__", None) is not list else ()
    return frozenset(getattr(member, "__origin__", member) for member in members or (hint,))


_SPECS = {number: _spec(message_class) for message_class, number in NUMBERS.items()}
