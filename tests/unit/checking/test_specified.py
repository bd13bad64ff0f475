"""Every type by its specification: histories with all that the nodes made, good ones and the smallest that are bad."""

from typing import Any

import pytest

from crdtkv.checking.history import Context, Operation
from crdtkv.checking.specification.operation import Operation as Made
from crdtkv.checking.verdict import judge

KEY = "k"


class World:
    """One key; operations of actors `a`, `b`, …, each with the given set of seen operations."""

    def __init__(self, type_tag: str) -> None:
        self.type_tag = type_tag
        self.made: dict[tuple[str, int], Made] = {}
        self.history: list[Operation] = []

    def made_by(
        self, dot: str, name: str, *arguments: Any, seen: str = "", at: int = 0, ttl: int = 0, is_told: bool = True
    ) -> "World":
        """Let an operation happen at a hybrid time; its client is told, unless its fate is unknown."""
        number = (dot[0], int(dot[1:]))
        held = frozenset((one[0], int(one[1:])) for one in seen.split())
        timestamp = at or 10 * (len(self.made) + 1)
        self.made[number] = Made(number, timestamp, name, arguments, held, held, timestamp + ttl if ttl else None)
        self.history.append(
            Operation(
                client="c",
                datacenter="eu",
                kind=name,
                type=self.type_tag,
                key=KEY,
                began=float(timestamp),
                ended=timestamp + 1.0,
                argument=list(arguments),
                outcome="ok" if is_told else "info",
                dot=number if is_told else None,
                timestamp=timestamp if is_told else 0,
                ttl_ms=ttl,
                replicas=3,
            )
        )
        return self

    def read(self, values: list[Any], context: Context, between: tuple[int, int] = (0, 0), **more: Any) -> list[str]:
        """Return the invariants that are broken if this is read in the end, each once."""
        read = Operation(
            client="c",
            datacenter="eu",
            kind="final",
            type=self.type_tag,
            key=KEY,
            began=5000.0,
            ended=5001.0,
            outcome="ok",
            values=values,
            context=context,
            earliest=between[0],
            latest=between[1],
            replicas=3,
            **more,
        )
        found = judge([*self.history, read], made={(self.type_tag, KEY): self.made})
        return sorted({violation.invariant for violation in found})


def test_every_acknowledged_add_is_in_a_grow_only_set() -> None:
    world = World("gset").made_by("a1", "add", "x").made_by("b1", "add", "y")
    both: Context = {"a": [1], "b": [1]}
    assert world.read(["x", "y"], both) == []
    assert world.read(["x"], both) == ["value"]
    assert world.read(["x"], {"a": [1]}) == ["I1"]
    assert world.read(["x", "y", "z"], both) == ["I5", "value"]


def test_an_operation_of_unknown_fate_counts_where_it_is_named() -> None:
    world = World("gset").made_by("a1", "add", "x").made_by("b1", "add", "y", is_told=False)
    assert world.read(["x"], {"a": [1]}) == []
    assert world.read(["x", "y"], {"a": [1], "b": [1]}) == []
    assert world.read(["x", "y"], {"a": [1]}) == ["value"]


@pytest.mark.parametrize(("type_tag", "beside", "after"), [("flag", [True], []), ("dwflag", [], [])])
def test_a_disable_takes_only_enables_it_had_seen(type_tag: str, beside: list[Any], after: list[Any]) -> None:
    both: Context = {"a": [1], "b": [1]}
    concurrent = World(type_tag).made_by("a1", "enable").made_by("b1", "disable")
    assert concurrent.read(beside, both) == []
    assert concurrent.read([] if beside else [True], both) == ["value"]
    later = World(type_tag).made_by("a1", "enable").made_by("b1", "disable", seen="a1")
    assert later.read(after, both) == []
    assert later.read([True], both) == ["value"]


def test_a_maximum_is_the_greatest_that_was_written_not_the_last() -> None:
    world = World("maxreg").made_by("a1", "set", 9).made_by("a2", "set", 4, seen="a1")
    assert world.read([9], {"a": [2]}) == []
    assert world.read([4], {"a": [2]}) == ["value"]
    assert World("minreg").made_by("a1", "set", 9).made_by("b1", "set", 4).read([4], {"a": [1], "b": [1]}) == []


def test_a_write_beside_a_delete_keeps_what_it_was_joined_with() -> None:
    world = (
        World("maxreg").made_by("a1", "set", 9).made_by("a2", "set", 4, seen="a1").made_by("b1", "delete", seen="a1")
    )
    assert world.read([9], {"a": [2], "b": [1]}) == []
    assert world.read([], {"a": [2], "b": [1]}) == ["value"]


def test_a_sketch_has_the_registers_of_all_that_was_added() -> None:
    world = World("hll").made_by("a1", "add", "x").made_by("b1", "add", "y")
    both: Context = {"a": [1], "b": [1]}
    (x, rank_of_x), y = [407, 2], [1745, 2]
    assert world.read([[[x, rank_of_x], y]], both) == []
    assert world.read([[y]], both) == ["value"]
    assert world.read([[[x, rank_of_x + 1], y]], both) == ["value"]


def test_scores_are_the_sets_and_increments_that_nothing_later_had_seen() -> None:
    world = World("board").made_by("a1", "set", "ann", 5).made_by("b1", "increment", "ann", 2)
    world.made_by("a2", "increment", "bob", 1, seen="a1").made_by("c1", "remove", "bob", seen="")
    everything: Context = {"a": [2], "b": [1], "c": [1]}
    assert world.read([["ann", 7], ["bob", 1]], everything) == []
    assert world.read([["ann", 5], ["bob", 1]], everything) == ["value"]
    assert world.read([["ann", 7]], everything) == ["value"]


