"""The numbers in values: integers of 64 bits, and finite floating-point numbers.

3 and 3.0 are equal in comparisons. Where all replicas need the same order (`rank`), the integer is the smaller one.
"""

import math
from typing import TypeGuard

from crdtkv.errors import InvalidRequest

Number = int | float

MAX_WHOLE = 2**63 - 1


def is_number(value: object) -> TypeGuard[Number]:
    """Return whether a wire item is a valid number."""
    if type(value) is int:
        return abs(value) <= MAX_WHOLE
    return type(value) is float and math.isfinite(value)


def checked_number(value: object) -> Number:
    """Return a number in its canonical form (there is no negative zero).

    Raises:
        InvalidRequest: it is no finite number of 64 bits.
    """
    if not is_number(value):
        raise InvalidRequest(f"a number is a whole one below 2**63 or a finite floating-point one, not {value!r:.40}")
    return value + 0.0 if type(value) is float else value


def rank(number: Number) -> tuple[Number, bool]:
    """Return a sort key under which no two different numbers are equal."""
    return number, type(number) is float
