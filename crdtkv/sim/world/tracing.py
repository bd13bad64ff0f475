"""Messages as people read them in a trace."""

from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity
from crdtkv.sim.world.expanded import expanded
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import Message


def readable(payload: bytes) -> str:
    """Show a frame: its epoch unless it is 0, and its messages."""
    frame = decode_frame(payload)
    shown = ", ".join(_message(message) for message in expanded(frame.messages))
    return f"[{frame.epoch}] {shown}" if frame.epoch else shown


def _message(message: Message) -> str:
    fields = zip(message._fields, message, strict=True)
    return f"{type(message).__name__}(" + ", ".join(f"{name}={_value(value)}" for name, value in fields) + ")"


def _value(value: object) -> str:
    match value:
        case bytes():
            return _bytes(value)
        case list() | tuple():
            return "[" + ", ".join(_value(part) for part in value) + "]"
    return repr(value)


def _bytes(data: bytes) -> str:
    """Show an entry or an identity as what it is."""
    try:
        return repr(Entry.from_bytes(data))
    except Exception:  # noqa: S110 - whatever it is, it is no entry
        pass
    try:
        return repr(parse_identity(data))
    except Exception:
        return repr(data)
