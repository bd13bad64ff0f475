"""`register` and `lww`."""

from typing import Any

from crdtkv.checking.specification.operation import SUPERSEDE, Dots, Operation
from crdtkv.checking.specification.view import Specification, View


class RegisterSpecification(Specification):
    """The puts that no operation with knowledge of them replaced, the latest first."""

    tells_all = True

    def values(self, view: View) -> list[Any]:
        """Return the values."""
        return [put.arguments[0] for put in self.left(view)]

    def left(self, view: View) -> list[Operation]:
        """Return the puts."""
        operations = view.operations
        left = [
            put
            for put in view.named("put")
            if not any(_replaces(other, put) for other in operations) and not view.is_over(put, put.expires_at)
        ]
        return sorted(left, key=lambda put: put.age, reverse=True)


def _replaces(other: Operation, put: Operation) -> bool:
    if put.dot not in other.seen:
        return False
    return other.timestamp > put.timestamp if other.name == SUPERSEDE else True


class LastWriterWinsSpecification(Specification):
    """The operation with the highest (timestamp, dot), also if it has expired: then there is no value."""

    def values(self, view: View) -> list[Any]:
        """Return the last value, unless the last writer deleted."""
        last = _last(view)
        if last is None or last.name == "delete":
            return []
        is_over = last.expires_at is not None and last.expires_at <= view.now
        return [] if is_over else list(last.arguments)

    def deleted_whole(self, view: View) -> Dots:
        """Return the last writer."""
        last = _last(view)
        return frozenset() if last is None else frozenset((last.dot,))


def _last(view: View) -> Operation | None:
    return max(view.operations, key=lambda one: one.age, default=None)
