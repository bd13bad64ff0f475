"""`PartChunks`: the parts of a large state, sorted, in chunks that successive states share.

A change of one part of a large state must not copy the state. So its parts are stored in chunks of at most
`CHUNK_PARTS`. A changed state has new chunks where something changed, and shares all others with the state it was made
from. Results about a whole chunk, above all its encoding, are computed once and shared with it. So unchanged bytes are
the same object, which the store recognizes when it writes (`storage.patch_format`).

Chunk boundaries depend on the history of a state; nothing that leaves this node may depend on them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import Any, Generic, TypeVar

K = TypeVar("K")
S = TypeVar("S")

CHUNK_PARTS = 256


class Chunk(Generic[K, S]):
    """Some parts, sorted by key; immutable except for results that are computed on first use."""

    __slots__ = ("_encodings", "_newest", "_whole", "keys", "states")

    def __init__(self, keys: list[Any], states: list[S], encodings: list[bytes | None]) -> None:
        self.keys = keys
        self.states = states
        self._encodings = encodings
        self._whole: bytes | None = None
        self._newest: int | None = None

    def encoded(self, encode: Callable[[K, S], bytes]) -> bytes:
        """Return the encodings of all parts, one after the other; always the same object."""
        if self._whole is None:
            encodings = self._encodings
            for at, encoding in enumerate(encodings):
                if encoding is None:
                    encodings[at] = encode(self.keys[at], self.states[at])
            self._whole = b"".join(encodings)  # type: ignore[arg-type]
        return self._whole

    def newest(self, newest_of: Callable[[S], int]) -> int:
        """Return the highest result of `newest_of` over the parts."""
        if self._newest is None:
            self._newest = max(map(newest_of, self.states), default=0)
        return self._newest

    def changed(self, changes: Iterable[tuple[Any, S | None]]) -> "list[Chunk[K, S]]":
        """Return the chunks that replace this one: none, one or more."""
        keys, states, encodings = self.keys.copy(), self.states.copy(), self._encodings.copy()
        for key, state in changes:
            at = bisect_left(keys, key)
            is_there = at < len(keys) and keys[at] == key
            if state is None:
                if is_there:
                    del keys[at], states[at], encodings[at]
            elif is_there:
                states[at], encodings[at] = state, None
            else:
                keys.insert(at, key)
                states.insert(at, state)
                encodings.insert(at, None)
        return _divided(keys, states, encodings)


class PartChunks(Mapping[K, S], Generic[K, S]):
    """Parts by key, immutable; iteration is in the order of keys."""

    __slots__ = ("_firsts", "_length", "chunks")

    def __init__(self, chunks: list[Chunk[K, S]]) -> None:
        self.chunks = chunks
        self._firsts: list[Any] = [chunk.keys[0] for chunk in chunks]
        self._length = sum(len(chunk.keys) for chunk in chunks)

    @classmethod
    def of(cls, parts: Mapping[K, S], encodings: Mapping[K, bytes]) -> "PartChunks[K, S]":
        """Divide parts into chunks; known encodings are reused."""
        keys: list[Any] = sorted(parts)
        return cls(_divided(keys, [parts[key] for key in keys], [encodings.get(key) for key in keys]))

    def changed(self, changes: Mapping[K, S | None]) -> "PartChunks[K, S]":
        """Return the parts with these changes; a part that changes to None is removed."""
        if not self.chunks:
            return PartChunks.of({key: state for key, state in changes.items() if state is not None}, {})
        by_chunk: dict[int, list[tuple[K, S | None]]] = {}
        for change in changes.items():
            by_chunk.setdefault(max(0, bisect_right(self._firsts, change[0]) - 1), []).append(change)
        chunks: list[Chunk[K, S]] = []
        done = 0
        for number in sorted(by_chunk):
            chunks += self.chunks[done:number]
            chunks += self.chunks[number].changed(by_chunk[number])
            done = number + 1
        chunks += self.chunks[done:]
        return PartChunks(chunks)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: K) -> S:
        number = bisect_right(self._firsts, key) - 1
        if number >= 0:
            chunk = self.chunks[number]
            at = bisect_left(chunk.keys, key)
            if at < len(chunk.keys) and chunk.keys[at] == key:
                return chunk.states[at]
        raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        for chunk in self.chunks:
            yield from chunk.keys

    def values(self) -> ValuesView[S]:
        """Return the parts, sorted by key."""
        return _Values(self)

    def items(self) -> ItemsView[K, S]:
        """Return the pairs of key and part, sorted by key."""
        return _Items(self)


class _Values(ValuesView[Any]):
    """Iterates over the chunks, without a search for every key."""

    _mapping: PartChunks[Any, Any]

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._mapping.chunks:
            yield from chunk.states


class _Items(ItemsView[Any, Any]):
    """Iterates over the chunks, without a search for every key."""

    _mapping: PartChunks[Any, Any]

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._mapping.chunks:
            yield from zip(chunk.keys, chunk.states, strict=True)


def _divided(keys: list[Any], states: list[S], encodings: list[bytes | None]) -> list[Chunk[K, S]]:
    """Return chunks of these parts: one if it is small enough, otherwise half-full ones."""
    if len(keys) <= CHUNK_PARTS:
        return [Chunk(keys, states, encodings)] if keys else []
    size = CHUNK_PARTS // 2
    return [
        Chunk(keys[at : at + size], states[at : at + size], encodings[at : at + size])
        for at in range(0, len(keys), size)
    ]