def test_a_field_is_what_its_type_says_of_the_operations_on_it() -> None:
    world = World("map").made_by("a1", "update", ["counter", "n"], "increment", 2)
    world.made_by("b1", "update", ["counter", "n"], "delete").made_by(
        "a2", "update", ["map", "in", "set", "s"], "add", "x", seen="a1"
    )
    everything: Context = {"a": [2], "b": [1]}
    inner = ["map", "in", [["set", "s", ["x"]]]]
    assert world.read([["counter", "n", [2]], inner], everything) == []
    assert world.read([inner], everything) == ["value"]
    world.made_by("c1", "update", ["map", "in"], "delete", seen="a1 a2")
    assert world.read([["counter", "n", [2]]], {**everything, "c": [1]}) == []


def test_a_bounded_counter_is_its_increments_less_its_decrements_and_never_below_zero() -> None:
    world = World("bcounter").made_by("a1", "increment", 3).made_by("a2", "decrement", 2, seen="a1")
    assert world.read([1], {"a": [2]}) == []
    assert world.read([2], {"a": [2]}) == ["value"]
    assert world.read([-1], {"a": [2]}) == ["rights", "value"]


def test_rights_are_those_of_the_node_that_decrements_as_far_as_it_has_seen() -> None:
    elsewhere = World("bcounter").made_by("a1", "increment", 3).made_by("b1", "decrement", 1, seen="a1")
    assert elsewhere.read([2], {"a": [1], "b": [1]}) == ["rights"]
    twice = World("bcounter").made_by("a1", "increment", 3).made_by("a2", "decrement", 2, seen="a1")
    twice.made_by("a3", "decrement", 2, seen="a1 a2")
    assert twice.read([-1], {"a": [3]}) == ["rights"]
    given = World("bcounter").made_by("a1", "increment", 3).made_by("a2", "transfer", 2, "b", seen="a1")
    given.made_by("b1", "decrement", 2, seen="a1 a2")
    assert given.read([1], {"a": [2], "b": [1]}) == []
    given.made_by("a3", "decrement", 2, seen="a1 a2")
    assert given.read([-1], {"a": [3], "b": [1]}) == ["rights"]


def test_what_has_expired_is_absent_and_what_has_not_is_there() -> None:
    world = World("gset").made_by("a1", "add", "x", at=100, ttl=50).made_by("b1", "add", "y", at=100)
    both: Context = {"a": [1], "b": [1]}
    assert world.read(["x", "y"], both, between=(120, 149)) == []
    assert world.read(["y"], both, between=(120, 149)) == ["value"]
    assert world.read(["x", "y"], both, between=(150, 160)) == ["value"]
    assert world.read(["y"], both, between=(150, 160)) == []
    # A read that was answered at some time about then may have come before or after.
    assert world.read(["y"], both, between=(140, 160)) == world.read(["x", "y"], both, between=(140, 160)) == []


def test_a_write_without_a_time_to_live_takes_the_place_of_the_expiry() -> None:
    world = World("flag").made_by("a1", "enable", at=100, ttl=50).made_by("a2", "enable", at=110, seen="a1")
    assert world.read([True], {"a": [2]}, between=(200, 200)) == []
    assert world.read([], {"a": [2]}, between=(200, 200)) == ["value"]


def test_a_short_time_to_live_takes_nothing_with_it_that_was_to_last_longer() -> None:
    world = World("maxreg").made_by("a1", "set", 9, at=100, ttl=90).made_by("a2", "set", 4, at=110, ttl=10, seen="a1")
    assert world.read([9], {"a": [2]}, between=(150, 150)) == []
    assert world.read([], {"a": [2]}, between=(150, 150)) == ["value"]
    counter = World("counter").made_by("a1", "increment", 2, at=100, ttl=90)
    counter.made_by("a2", "increment", 1, at=110, ttl=10, seen="a1")
    assert counter.read([3], {"a": [2]}, between=(150, 150)) == []
    assert counter.read([], {"a": [2]}, between=(190, 190)) == []


def test_what_a_later_write_found_expired_stays_away_also_by_a_clock_that_is_behind() -> None:
    world = World("gset").made_by("a1", "add", "x", at=100, ttl=50).made_by("b1", "add", "y", at=160, seen="a1")
    assert world.read(["y"], {"a": [1], "b": [1]}, between=(120, 120)) == []
    assert world.read(["x", "y"], {"a": [1], "b": [1]}, between=(120, 120)) == ["value"]


def test_of_last_writers_the_later_one_decides_also_when_it_has_expired() -> None:
    world = World("lww").made_by("a1", "put", "x", at=100).made_by("b1", "put", "y", at=110, ttl=50)
    both: Context = {"a": [1], "b": [1]}
    assert world.read(["y"], both, between=(120, 120)) == []
    assert world.read([], both, between=(170, 170)) == []
    assert world.read(["x"], both, between=(170, 170)) == ["value"]


def test_clients_are_told_what_was_made() -> None:
    world = World("flag").made_by("a1", "enable")
    world.made["a", 1] = world.made["a", 1]._replace(name="disable")
    assert world.read([], {"a": [1]}) == ["I3"]
    del world.made["a", 1]
    assert world.read([True], {"a": [1]}) == ["I3", "I5"]


@pytest.mark.parametrize(("seen", "broken"), [("a1", []), ("", ["I8"])])
def test_what_removes_has_met_what_a_quorum_had(seen: str, broken: list[str]) -> None:
    world = World("flag").made_by("a1", "enable").made_by("b1", "disable", seen=seen)
    for operation in world.history:
        operation.reads = operation.writes = 2
    assert world.read([] if seen else [True], {"a": [1], "b": [1]}) == broken
