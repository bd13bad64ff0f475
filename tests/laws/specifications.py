"""What each type means, said once more without its data structures: a value is a function of a set of operations.

An operation is told with what it had *seen* when it happened. A type is added to the laws by a class with `calls`,
the operations to try, and a line in `SPECIFICATIONS`; the laws themselves know no type.

`expected(operations, all_of_them)` is given the operations that were seen, and all that ever happened, by dot.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from crdtkv.causality.dot import Dot
from crdtkv.crdt.hll import registers_of
from crdtkv.crdt.registry import TYPES
from crdtkv.hashing import element_hash
from crdtkv.ids import actor_name

SUPERSEDE = "supersede"
#: The names the replicas of a history have first.
REPLICA_ACTORS = tuple(actor_name(f"n{number}", 1) for number in range(3))


class Operation(NamedTuple):
    """One operation. `seen` is the set of operations it acted on: what its client had read, or its coordinator held.

    `supersede` is a replica's own: it drops what is older than `timestamp` among what it has seen.
    An operation on several elements that stand for themselves is told as one for each.
    """

    dot: Dot
    timestamp: int
    name: str
    arguments: tuple[Any, ...]
    seen: frozenset[Dot]


Call = tuple[str, tuple[Any, ...]]
Everything = dict[Dot, Operation]
PUTS_AND_DELETES: tuple[Call, ...] = (("put", (b"\x01",)), ("put", (b"\x61x",)), ("delete", ()))


class RegisterSpecification:
    """The puts that no operation which had seen them replaced, the latest first."""

    calls = PUTS_AND_DELETES
    takes_context = frozenset(("put", "delete"))

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether nothing is left, and what is left."""
        puts = [one for one in operations if one.name == "put"]
        left = [put for put in puts if not any(_replaces(other, put) for other in operations)]
        latest_first = sorted(left, key=lambda put: (put.timestamp, put.dot), reverse=True)
        return not left, [(put.dot, put.timestamp, put.arguments[0]) for put in latest_first]

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, [tuple(version) for version in state.siblings()]


def _replaces(other: Operation, put: Operation) -> bool:
    if put.dot not in other.seen:
        return False
    return other.timestamp > put.timestamp if other.name == SUPERSEDE else True


class LastWriterWinsSpecification:
    """The operation with the highest (timestamp, dot)."""

    calls = PUTS_AND_DELETES
    takes_context: frozenset[str] = frozenset()

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether the last writer deleted, and its value."""
        if not operations:
            return True, None
        last = max(operations, key=lambda one: (one.timestamp, one.dot))
        value = last.arguments[0] if last.name == "put" else None
        return value is None, value

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, None if state.winner is None else state.winner.value


class CounterSpecification:
    """The sum of the increments that no delete had seen."""

    calls: tuple[Call, ...] = (("increment", (1,)), ("increment", (-3,)), ("increment", (0,)), ("delete", ()))
    takes_context: frozenset[str] = frozenset()

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether no increment is left, and the sum of those that are."""
        left = _left(operations, "increment")
        return not left, sum(one.arguments[0] for one in left)

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, state.value


def _left(operations: list[Operation], kind: str, removed_by: Iterable[str] = ("delete",)) -> list[Operation]:
    """Return the operations of a kind that no removing one had seen."""
    removals = [one for one in operations if one.name in removed_by]
    return [one for one in operations if one.name == kind and not any(one.dot in removal.seen for removal in removals)]


class SetSpecification:
    """The elements with an add that no later operation on the element, and no delete, had seen."""

    calls: tuple[Call, ...] = (
        ("add", (b"\x01",)),
        ("add", (b"\x01", b"\x02", b"\x03")),
        ("remove", (b"\x01",)),
        ("remove", (b"\x02", b"\x03")),
        ("delete", ()),
    )
    takes_context = frozenset(("add", "remove", "delete"))

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether nobody is a member, and the members."""
        members = {one.arguments[0] for one in operations if one.name == "add" and not _undone(one, operations)}
        return not members, sorted(members)

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, state.members


class GrowOnlySetSpecification(SetSpecification):
    """The elements that were added, less those a delete had seen."""

    calls = (("add", (b"\x01",)), ("add", (b"\x01", b"\x02", b"\x03")), ("delete", ()))


class RemoveWinsSetSpecification(SetSpecification):
    """The elements with an add but no remove, of those operations that no later one on the element had seen."""

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether nobody is a member, and the members."""
        left = [one for one in operations if one.name in ("add", "remove") and not _undone(one, operations)]
        removed = {one.arguments[0] for one in left if one.name == "remove"}
        members = {one.arguments[0] for one in left if one.name == "add"} - removed
        return not members, sorted(members)


