"""A set of partitions as bits: partition p is bit p, the lowest first, in as many bytes as the ring needs.

A set takes 32 bytes with 256 partitions, and testing whether a node serves all of them is one operation on two
integers.
"""

from collections.abc import Iterable, Iterator

from crdtkv.errors import InvalidRequest


def mask_of(chosen: Iterable[int]) -> int:
    """Return the integer whose bits are set for these partitions."""
    mask = 0
    for partition in chosen:
        mask |= 1 << partition
    return mask


def to_bits(mask: int, partitions: int) -> bytes:
    """Return a mask as bytes."""
    return mask.to_bytes(_size(partitions), "little")


def from_bits(bits: bytes, partitions: int) -> int:
    """Return the mask of `to_bits`.

    Raises:
        InvalidRequest: the size does not match the number of partitions, or the set is empty.
    """
    mask = int.from_bytes(bits, "little")
    if len(bits) != _size(partitions) or not 0 < mask < 1 << partitions:
        raise InvalidRequest(f"these are not partitions of a ring with {partitions}")
    return mask


def first_in(mask: int, start: int = 0) -> int | None:
    """Return the first partition of a mask at or after `start`, None if there is none."""
    rest = mask >> start
    return start + (rest & -rest).bit_length() - 1 if rest else None


def each_in(mask: int) -> Iterator[int]:
    """Yield the partitions of a mask in order."""
    return (partition for partition in range(mask.bit_length()) if mask >> partition & 1)


def _size(partitions: int) -> int:
    return (partitions + 7) // 8
