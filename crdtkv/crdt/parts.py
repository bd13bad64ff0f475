"""Large states, part by part: the cost of an operation on one part must not depend on all the others.

A state of many parts (the elements of a set, the fields of a map) keeps the encoding of each part once it is made, and
passes it on to the states that are made from it. Merging a delta only touches the parts in it. From `CHUNKED_PARTS` on
the parts are stored in chunks, which states share (`part_chunks`): then a merge does not even copy them.

A dot never moves to another part. So the states that are made from one another share one index of dots (`part_index`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Generic, Self, TypeVar

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.part_chunks import PartChunks
from crdtkv.crdt.part_index import PartIndex

K = TypeVar("K")
S = TypeVar("S")

#: A context of at most this many dots is treated as that of a delta.
FEW_DOTS = 256
#: The number of parts from which on they are stored in chunks.
CHUNKED_PARTS = 64


class Parts(Generic[K, S]):
    """States by key; immutable except for encodings, which are made on first use."""

    #: The number of items of a part in the wire form.
    part_width: ClassVar[int] = 2
    __slots__ = ("_encoded", "_index", "parts")

    def __init__(self, parts: Mapping[K, S] | None = None) -> None:
        self.parts: Mapping[K, S] = parts or {}
        self._encoded: dict[K, bytes] = {}
        self._index: PartIndex[K] | None = None

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        return not self.parts

    @property
    def chunked(self) -> PartChunks[K, S] | None:
        """The parts in chunks, None if there are few; divided on first use."""
        parts = self.parts
        if not isinstance(parts, PartChunks):
            if len(parts) < CHUNKED_PARTS:
                return None
            parts = self.parts = PartChunks.of(parts, self._encoded)
            self._encoded = {}
        return parts

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None: no type with parts drops older versions."""
        return None

    def to_wire(self) -> list[object]:
        """Return the wire forms of all parts, sorted by key, one after the other."""
        return [item for key in sorted(self.parts) for item in self._part_to_wire(key, self.parts[key])]  # type: ignore[type-var]

    def encode(self) -> list[bytes]:
        """Return the pieces of the encoding of `to_wire`; those of unchanged chunks are the same objects."""
        head = cbor.array_head(len(self.parts) * self.part_width)
        chunked = self.chunked
        if chunked is not None:
            return [head, *(chunk.encoded(self._encode_part) for chunk in chunked.chunks)]
        encoded, fresh = self._encoded, [head]
        for key in sorted(self.parts):  # type: ignore[type-var]
            part = encoded.get(key)
            if part is None:
                part = encoded[key] = self._encode_part(key, self.parts[key])
            fresh.append(part)
        return [b"".join(fresh)]

    def _newest(self, newest_of: Callable[[S], HybridTimestamp]) -> HybridTimestamp:
        """Return the highest result of `newest_of` over the parts, 0 if there are none."""
        chunked = self.chunked
        if chunked is None:
            return max(map(newest_of, self.parts.values()), default=0)
        return max((chunk.newest(newest_of) for chunk in chunked.chunks), default=0)

    def _joined(
        self,
        mine: CausalContext,
        other: "Parts[K, S]",
        theirs: CausalContext,
        dots_of: Callable[[S], Iterable[Dot]],
        join: Callable[[K, S | None, S | None], S | None],
    ) -> Self:
        """Join part by part; return the state, without the parts for which `join` returns None."""
        told = theirs.few(FEW_DOTS) if len(other.parts) <= FEW_DOTS else None
        if told is None:
            # A part that is equal on both sides stays as it is, with its encoding.
            changed = [key for key, part in other.parts.items() if self.parts.get(key) != part]
            changed += [key for key in self.parts if key not in other.parts]
            return self._with({key: join(key, self.parts.get(key), other.parts.get(key)) for key in changed}, dots_of)
        touched = dict.fromkeys(other.parts)
        touched.update(
            dict.fromkeys(self._standing_elsewhere(frozenset(filter(mine.__contains__, told)), touched, dots_of))
        )
        changes = {key: join(key, self.parts.get(key), other.parts.get(key)) for key in touched}
        return self._with(changes, dots_of)

    def _standing_elsewhere(
        self, known: frozenset[Dot], touched: Iterable[K], dots_of: Callable[[S], Iterable[Dot]]
    ) -> Iterable[K]:
        """Return the keys, without `touched`, of the parts that contain one of these dots."""
        for key in touched:
            part = self.parts.get(key)
            if known and part is not None:
                known = known.difference(dots_of(part))
        if not known:
            return ()
        if self.chunked is None:
            return [key for key, part in self.parts.items() if not known.isdisjoint(dots_of(part))]
        if self._index is None or self._index.is_stale:
            self._index = PartIndex((dot, key) for key, part in self.parts.items() for dot in dots_of(part))
        found = self._index.parts_of(known)
        return [
            key for key in found if (part := self.parts.get(key)) is not None and not known.isdisjoint(dots_of(part))
        ]

    def _with(self, changes: Mapping[K, S | None], dots_of: Callable[[S], Iterable[Dot]]) -> Self:
        """Return the state with these changes; a part that changes to None is removed."""
        chunked = self.chunked
        if chunked is None:
            kept = {key: part for key, part in self.parts.items() if key not in changes}
            kept.update((key, part) for key, part in changes.items() if part is not None)
            result = type(self)(kept)
            result._encoded = {key: encoded for key, encoded in self._encoded.items() if key not in changes}
            return result
        result = type(self)(chunked.changed(changes))
        index = result._index = self._index
        if index is not None:
            index.add((dot, key) for key, part in changes.items() if part is not None for dot in dots_of(part))
        return result

    def _encode_part(self, key: K, part: S) -> bytes:
        return b"".join(map(cbor.encode, self._part_to_wire(key, part)))

    def _part_to_wire(self, key: K, part: S) -> tuple[object, ...]:
        raise NotImplementedError
