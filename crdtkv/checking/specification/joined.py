"""`maxreg`, `minreg` and `hll`: the join of the writes that no delete had seen.

A write includes all values that its coordinator had joined into it, and lasts at least as long as they do.
"""

from typing import Any

import mmh3

from crdtkv.checking.specification.operation import Operation
from crdtkv.checking.specification.view import Everything, Specification, View, undone


class JoinedSpecification(Specification):
    """A type with a join of values."""

    def values(self, view: View) -> list[Any]:
        """Return the join, nothing if there are no writes."""
        left = self._left(view)
        return [self.plain(self.join([self._value(one, view) for one in left]))] if left else []

    def own(self, one: Operation) -> Any:
        """Return the value of a write itself."""
        raise NotImplementedError

    def join(self, values: list[Any]) -> Any:
        """Return the join of one or more such values."""
        raise NotImplementedError

    def plain(self, joined: Any) -> Any:
        """Return the value of a join as a reader sees it."""
        raise NotImplementedError

    def _left(self, view: View) -> list[Operation]:
        operations = view.operations
        return [
            one
            for one in operations
            if one.name != "delete"
            and not undone(one, operations)
            and not view.is_over(one, self._expires_at(one, view.everything))
        ]

    def _value(self, one: Operation, view: View) -> Any:
        def joined() -> Any:
            held = self._left(view.before(one))
            return self.join([self.own(one), *(self._value(other, view) for other in held)])

        return view.everything.once((one.dot, "value"), joined)

    def _expires_at(self, one: Operation, everything: Everything) -> int | None:
        own = one.expires_at
        if own is None:
            return None

        def longest() -> int | None:
            held = self._left(View(everything, one.held, one.moment))
            expiries = [self._expires_at(other, everything) for other in held]
            return None if None in expiries else max([own, *(at for at in expiries if at is not None)])

        return everything.once((one.dot, "expires at"), longest)


class MaximumSpecification(JoinedSpecification):
    """The greatest number; a floating-point number is greater than an equal integer."""

    def own(self, one: Operation) -> Any:
        """Return the number, and whether it is a floating-point one."""
        return one.arguments[0], type(one.arguments[0]) is float

    def join(self, values: list[Any]) -> Any:
        """Return the greatest."""
        return max(values)

    def plain(self, joined: Any) -> Any:
        """Return the number."""
        return joined[0]


class MinimumSpecification(MaximumSpecification):
    """The smallest number."""

    def join(self, values: list[Any]) -> Any:
        """Return the smallest."""
        return min(values)


class HyperLogLogSpecification(JoinedSpecification):
    """The highest rank of any element for each register."""

    def own(self, one: Operation) -> Any:
        """Return the ranks of the elements by register."""
        return self.join([_register_and_rank(element) for element in one.arguments])

    def join(self, values: list[Any]) -> Any:
        """Return the highest rank of each register."""
        return {index: max(value.get(index, 0) for value in values) for index in sorted(set().union(*values))}

    def plain(self, joined: Any) -> Any:
        """Return the registers above 0, each with its rank."""
        return [list(pair) for pair in joined.items()]


def _register_and_rank(element: str | bytes) -> dict[int, int]:
    hashed = mmh3.hash64(element, 0, True, signed=False)[0]
    bits = f"{hashed:064b}"
    return {int(bits[:12], 2): (bits[12:] + "1").index("1") + 1}
