"""`Change`: one key that a watch returns; `CAUGHT_UP`: the mark after the initial state."""

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
    """The items that a watch returns besides changes."""

    CAUGHT_UP = "caught up"


#: The watch has returned every key that was stored when it began, or that has changed since its token.
CAUGHT_UP: Final = Mark.CAUGHT_UP


class Change(Generic[V]):
    """A key with its new entry, not the difference to the old one.

    `key` is str if it is UTF-8, else bytes; `type_tag` is the name of its type. The value is decoded on access, so a
    value that the codec refuses does not end the watch: `entry.undecodable` has it, and `context` can replace it.
    """

    def __init__(self, identity: bytes, entry: Entry | None, codecs: Mapping[str, Codec[V]]) -> None:
        """Build the change from a row of a page; `codecs` has the codec of each watched type."""
        self._identity = identity
        self._stored = entry
        _, self.type_tag, key = parse_identity(identity)
        self.key: str | bytes = shown_key(key)
        self._codec = codecs[self.type_tag]

    def __repr__(self) -> str:
        return f"Change({self.type_tag} {self.key!r}: {'deleted' if self.is_deleted else repr(self.entry)})"

    @property
    def is_deleted(self) -> bool:
        """Whether the key has no value: it was deleted or has expired, or is a flag that is off."""
        return self._stored is None or self._stored.is_tombstone

    @cached_property
    def entry(self) -> ValueEntry[V]:
        """The entry as `Bucket.entry` returns it: `.value`, `.siblings`, `.timestamp`, `.expires_at_s`, `.context`."""
        state = self._stored.state if self._stored is not None else None
        return ValueEntry(self._identity, self._stored, state, self._codec)

    @property
    def value(self) -> V | Any:
        """The value as its handle returns it, None if it was deleted.

        Raises:
            InvalidRequest: the codec refuses the stored value.
        """
        return self.entry.value

    @property
    def context(self) -> ReadContext:
        """The causal context: a `put` or `delete` with it acts on exactly this entry."""
        return self.entry.context
