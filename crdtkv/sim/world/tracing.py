"""`Trace`: the hash over everything that is sent and noted, and the same for people to read."""

import hashlib
from collections.abc import Callable

from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity
from crdtkv.sim.world.expanded import expanded
from crdtkv.sim.world.scheduler import Scheduler
from crdtkv.wire.codec import decode_frame
from crdtkv.wire.messages import Message


class Trace:
    """The trace of one run. `write_to` receives each line of it, if it is set."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._hash = hashlib.sha256()
        self.messages = 0
        self.write_to: Callable[[str], None] | None = None

    @property
    def digest(self) -> str:
        """The hash so far: equal plans must give equal digests."""
        return self._hash.hexdigest()

    def sent(self, sender: str, receiver: str, payload: bytes) -> None:
        """Add a payload that is sent."""
        self.messages += 1
        self._hash.update(b"%.6f %b %b " % (self._scheduler.now, sender.encode(), receiver.encode()))
        self._hash.update(payload)
        if self.write_to is not None:
            self.write_to(f"{self._scheduler.now:9.4f} {sender} > {receiver}: {readable(payload)}")

    def note(self, text: str) -> None:
        """Add an event, in words."""
        self._hash.update(text.encode())
        if self.write_to is not None:
            self.write_to(f"{self._scheduler.now:9.4f} * {text}")


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
