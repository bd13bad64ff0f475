"""`register`: a multi-value register. Concurrent writes are kept as siblings; no write is dropped silently.

The state is a set of versions, each under the dot of the put that wrote it. A put supersedes every version in the
context it acts on: the one that the client read (`put(context=…)`), or for a blind put the one that the coordinator
holds. A reader sees all siblings; `.value` is the one with the highest timestamp, ties broken by dot.

A replica that receives a blind put directly from its coordinator also supersedes older versions that the coordinator
did not hold (`without_older`); that is a decision of its own, and gets a dot of its own.

Source: DeCandia et al., "Dynamo" (2007), section 4.4; Shapiro et al. (2011), section 3.2.2 (MV-Register).
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event, is_counter
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor


class Version(NamedTuple):
    """One sibling: the dot of its put, its timestamp, the CBOR bytes of its value."""

    dot: Dot
    timestamp: HybridTimestamp
    value: bytes


class Register:
    """The versions that no seen operation has superseded, sorted by dot."""

    type_tag: ClassVar[str] = "register"
    operations: ClassVar[frozenset[str]] = frozenset(("put", "delete"))
    has_partial_deltas: ClassVar[bool] = False
    takes_context: ClassVar[bool] = True
    __slots__ = ("versions",)

    def __init__(self, versions: tuple[Version, ...] = ()) -> None:
        self.versions = versions

    def __repr__(self) -> str:
        return "register(" + ", ".join(f"{v.dot}={v.value.hex()}" for v in self.versions) + ")"

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        return not self.versions

    @property
    def is_empty(self) -> bool:
        """Whether no version is left."""
        return not self.versions

    def dots(self) -> Iterable[Dot]:
        """Return the dots of the versions."""
        return [version.dot for version in self.versions]

    def newest(self) -> HybridTimestamp:
        """Return the highest timestamp among the siblings."""
        versions = self.versions
        if len(versions) == 1:
            return versions[0].timestamp
        return max((version.timestamp for version in versions), default=0)

    def siblings(self) -> list[Version]:
        """Return the versions, the winner of `.value` first."""
        return sorted(self.versions, key=lambda version: (version.timestamp, version.dot), reverse=True)

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true for a delete only: replicas themselves drop versions older than a blind put (`without_older`)."""
        return operation == "delete"

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Keep the versions that both hold, and those that one holds and the other has not seen."""
        kept: dict[Dot, Version] = {}
        held_there = {version.dot for version in other.versions}
        for version in self.versions:
            # Held here only: the other side has either not seen it yet, or superseded it.
            if version.dot in held_there or version.dot not in theirs:
                kept[version.dot] = version
        for version in other.versions:
            if version.dot not in mine:
                kept[version.dot] = version
        return type(self)(tuple(kept[dot] for dot in sorted(kept)))

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return no dots: no operation carries on earlier effects."""
        return ()

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `put value` or `delete`."""
        superseded = (context if seen is None else seen).with_dot(event.dot)
        match operation, arguments:
            case "put", [bytes() as value]:
                return Delta(Register((Version(event.dot, event.timestamp, value),)), superseded)
            case "delete", []:
                return Delta(Register(), superseded)
        raise InvalidRequest(
            f"a register knows put(value) and delete(), not {operation!r} with {len(arguments)} arguments"
        )

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the register without these versions."""
        return type(self)(tuple(version for version in self.versions if version.dot not in dots))

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return the register without versions below `timestamp`; None if there are none."""
        if len(self.versions) == 1 and self.versions[0].timestamp >= timestamp:
            return None
        kept = tuple(version for version in self.versions if version.timestamp >= timestamp)
        return None if len(kept) == len(self.versions) else type(self)(kept)

    def to_wire(self) -> list[object]:
        """Return `[actor, counter, timestamp, value, actor, …]`, sorted by dot."""
        flat: list[object] = []
        for (actor, counter), timestamp, value in self.versions:
            flat += (actor, counter, timestamp, value)
        return flat

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[actor, counter, timestamp, value, actor, …]`."""
        if type(wire) is not list or len(wire) % 4:
            raise InvalidRequest("a register is a list of actor, counter, timestamp, value")
        versions: list[Version] = []
        parts = iter(wire)
        for actor, counter, timestamp, value in zip(parts, parts, parts, parts, strict=True):
            if (
                type(actor) is not str
                or not is_counter(counter)
                or not is_counter(timestamp)
                or type(value) is not bytes
            ):
                raise InvalidRequest("a version is an actor, a counter, a timestamp and bytes")
            versions.append(Version(Dot(actor, counter), timestamp, value))
        if len(versions) > 1 and any(later.dot <= earlier.dot for earlier, later in pairwise(versions)):
            raise InvalidRequest("versions are sorted by dot and distinct")
        return cls(tuple(versions))
