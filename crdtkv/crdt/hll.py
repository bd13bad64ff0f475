"""`hll`: HyperLogLog, an approximate count of distinct elements in little space.

A sketch has 4096 registers; each element selects one of them by its hash, and raises it to the position of the first
one-bit in the rest of the hash. The standard error of the count is 1.04 / sqrt(4096) = 1.6 %, for any number of
elements: two of three counts are within it, 19 of 20 within 3.3 %. Sketches are joined by the maximum of every
register, so an element counts once wherever and however often it was added.

A sketch is bytes: 4096 registers, or, while that is shorter, three bytes for every register above 0.

Sources: Flajolet et al., "HyperLogLog" (2007), for the sketch; Ertl, "New cardinality estimation algorithms for
HyperLogLog sketches" (2017), algorithm 6, for an estimate without tables and thresholds.
"""

import math
from collections.abc import Iterable
from typing import ClassVar, Final

from crdtkv.crdt.dotted import Payload, elements_of
from crdtkv.crdt.joined import JoinedState
from crdtkv.errors import InvalidRequest
from crdtkv.hashing import element_hash

INDEX_BITS = 12
REGISTERS = 1 << INDEX_BITS
RANK_BITS = 64 - INDEX_BITS
STANDARD_ERROR = 1.04 / math.sqrt(REGISTERS)
_MAX_SPARSE = (REGISTERS - 1) // 3


def _sketch_from_wire(parts: list[object]) -> bytes:
    (sketch,) = parts
    if type(sketch) is not bytes:
        raise InvalidRequest("a sketch is bytes")
    registers = registers_of(sketch)
    if max(registers) > RANK_BITS + 1 or sketch_of(registers) != sketch:
        raise InvalidRequest("a sketch is in its shortest form, and its registers are in range")
    return sketch


_SKETCHES: Final = Payload[bytes](1, lambda sketch: [sketch], _sketch_from_wire)


class HyperLogLog(JoinedState[bytes]):
    """The sketches by dot."""

    type_tag: ClassVar[str] = "hll"
    operations: ClassVar[frozenset[str]] = frozenset(("add", "delete"))
    write: ClassVar[str] = "add"
    payload: ClassVar[Payload[bytes]] = _SKETCHES
    __slots__ = ()

    def __repr__(self) -> str:
        return f"hll({self.count})"

    @property
    def count(self) -> int:
        """The estimated number of distinct elements."""
        return round(estimate(registers_of(self.joined))) if self.joined is not None else 0

    @classmethod
    def _value_of(cls, arguments: list[object]) -> bytes:
        registers = bytearray(REGISTERS)
        for element in elements_of(arguments, "add"):
            hashed = element_hash(element)
            index, rest = hashed >> RANK_BITS, hashed & ((1 << RANK_BITS) - 1)
            registers[index] = max(registers[index], RANK_BITS - rest.bit_length() + 1)
        return sketch_of(registers)

    @classmethod
    def _join(cls, one: bytes, other: bytes) -> bytes:
        return sketch_of(bytes(map(max, registers_of(one), registers_of(other))))


def count_of_all(sketches: Iterable[HyperLogLog]) -> int:
    """Return the estimated number of distinct elements in the union of sketches."""
    registers: bytes | bytearray = bytes(REGISTERS)
    for sketch in sketches:
        if sketch.joined is not None:
            registers = bytes(map(max, registers, registers_of(sketch.joined)))
    return round(estimate(registers))


def registers_of(sketch: bytes) -> bytes | bytearray:
    """Return the 4096 registers of a sketch.

    Raises:
        InvalidRequest: it is no sketch.
    """
    if len(sketch) == REGISTERS:
        return sketch
    registers = bytearray(REGISTERS)
    if len(sketch) % 3 or not sketch:
        raise InvalidRequest(f"a sketch has {REGISTERS} bytes, or three for every register")
    for start in range(0, len(sketch), 3):
        index = int.from_bytes(sketch[start : start + 2], "big")
        if index >= REGISTERS:
            raise InvalidRequest(f"a sketch has {REGISTERS} registers")
        registers[index] = sketch[start + 2]
    return registers


def sketch_of(registers: bytes | bytearray) -> bytes:
    """Return the only encoding of these registers."""
    used = [index for index, rank in enumerate(registers) if rank]
    if len(used) > _MAX_SPARSE:
        return bytes(registers)
    return b"".join(index.to_bytes(2, "big") + registers[index : index + 1] for index in used)


def estimate(registers: bytes | bytearray) -> float:
    """Return the estimated number of distinct elements for these registers."""
    histogram = [0] * (RANK_BITS + 2)
    for rank in registers:
        histogram[rank] += 1
    if histogram[0] == REGISTERS:
        return 0.0
    if histogram[RANK_BITS + 1] == REGISTERS:
        return 2.0**64  # all registers are full, which only a forged sketch can reach
    z = REGISTERS * _tau(1 - histogram[RANK_BITS + 1] / REGISTERS)
    for rank in range(RANK_BITS, 0, -1):
        z = 0.5 * (z + histogram[rank])
    z += REGISTERS * _sigma(histogram[0] / REGISTERS)
    return REGISTERS * REGISTERS / (2 * math.log(2) * z)


def _sigma(x: float) -> float:
    total, weight = x, 1.0
    while True:
        x *= x
        before = total
        total += x * weight
        weight += weight
        if total == before:
            return total


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    total, weight = 1 - x, 1.0
    while True:
        x = math.sqrt(x)
        before = total
        weight *= 0.5
        total -= (1 - x) ** 2 * weight
        if total == before:
            return total / 3
