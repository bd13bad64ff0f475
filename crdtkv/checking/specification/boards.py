"""`board`."""

from collections.abc import Iterable, Iterator
from typing import Any

from crdtkv.checking.specification.increments import last_increments, left
from crdtkv.checking.specification.operation import Dot, Dots, Operation
from crdtkv.checking.specification.view import Specification, View


class BoardSpecification(Specification):
    """Per member the latest set that no later one had seen, plus the increments that no later set had seen."""

    def values(self, view: View) -> list[Any]:
        """Return the ranking: members and scores, the highest first, of equals the smaller member."""
        scores: dict[Any, float] = {}
        for member, here in _by_member(view):
            sets = _sets(view, here)
            added = [one.arguments[1] for one in left(view, lambda some, member=member: _on(member, some), member)]  # type: ignore[misc]
            if sets or added:
                latest = max(sets, key=lambda one: one.age).arguments[1] if sets else 0
                scores[member] = latest + sum(added)
        return [[member, score] for member, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))]

    def deleted_whole(self, view: View) -> Dots:
        """Return the sets that count, and the last increment of each actor and member."""
        dots: set[Dot] = set()
        for _, here in _by_member(view):
            dots.update(one.dot for one in _sets(view, here))
            dots.update(last_increments(here))
        return frozenset(dots)


def _by_member(view: View) -> Iterator[tuple[Any, list[Operation]]]:
    for member in {one.arguments[0] for one in view.operations if one.name != "delete"}:
        yield member, _on(member, view.operations)


def _sets(view: View, here: list[Operation]) -> list[Operation]:
    """Return the sets that no later operation had seen."""
    return [
        one
        for one in here
        if one.name == "set" and not any(_ends(other, one) for other in here) and not view.is_over(one, one.expires_at)
    ]


def _on(member: Any, operations: Iterable[Operation]) -> list[Operation]:
    return [one for one in operations if one.name == "delete" or one.arguments[0] == member]


def _ends(other: Operation, one: Operation) -> bool:
    return other.name != "increment" and one.dot in other.seen
