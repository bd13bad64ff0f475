"""Patches: where a value differs from the one before it, so that a small change of a large value is a small write.

Values are bytes, given in pieces: who changes a large value hands over the unchanged pieces as the objects they were,
so that finding the difference costs about as much as there are pieces. Nothing here knows what the bytes mean: a value
that is patched is exactly the bytes that were to be stored.

A patch is `[length before, length after, start, end, bytes, start, end, …]`: in the value before, the bytes from
`start` to `end` are replaced. Places are in order and do not overlap.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from crdtkv import cbor
from crdtkv.errors import DamagedStore, ProtocolError

Pieces = Sequence[bytes]

#: How many pieces are compared at once, and how far is looked before everything is looked at.
_RUN = 32
_NEAR = 4


class Splice(NamedTuple):
    """Bytes that take the place of those from `start` to `end`."""

    start: int
    end: int
    replacement: bytes


def differences(before: Pieces, after: Pieces) -> list[Splice]:
    """Return what makes the one value of the other, both in pieces."""
    found: list[Splice] = []
    old = new = offset = 0
    while True:
        equal = _equal_pieces(before, old, after, new)
        offset += sum(map(len, before[old : old + equal]))
        old, new = old + equal, new + equal
        if old == len(before) and new == len(after):
            return found
        old_end, new_end = _next_shared(before, old, after, new)
        # As many as there were: each took the place of one.
        step = 1 if old_end - old == new_end - new else max(old_end - old, new_end - new)
        while old < old_end or new < new_end:
            replaced = b"".join(before[old : min(old + step, old_end)])
            splice = _trimmed(offset, replaced, b"".join(after[new : min(new + step, new_end)]))
            if splice.end > splice.start or splice.replacement:
                found.append(splice)
            offset += len(replaced)
            old, new = min(old + step, old_end), min(new + step, new_end)


def encoded(splices: Iterable[Splice], length_before: int, length_after: int) -> bytes:
    """Return a patch."""
    return cbor.encode([length_before, length_after, *(part for splice in splices for part in splice)])


def apply(value: bytearray, patch: bytes) -> None:
    """Make the value after a patch of the one before it.

    Raises:
        DamagedStore: this patch was not made for this value.
    """
    try:
        length_before, length_after, *parts = cbor.decode_own(patch)
        splices = [Splice(*parts[at : at + 3]) for at in range(0, len(parts), 3)]
        is_for_this = length_before == len(value)
        # From the end on, so that earlier places stay where they are.
        for start, end, replacement in reversed(splices if is_for_this else []):
            value[start:end] = replacement
    except (ProtocolError, ValueError, TypeError) as error:
        raise DamagedStore(f"a patch of a stored entry cannot be read: {error}") from None
    if not is_for_this or len(value) != length_after:
        raise DamagedStore("a patch of a stored entry does not fit what it changes")


def _equal_pieces(before: Pieces, old: int, after: Pieces, new: int) -> int:
    """Return how many pieces are equal from here on."""
    limit = min(len(before) - old, len(after) - new)
    equal = 0
    while equal < limit:
        run = min(_RUN, limit - equal)
        if before[old + equal : old + equal + run] != after[new + equal : new + equal + run]:
            while before[old + equal] == after[new + equal]:
                equal += 1
            return equal
        equal += run
    return equal


def _next_shared(before: Pieces, old: int, after: Pieces, new: int) -> tuple[int, int]:
    """Return where the next piece lies that both values have, or both ends."""
    for distance in range(1, _NEAR + 1):
        for nearer in range(distance, -1, -1):
            for old_end, new_end in ((old + nearer, new + distance), (old + distance, new + nearer)):
                if _meet(before, old_end, after, new_end):
                    return old_end, new_end
    places = {id(piece): at for at, piece in enumerate(before)}
    for at in range(new, len(after)):
        place = places.get(id(after[at]), -1)
        if place >= old:
            return place, at
    return len(before), len(after)


def _meet(before: Pieces, old: int, after: Pieces, new: int) -> bool:
    """Tell whether the same comes next, or both end."""
    if old >= len(before) or new >= len(after):
        return old == len(before) and new == len(after)
    return before[old] == after[new]


def _trimmed(offset: int, replaced: bytes, replacement: bytes) -> Splice:
    """Leave out what is equal at both ends."""
    shorter = min(len(replaced), len(replacement))
    head = _equal_until(replaced, replacement, shorter)
    tail = _equal_until(replaced[head:][::-1], replacement[head:][::-1], shorter - head)
    return Splice(offset + head, offset + len(replaced) - tail, replacement[head : len(replacement) - tail])


def _equal_until(one: bytes, other: bytes, limit: int) -> int:
    """Return how many bytes are equal from the start on, at most `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
