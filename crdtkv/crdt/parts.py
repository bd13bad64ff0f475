"""Large states, part by part: an operation on one part must not cost work on all the others.

A state that has many parts (the elements of a set, the fields of a map) keeps the encoding of each part once it is
made, and hands it on to the states that are made from it. Merging a delta looks only at the parts it touches.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Generic, TypeVar

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot

K = TypeVar("K")
S = TypeVar("S")

#: A context of at most so many dots is a delta's.
FEW_DOTS = 256


class Parts(Generic[K, S]):
    """States by key; immutable but for the encodings, which are made when they are first needed."""

    #: How many items of the wire form a part takes.
    part_width: ClassVar[int] = 2
    __slots__ = ("_encoded", "parts")

    def __init__(self, parts: Mapping[K, S] | None = None, encoded: dict[K, bytes] | None = None) -> None:
        self.parts: Mapping[K, S] = parts or {}
        self._encoded: dict[K, bytes] = encoded if encoded is not None else {}

    @property
    def is_blank(self) -> bool:
        """See `CausalState`."""
        return not self.parts

    def to_wire(self) -> list[object]:
        """Return the wire forms of all parts, sorted by key, one after the other."""
        return [item for key in sorted(self.parts) for item in self._part_to_wire(key, self.parts[key])]  # type: ignore[type-var]

    def encode(self) -> bytes:
        """Return the encoding of `to_wire`, from those of the parts."""
        encoded, fresh = self._encoded, []
        for key in sorted(self.parts):  # type: ignore[type-var]
            part = encoded.get(key)
            if part is None:
                items = self._part_to_wire(key, self.parts[key])
                part = encoded[key] = b"".join(map(cbor.encode, items))
            fresh.append(part)
        return cbor.array_of(fresh, len(fresh) * self.part_width)

    def _joined(
        self,
        mine: CausalContext,
        other: "Parts[K, S]",
        theirs: CausalContext,
        dots_of: Callable[[S], Iterable[Dot]],
        join: Callable[[K, S | None, S | None], S | None],
    ) -> tuple[dict[K, S], dict[K, bytes]]:
        """Join part by part; return the parts, without those of which `join` leaves nothing, and their encodings."""
        told = theirs.few(FEW_DOTS) if len(other.parts) <= FEW_DOTS else None
        if told is None:
            kept: dict[K, S] = {}
            touched = list(self.parts.keys() | other.parts.keys())
        else:
            kept = dict(self.parts)
            touched = list(other.parts)
            known = frozenset(dot for dot in told if dot in mine)
            if known:
                touched += [
                    key
                    for key, part in self.parts.items()
                    if key not in other.parts and not known.isdisjoint(dots_of(part))
                ]
            for key in touched:
                kept.pop(key, None)
        encoded = dict(self._encoded)
        for key in touched:
            encoded.pop(key, None)
            joined = join(key, self.parts.get(key), other.parts.get(key))
            if joined is not None:
                kept[key] = joined
        return kept, encoded

    def _part_to_wire(self, key: K, part: S) -> tuple[object, ...]:
        raise NotImplementedError
