"""Entries of a type that this version does not support: kept, compared and passed on without parsing, never dropped.

While a cluster is upgraded, newer nodes may write types that older ones cannot merge. An older node keeps the bytes of
every version that no other version descends from, and passes all of them on in a bundle. A node that supports the type
merges the versions of a bundle when it reads it. So nothing is lost, and a node that is upgraded later needs no repair.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor


class UnreadVersion(NamedTuple):
    """An entry of the unknown type, and the operations it has seen."""

    encoded: bytes
    context: CausalContext


class Unread:
    """The versions that no other one descends from, sorted by their bytes; a state without operations."""

    __slots__ = ("type_tag", "versions")

    operations: ClassVar[frozenset[str]] = frozenset()
    has_partial_deltas: ClassVar[bool] = False
    takes_context: ClassVar[bool] = False

    def __init__(self, type_tag: str, versions: Iterable[UnreadVersion]) -> None:
        self.type_tag = type_tag
        found = dict.fromkeys(versions)
        latest = [one for one in found if not any(_is_newer(other, one) for other in found)]
        self.versions = tuple(sorted(latest, key=lambda version: version.encoded))

    def __repr__(self) -> str:
        return f"{self.type_tag}(unread, {len(self.versions)} versions)"

    @property
    def is_blank(self) -> bool:
        """Return False, because the content is unknown."""
        return False

    @property
    def is_empty(self) -> bool:
        """Return False, because the content is unknown."""
        return False

    def dots(self) -> Iterable[Dot]:
        """Return no dots, because the content is unknown."""
        return ()

    def newest(self) -> HybridTimestamp:
        """Return 0, because the content is unknown."""
        return 0

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> "Unread":
        """Keep the versions of both sides that no other one descends from."""
        return Unread(self.type_tag, (*self.versions, *other.versions))

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return no dots, because the content is unknown."""
        return ()

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Refuse every operation.

        Raises:
            InvalidRequest: always; only a node that supports the type can change it.
        """
        raise InvalidRequest(f"this node does not know the type {self.type_tag!r}: ask a newer one")

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the state itself, because the content is unknown."""
        return self

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None, because the content is unknown."""
        return None


def _is_newer(other: UnreadVersion, one: UnreadVersion) -> bool:
    return other.context != one.context and other.context.descends(one.context)