def _undone(one: Operation, operations: list[Operation]) -> bool:
    """Tell whether a later operation on the same element, or on all, had seen this one."""
    return any(
        one.dot in other.seen and (other.name == "delete" or one.arguments[0] in other.arguments)
        for other in operations
    )


class FlagSpecification:
    """On if there is an enable that no later operation had seen."""

    calls: tuple[Call, ...] = (("enable", ()), ("disable", ()), ("delete", ()))
    takes_context = frozenset(("enable", "disable", "delete"))

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether it is off, and whether it is on."""
        left = [one for one in operations if not any(one.dot in other.seen for other in operations)]
        is_on = self.decide({one.name for one in left})
        return not is_on, is_on

    def decide(self, left: set[str]) -> bool:
        """Return what the operations that nothing has superseded come to."""
        return "enable" in left

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, state.is_on


class DisableWinsFlagSpecification(FlagSpecification):
    """On if there is an enable, and no disable, that no later operation had seen."""

    def decide(self, left: set[str]) -> bool:
        """Return what the operations that nothing has superseded come to."""
        return "enable" in left and "disable" not in left


class JoinedSpecification:
    """The join of the writes that no delete had seen; a write stands for all it had been joined with."""

    calls: tuple[Call, ...] = (("set", (1,)), ("set", (5,)), ("set", (3.5,)), ("set", (5.0,)), ("delete", ()))
    takes_context = frozenset(("delete",))

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether nothing is left, and the join of what is."""
        left = self._live(operations)
        return not left, self.join([self._value(one, everything) for one in left])

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, None if state.joined is None else self.shown(state.joined)

    def own(self, one: Operation) -> Any:
        """Return what a write itself says."""
        return (one.arguments[0], type(one.arguments[0]) is float)

    def join(self, values: list[Any]) -> Any:
        """Return the join of such values, None of none."""
        return max(values, default=None)

    def shown(self, joined: Any) -> Any:
        """Return the same of a stored value."""
        return (joined, type(joined) is float)

    def _live(self, operations: list[Operation]) -> list[Operation]:
        return [
            one for one in operations if one.name != "delete" and not any(one.dot in other.seen for other in operations)
        ]

    def _value(self, one: Operation, everything: Everything) -> Any:
        held = self._live([everything[dot] for dot in one.seen if dot in everything])
        return self.join([self.own(one), *(self._value(other, everything) for other in held)])


class MinimumSpecification(JoinedSpecification):
    """The smallest instead."""

    def join(self, values: list[Any]) -> Any:
        """Return the smallest, None of none."""
        return min(values, default=None)


class HyperLogLogSpecification(JoinedSpecification):
    """The highest rank that any element has for each register."""

    calls = (("add", (b"\x01",)), ("add", (b"\x02", b"\x03")), ("add", (b"\x01", b"\x02")), ("delete", ()))

    def own(self, one: Operation) -> Any:
        """Return the ranks of the elements by register."""
        return self.join([{_register(element): _rank(element)} for element in one.arguments])

    def join(self, values: list[Any]) -> Any:
        """Return the highest rank of each register."""
        if not values:
            return None
        return {index: max(value.get(index, 0) for value in values) for index in sorted(set().union(*values))}

    def shown(self, joined: Any) -> Any:
        """Return the registers above 0."""
        return {index: rank for index, rank in enumerate(registers_of(joined)) if rank}


def _register(element: bytes) -> int:
    return element_hash(element) >> 52


def _rank(element: bytes) -> int:
    bits = f"{element_hash(element):064b}"[12:] + "1"
    return bits.index("1") + 1


