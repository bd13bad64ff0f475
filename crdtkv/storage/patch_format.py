"""Patches: the difference of two values, so that a small change of a large value is a small write.

Values are bytes, given in pieces. A caller passes unchanged pieces as the same objects, so finding the difference costs
about as much as there are pieces. This module does not interpret the bytes: a patched value is exactly the bytes that
were to be stored.

A patch is `[length before, length after, start, end, bytes, start, end, …]`: in the value before, the bytes from
`start` to `end` are replaced. Places are in order and do not overlap.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from crdtkv import cbor
from crdtkv.errors import DamagedStore, ProtocolError

Pieces = Sequence[bytes]

#: How many pieces are compared at once, and how many following pieces are searched before all are searched.
_RUN = 32
_NEAR = 4


class Splice(NamedTuple):
    """Bytes that replace those from `start` to `end`."""

    start: int
    end: int
    replacement: bytes


def differences(before: Pieces, after: Pieces) -> list[Splice]:
    """Return the splices that turn the value `before` into `after`, both in pieces."""
    found: list[Splice] = []
    old = new = offset = 0
    while True:
        equal = _equal_pieces(before, old, after, new)
        offset += sum(map(len, before[old : old + equal]))
        old, new = old + equal, new + equal
        if old == len(before) and new == len(after):
            return found
        old_end, new_end = _next_shared(before, old, after, new)
        # If the counts are equal, each piece replaced one piece.
        step = 1 if old_end - old == new_end - new else max(old_end - old, new_end - new)
        while old < old_end or new < new_end:
            replaced = b"".join(before[old : min(old + step, old_end)])
            splice = _trimmed(offset, replaced, b"".join(after[new : min(new + step, new_end)]))
            if splice.end > splice.start or splice.replacement:
                found.append(splice)
            offset += len(replaced)
            old, new = min(old + step, old_end), min(new + step, new_end)


def encoded(splices: Iterable[Splice], length_before: int, length_after: int) -> bytes:
    """Return the encoded patch."""
    return cbor.encode([length_before, length_after, *(part for splice in splices for part in splice)])


def apply(value: bytearray, patch: bytes) -> None:
    """Apply a patch to the value before it, in place.

    Raises:
        DamagedStore: the patch is malformed, or was not made for this value.
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
    """Return the number of equal pieces from here on."""
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
    """Return the positions of the next piece that both values have, or both ends."""
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
    """Return whether the same piece comes next, or both end."""
    if old >= len(before) or new >= len(after):
        return old == len(before) and new == len(after)
    return before[old] == after[new]


def _trimmed(offset: int, replaced: bytes, replacement: bytes) -> Splice:
    """Return the splice without the bytes that are equal at both ends."""
    shorter = min(len(replaced), len(replacement))
    head = _equal_until(replaced, replacement, shorter)
    tail = _equal_until(replaced[head:][::-1], replacement[head:][::-1], shorter - head)
    return Splice(offset + head, offset + len(replaced) - tail, replacement[head : len(replacement) - tail])


def _equal_until(one: bytes, other: bytes, limit: int) -> int:
    """Return the number of equal bytes from the start, at most `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
