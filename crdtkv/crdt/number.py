"""The numbers that types of numbers hold: whole ones of 64 bits, and finite floating-point ones.

3 and 3.0 are the same number to everyone who compares; who must order them for all replicas alike holds the whole one
for the smaller.
"""

import math
from typing import TypeGuard

from crdtkv.errors import InvalidRequest

Number = int | float

MAX_WHOLE = 2**63 - 1


def is_number(value: object) -> TypeGuard[Number]:
    """Tell whether a wire item is a number these types hold."""
    if type(value) is int:
        return abs(value) <= MAX_WHOLE
    return type(value) is float and math.isfinite(value)


def checked_number(value: object) -> Number:
    """Return a number in its one form (there is no negative zero).

    Raises:
        InvalidRequest: it is no finite number of 64 bits.
    """
    if not is_number(value):
        raise InvalidRequest(f"a number is a whole one below 2**63 or a finite floating-point one, not {value!r:.40}")
    return value + 0.0 if type(value) is float else value


def rank(number: Number) -> tuple[Number, bool]:
    """Return what orders numbers so that no two different ones are equal."""
    return number, type(number) is float
