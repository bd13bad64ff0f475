"""`Everything`: all operations on a value. `View`: the operations that were seen, at one hybrid time.

An expired value is invisible from then on, but the values it had superseded stay superseded. And an operation *clears*
expired values: its coordinator removes them, and its delta removes them on other replicas, whose clocks may be behind.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from crdtkv.checking.specification.operation import Dot, Dots, Operation

T = TypeVar("T")
Field = tuple[str, Any]


class Everything:
    """All operations on one value by dot: a key, or a field of one.

    `clearing` are the operations that clear expired values, anywhere in the key. None means all operations on the
    value.
    """

    def __init__(self, operations: Mapping[Dot, Operation], clearing: Iterable[Operation] | None = None) -> None:
        self.operations = operations
        self.is_timed = any(one.expires_at is not None for one in operations.values())
        self.clearing = tuple(operations.values() if clearing is None else clearing) if self.is_timed else ()
        self._memo: dict[Hashable, Any] = {}

    def once(self, what: Hashable, work_out: Callable[[], T]) -> T:
        """Return the cached result for `what`; compute it first if there is none."""
        if what not in self._memo:
            self._memo[what] = work_out()
        found: T = self._memo[what]
        return found

    def on_field(self, field: Field, specification: "Specification") -> "Everything":
        """Return the operations on a field of this map.

        A delete is one if it had seen an operation on the field. A field whose type takes no context is deleted whole:
        only if its client had read everything in it that its coordinator held.
        """
        return self.once(
            ("field", field), lambda: Everything(self._field_operations(field, specification), self.clearing)
        )

    def _field_operations(self, field: Field, specification: "Specification") -> Mapping[Dot, Operation]:
        found: dict[Dot, Operation] = {}
        for one in self.operations.values():
            if one.name == "update" and tuple(one.arguments[0][:2]) == field:
                path, name, *arguments = one.arguments
                deeper = path[2:]
                call = ("update", (deeper, name, *arguments)) if deeper else (name, tuple(arguments))
                found[one.dot] = one._replace(name=call[0], arguments=call[1])
        deletes = [one for one in self.operations.values() if one.name == "delete" and not one.seen.isdisjoint(found)]
        for delete in sorted(deletes, key=lambda one: one.age):
            before = View(Everything(found, self.clearing), delete.held, delete.moment)
            if delete.seen.issuperset(specification.deleted_whole(before)):
                found = {**found, delete.dot: delete}
        return found


class View(NamedTuple):
    """The operations of which these dots were seen, at this hybrid time."""

    everything: Everything
    dots: Dots
    now: int = 0

    @property
    def operations(self) -> list[Operation]:
        """The operations seen."""
        known = self.everything.operations
        return [known[dot] for dot in self.dots if dot in known]

    def named(self, *names: str) -> list[Operation]:
        """Return the operations of these names."""
        return [one for one in self.operations if one.name in names]

    def on_field(self, field: Field, specification: "Specification") -> "View":
        """Return the same view of a field of this map, which has this specification."""
        return self._replace(everything=self.everything.on_field(field, specification))

    def before(self, one: Operation) -> "View":
        """Return what the coordinator of an operation had seen."""
        return View(self.everything, one.held, one.moment)

    def is_over(self, one: Operation, expires_at: int | None) -> bool:
        """Return whether the value of an operation has expired, or was cleared because it had."""
        if expires_at is None:
            return False
        return expires_at <= self.now or any(
            expires_at <= other.moment and one.dot in other.held and other.dot in self.dots
            for other in self.everything.clearing
        )


class Specification:
    """Defines what a view of a type shows: a list of the values that a reader sees, empty if there are none."""

    #: Whether the type's deltas are complete states, so that they clear no expired values beyond those.
    tells_all = False

    def values(self, view: View) -> list[Any]:
        """Return what a reader sees."""
        raise NotImplementedError

    def deleted_whole(self, view: View) -> Dots:
        """Return the operations that a delete with a context must have read to delete this field of a map.

        None for a type that takes a context, whose delete removes what was read.
        """
        return frozenset()

    def shown(self, operations: Mapping[Dot, Operation], dots: Dots | None = None, now: int = 0) -> list[Any]:
        """Return what a reader of a key sees that has seen these of its operations, or all of them."""
        return self.values(View(self.everything(operations), frozenset(operations) if dots is None else dots, now))

    def everything(self, operations: Mapping[Dot, Operation]) -> Everything:
        """Return the operations on a key of this type."""
        return Everything(operations, () if self.tells_all else None)


def undone(one: Operation, operations: Iterable[Operation]) -> bool:
    """Return whether any of these operations had seen this one."""
    return any(one.dot in other.seen for other in operations)
