"""`board`."""

from collections.abc import Iterable
from typing import Any

from crdtkv.checking.specification.increments import left
from crdtkv.checking.specification.operation import Operation
from crdtkv.checking.specification.view import Specification, View


class BoardSpecification(Specification):
    """Per member the latest set that no later one had seen, plus the increments that no later set had seen."""

    def values(self, view: View) -> list[Any]:
        """Return the ranking: members and scores, the highest first, of equals the smaller member."""
        scores: dict[Any, float] = {}
        for member in {one.arguments[0] for one in view.operations if one.name != "delete"}:
            here = _on(member, view.operations)
            sets = [
                one
                for one in here
                if one.name == "set"
                and not any(_ends(other, one) for other in here)
                and not view.is_over(one, one.expires_at)
            ]
            added = [one.arguments[1] for one in left(view, lambda some, member=member: _on(member, some), member)]  # type: ignore[misc]
            if sets or added:
                latest = max(sets, key=lambda one: one.age).arguments[1] if sets else 0
                scores[member] = latest + sum(added)
        return [[member, score] for member, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))]


def _on(member: Any, operations: Iterable[Operation]) -> list[Operation]:
    return [one for one in operations if one.name == "delete" or one.arguments[0] == member]


def _ends(other: Operation, one: Operation) -> bool:
    return other.name != "increment" and one.dot in other.seen
