"""`Change`: one key as a watch tells it, and `CAUGHT_UP`, the mark behind the initial state."""

from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from crdtkv.client.codecs import Codec
from crdtkv.client.entry import ReadContext, ValueEntry
from crdtkv.client.values import shown_key
from crdtkv.crdt.entry import Entry
from crdtkv.ids import parse_identity

V = TypeVar("V")


class Mark(Enum):
    """What a watch gives besides changes."""

    CAUGHT_UP = "caught up"


#: Everything that was stored when the watch began, or was missed since its token, has been told.
CAUGHT_UP: Final = Mark.CAUGHT_UP


class Change(Generic[V]):
    """A key as it is now: not what changed in it. `key` is str where it is UTF-8, else bytes.

    The value is decoded when it is asked for, so a value that the codec refuses does not end the watch: `entry` tells
    what is stored in its place (`undecodable`), and `context` is there to replace it.
    """

    def __init__(self, identity: bytes, entry: Entry | None, codecs: Mapping[str, Codec[V]]) -> None:
        """Take what a node told; `codecs` are those of the types that are watched."""
        self._identity = identity
        self._stored = entry
        _, self.type_tag, key = parse_identity(identity)
        self.key: str | bytes = shown_key(key)
        self._codec = codecs[self.type_tag]

    def __repr__(self) -> str:
        return f"Change({self.type_tag} {self.key!r}: {'deleted' if self.is_deleted else repr(self.entry)})"

    @property
    def is_deleted(self) -> bool:
        """Whether nothing is there: deleted, expired, or a flag that is off."""
        return self._stored is None or self._stored.is_tombstone

    @cached_property
    def entry(self) -> ValueEntry[V]:
        """The key as `entry` reads it: `.value`, `.siblings`, `.timestamp`, `.expires_at_s`, `.context`."""
        state = self._stored.state if self._stored is not None else None
        return ValueEntry(self._identity, self._stored, state, self._codec)

    @property
    def value(self) -> V | Any:
        """The value as its handle reads it, None if it is deleted.

        Raises:
            InvalidRequest: somebody stored what is not of the codec's type.
        """
        return self.entry.value

    @property
    def context(self) -> ReadContext:
        """What was read: hand it to `put` or `delete` to act on exactly that."""
        return self.entry.context
