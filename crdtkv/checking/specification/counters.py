"""`counter` and `bcounter`."""

from typing import Any

from crdtkv.checking.specification.increments import left
from crdtkv.checking.specification.view import Specification, View


class CounterSpecification(Specification):
    """The sum of the increments that no delete had seen."""

    def values(self, view: View) -> list[Any]:
        """Return the sum, nothing if no increment is left."""
        amounts = [one.arguments[0] for one in left(view, list)]
        return [sum(amounts)] if amounts else []


class BoundedCounterSpecification(Specification):
    """All increments less all decrements; `rights` checks that it is never below 0."""

    def values(self, view: View) -> list[Any]:
        """Return the difference, nothing if nothing was counted."""
        up = sum(one.arguments[0] for one in view.named("increment"))
        down = sum(one.arguments[0] for one in view.named("decrement"))
        return [up - down] if view.operations else []
