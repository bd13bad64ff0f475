"""`set`, `rwset` and `gset`."""

from typing import Any

from crdtkv.checking.specification.operation import Operation
from crdtkv.checking.specification.view import Specification, View


class SetSpecification(Specification):
    """The elements with an add that no later operation on the element, and no delete, had seen."""

    def values(self, view: View) -> list[Any]:
        """Return the members, sorted."""
        return sorted({one.arguments[0] for one in _left(view, "add")})


class RemoveWinsSetSpecification(Specification):
    """The elements with an add but no remove among the operations that no later one on the element had seen."""

    def values(self, view: View) -> list[Any]:
        """Return the members, sorted."""
        left = _left(view, "add", "remove")
        removed = {one.arguments[0] for one in left if one.name == "remove"}
        return sorted({one.arguments[0] for one in left if one.name == "add"} - removed)


def _left(view: View, *names: str) -> list[Operation]:
    operations = view.operations
    return [
        one
        for one in operations
        if one.name in names and not _undone(one, operations) and not view.is_over(one, one.expires_at)
    ]


def _undone(one: Operation, operations: list[Operation]) -> bool:
    """Return whether a later operation on the same element, or on all, had seen this one."""
    return any(
        one.dot in other.seen and (other.name == "delete" or one.arguments[0] in other.arguments)
        for other in operations
    )
