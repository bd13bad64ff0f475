"""Messages to bytes and back, trusting nothing that comes in.

A frame's payload is `[wire version, epoch, [[number, field…]…]]`; on the bus it is the same with one message and
epoch 0. What arrives is decoded with bounds (`crdtkv.cbor`), then every message's number, length and field types
are checked. A message of an unknown number is skipped and counted, because a newer peer may know more; a malformed one
is an error of the whole frame, because nothing else in it can be trusted.
"""

from itertools import product
from typing import Any, NamedTuple, get_type_hints

from crdtkv import cbor
from crdtkv.errors import ProtocolError
from crdtkv.wire.messages import NUMBERS, WIRE_VERSION, Message

MAX_INT = 2**64 - 1
#: Items of a frame, which take 10 MiB and 20 ms at most; and messages, each of which may be a request.
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
    """Decode what `encode_frame` made.

    Raises:
        ProtocolError: malformed, of too many items or messages, or of a wire version this program does not speak.
    """
    match cbor.decode(payload, MAX_ITEMS):
        case [1, int() as epoch, list() as items] if type(epoch) is int and 0 <= epoch <= MAX_INT:
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
            raise ProtocolError(
                f"wire version {version} is not spoken here, only {WIRE_VERSION}: upgrade the older side"
            )
    raise ProtocolError("a frame is [version, epoch, messages]")


class _Spec(NamedTuple):
    """What a message of one number looks like. `signatures` are the allowed combinations of field types."""

    message_class: Any
    signatures: frozenset[tuple[type, ...]]
    integers: tuple[int, ...]


def _message(item: object) -> Message | None:
    if type(item) is not list or not item or type(item[0]) is not int:
        raise ProtocolError("a message is [number, field…]")
    spec = _SPECS.get(item[0])
    if spec is None:
        return None
    del item[0]
    signature = tuple(map(type, item))
    if signature not in spec.signatures:
        names = ", ".join(kind.__name__ for kind in signature)
        raise ProtocolError(f"{spec.message_class.__name__} does not have the fields ({names})")
    for index in spec.integers:
        if type(item[index]) is int and not 0 <= item[index] <= MAX_INT:
            raise ProtocolError(f"{spec.message_class.__name__}: a number is out of range")
    return spec.message_class._make(item)  # type: ignore[no-any-return]


def _spec(message_class: Any) -> _Spec:
    """Read the allowed fields from the class: its annotations are the only description."""
    hints = get_type_hints(message_class)
    allowed = [_plain_types(hints[name]) for name in message_class._fields]
    integers = tuple(index for index, types in enumerate(allowed) if int in types)
    return _Spec(message_class, frozenset(product(*allowed)), integers)


def _plain_types(hint: Any) -> tuple[type, ...]:
    members = getattr(hint, "__args__", ()) if getattr(hint, "__origin__", None) is not list else ()
    return tuple(getattr(member, "__origin__", member) for member in members or (hint,))


_SPECS = {number: _spec(message_class) for message_class, number in NUMBERS.items()}
