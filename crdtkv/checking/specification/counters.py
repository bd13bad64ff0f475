"""`counter` and `bcounter`."""

from typing import Any

from crdtkv.checking.specification.increments import last_increments, left
from crdtkv.checking.specification.operation import Dots
from crdtkv.checking.specification.view import Specification, View


class CounterSpecification(Specification):
    """The sum of the increments that no delete had seen."""

    def values(self, view: View) -> list[Any]:
        """Return the sum, nothing if no increment is left."""
        amounts = [one.arguments[0] for one in left(view, list)]
        return [sum(amounts)] if amounts else []

    def deleted_whole(self, view: View) -> Dots:
        """Return the last increment of each actor."""
        return last_increments(view.operations)


class BoundedCounterSpecification(Specification):
    """All increments less all decrements; `rights` checks that it is never below 0."""

    def values(self, view: View) -> list[Any]:
        """Return the difference, nothing if nothing was counted."""
        up = sum(one.arguments[0] for one in view.named("increment"))
        down = sum(one.arguments[0] for one in view.named("decrement"))
        return [up - down] if view.operations else []