class BoardSpecification:
    """Of each member the latest set that nothing later had seen, plus the increments that no later set had seen."""

    calls: tuple[Call, ...] = (
        ("set", (b"\x01", 10)),
        ("set", (b"\x01", 2.5)),
        ("set", (b"\x02", 7)),
        ("increment", (b"\x01", 1)),
        ("increment", (b"\x02", -0.5)),
        ("remove", (b"\x01",)),
        ("delete", ()),
    )
    takes_context: frozenset[str] = frozenset()

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether nobody is a member, and the ranking."""
        scores: dict[bytes, float] = {}
        for member in (b"\x01", b"\x02"):
            sets = [one for one in self._on(member, operations) if one.name == "set"]
            left = [one for one in sets if not any(self._ends(other, one) for other in self._on(member, operations))]
            added = _left(self._on(member, operations), "increment", ("set", "remove", "delete"))
            if left or added:
                latest = max(left, key=lambda one: (one.timestamp, one.dot)).arguments[1] if left else 0
                scores[member] = latest + sum(one.arguments[1] for one in added)
        ranked = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
        return not scores, ranked

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, state.ranking()

    @staticmethod
    def _on(member: bytes, operations: Iterable[Operation]) -> list[Operation]:
        return [one for one in operations if one.name == "delete" or one.arguments[0] == member]

    @staticmethod
    def _ends(other: Operation, one: Operation) -> bool:
        return other.name != "increment" and one.dot in other.seen


class MapSpecification:
    """Every field for itself, as its type says of the operations on it; a delete is one on every field."""

    calls: tuple[Call, ...] = (
        ("update", (["register", b"name"], "put", b"\x01")),
        ("update", (["register", b"name"], "delete")),
        ("update", (["counter", b"logins"], "increment", 1)),
        ("update", (["counter", b"logins"], "delete")),
        ("update", (["set", b"tags"], "add", b"\x01", b"\x02")),
        ("update", (["set", b"tags"], "remove", b"\x01")),
        ("update", (["board", b"scores"], "increment", b"\x01", 2)),
        ("update", (["lww", b"seen"], "put", b"\x05")),
        ("update", (["map", b"a", "map", b"b", "set", b"c"], "add", b"\x01")),
        ("update", (["map", b"a", "map", b"b", "counter", b"d"], "increment", 1)),
        ("update", (["map", b"a", "map", b"b", "rwset", b"c"], "remove", b"\x01")),
        ("update", (["map", b"a", "maxreg", b"top"], "set", 3)),
        ("update", (["map", b"a", "map", b"b"], "delete")),
        ("update", (["map", b"a"], "delete")),
        ("delete", ()),
    )
    takes_context = frozenset(("update",))

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether no field is there, and what the fields are."""
        fields: dict[tuple[str, bytes], object] = {}
        for field in sorted({tuple(one.arguments[0][:2]) for one in operations if one.name == "update"}):
            inner = _on_field(field, everything.values())
            here = [inner[one.dot] for one in operations if one.dot in inner]
            is_empty, value = SPECIFICATIONS[field[0]].expected(here, inner)
            if not is_empty:
                fields[field] = value
        return not fields, fields

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        shown = {tuple(field): SPECIFICATIONS[field.type_tag].actual(inner)[1] for field, inner in state.shown()}
        return state.is_empty, shown


def _on_field(field: tuple[str, bytes], operations: Iterable[Operation]) -> Everything:
    """Return the operations on a field, as those of its own type; a delete is one if it had seen the field."""
    found: Everything = {}
    for one in operations:
        if one.name == "update" and tuple(one.arguments[0][:2]) == field:
            path, name, *arguments = one.arguments
            deeper = path[2:]
            call = ("update", (deeper, name, *arguments)) if deeper else (name, tuple(arguments))
            found[one.dot] = one._replace(name=call[0], arguments=call[1])
    for one in operations:
        if one.name == "delete" and not one.seen.isdisjoint(found):
            found[one.dot] = one
    return found


class BoundedCounterSpecification:
    """All increments less all decrements; never below 0."""

    calls: tuple[Call, ...] = (
        ("increment", (2,)),
        ("decrement", (1,)),
        *(("transfer", (1, to)) for to in REPLICA_ACTORS),
    )
    takes_context: frozenset[str] = frozenset()

    def expected(self, operations: list[Operation], everything: Everything) -> tuple[bool, object]:
        """Return whether nothing was counted, and the difference."""
        up = sum(one.arguments[0] for one in operations if one.name == "increment")
        down = sum(one.arguments[0] for one in operations if one.name == "decrement")
        assert up >= down
        return not operations, up - down

    def actual(self, state: Any) -> tuple[bool, object]:
        """Return the same of a state."""
        return state.is_empty, state.value


SPECIFICATIONS: dict[str, Any] = {
    "register": RegisterSpecification(),
    "lww": LastWriterWinsSpecification(),
    "counter": CounterSpecification(),
    "set": SetSpecification(),
    "rwset": RemoveWinsSetSpecification(),
    "gset": GrowOnlySetSpecification(),
    "flag": FlagSpecification(),
    "dwflag": DisableWinsFlagSpecification(),
    "maxreg": JoinedSpecification(),
    "minreg": MinimumSpecification(),
    "hll": HyperLogLogSpecification(),
    "board": BoardSpecification(),
    "map": MapSpecification(),
    "bcounter": BoundedCounterSpecification(),
}
assert set(SPECIFICATIONS) == set(TYPES)
