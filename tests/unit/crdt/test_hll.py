"""The sketch of distinct elements: its error is as stated, and it is the same however the elements came into it."""

import math
from itertools import islice

import pytest
from acting import act, everywhere

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.dotted import MAX_ELEMENTS
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.hll import RANK_BITS, REGISTERS, STANDARD_ERROR, HyperLogLog, registers_of, sketch_of
from crdtkv.errors import InvalidRequest

EMPTY = Entry.empty("hll")
MAX_SPARSE = (REGISTERS - 1) // 3


def elements(count: int, series: int = 0) -> list[bytes]:
    return [b"%d/%d" % (series, number) for number in range(count)]


def added(*items: bytes, on: Entry = EMPTY, dot: tuple[str, int] = ("a", 1)) -> Entry:
    for number, start in enumerate(range(0, len(items), MAX_ELEMENTS)):
        on = act(on, (dot[0], dot[1] + number), "add", *items[start : start + MAX_ELEMENTS])
    return on


def count(entry: Entry) -> int:
    assert isinstance(entry.state, HyperLogLog)
    return entry.state.count


def sketch(entry: Entry) -> bytes:
    assert isinstance(entry.state, HyperLogLog)
    assert entry.state.joined is not None
    return entry.state.joined


def test_what_nothing_was_added_to_counts_none() -> None:
    assert count(EMPTY) == 0
    assert EMPTY.is_tombstone
    assert repr(EMPTY.state) == "hll(0)"


def test_a_few_elements_are_counted_exactly() -> None:
    for number in (1, 2, 5, 10, 20):
        assert count(added(*elements(number))) == number
    assert repr(added(b"\x01", b"\x02").state) == "hll(2)"


@pytest.mark.parametrize(("size", "sketches"), [(10, 30), (1_000, 30), (10_000, 30), (100_000, 12)])
def test_the_error_is_as_stated(size: int, sketches: int) -> None:
    errors = [count(added(*elements(size, series))) / size - 1 for series in range(sketches)]
    # Of ten elements one is missed if two of them share a register.
    assert max(map(abs, errors)) < max(4 * STANDARD_ERROR, 1.5 / size)
    assert math.sqrt(sum(error * error for error in errors) / sketches) < 1.4 * STANDARD_ERROR
    # Errors on both sides cancel out: the estimate is not biased.
    assert abs(sum(errors) / sketches) < 3 * STANDARD_ERROR / math.sqrt(sketches)


@pytest.mark.parametrize("size", [1, 100, 3_000])
def test_merging_sketches_is_adding_all_to_one(size: int) -> None:
    items = iter(elements(3 * size))
    parts = [list(islice(items, size)) for _ in range(3)]
    # Each part overlaps with the next one.
    merged = everywhere(
        *(added(*parts[number], *parts[(number + 1) % 3], dot=(actor, 1)) for number, actor in enumerate("abc"))
    )
    assert sketch(merged) == sketch(added(*parts[0], *parts[1], *parts[2]))
    assert count(merged) == count(added(*elements(3 * size)))


def test_an_element_counts_once_however_often_it_is_added() -> None:
    held = added(*elements(100))
    again = act(held, ("b", 1), "add", *elements(50))
    assert count(again) == count(held)


def test_a_write_takes_the_place_of_all_that_is_held_and_keeps_what_it_said() -> None:
    held = everywhere(added(b"\x01", dot=("a", 1)), added(b"\x02", dot=("b", 1)))
    more = added(b"\x03", on=held, dot=("c", 1))
    assert [(dot, len(one)) for dot, one in more.state.group.items()] == [(Dot("c", 1), 9)]  # type: ignore[attr-defined]
    assert count(more) == 3


def test_what_was_added_while_the_whole_was_deleted_survives_with_all_it_was_joined_with() -> None:
    shared = added(b"\x01")
    deleted = act(shared, ("a", 2), "delete")
    assert count(deleted) == 0
    more = added(b"\x02", on=shared, dot=("b", 1))
    assert count(everywhere(deleted, more)) == 2
    assert count(everywhere(deleted, added(b"\x02", dot=("b", 1)))) == 1


def test_a_delete_with_a_context_takes_away_just_what_its_client_had_read() -> None:
    read = added(b"\x01")
    held = everywhere(read, added(b"\x02", dot=("b", 1)))
    assert count(act(held, ("c", 1), "delete", seen=read.context)) == 1


def test_a_sketch_is_as_short_as_it_can_be() -> None:
    assert len(sketch(added(*elements(10)))) == 30
    for used in (MAX_SPARSE, MAX_SPARSE + 1):
        registers = bytes([1] * used + [0] * (REGISTERS - used))
        short = sketch_of(registers)
        assert len(short) == min(3 * used, REGISTERS)
        assert bytes(registers_of(short)) == registers


def test_what_expires_is_no_longer_counted() -> None:
    held = everywhere(added(b"\x01"), act(EMPTY, ("b", 1), "add", b"\x02", expires_at=50))
    assert count(held.at(49)) == 2
    assert count(held.at(50)) == 1


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    assert added(b"\x01").without_older(10, Event(Dot("b", 1), 10)) is None


@pytest.mark.parametrize("arguments", [[], ["x"], [1], [b"\x01", None], [[b"\x01"]]], ids=repr)
def test_what_is_no_list_of_elements_is_refused(arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="add takes one or more elements"):
        act(EMPTY, ("a", 1), "add", *arguments)


@pytest.mark.parametrize(("operation", "arguments"), [("remove", [b"\x01"]), ("set", [1]), ("", []), ("delete", [1])])
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match=r"a hll knows add\(\) and delete\(\)"):
        act(EMPTY, ("a", 1), operation, *arguments)


def test_a_context_is_taken_by_a_delete_alone() -> None:
    with pytest.raises(InvalidRequest, match="add of a hll takes no context"):
        act(EMPTY, ("a", 1), "add", b"\x01", seen=NOTHING)


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "x",
        7,
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\x01\0",
        b"\0\0\0",
        b"\x10\0\x01",
        b"\xff\xff\x01",
        b"\0\x01\x01\0\0\x01",
        b"\0\x01\x01\0\x01\x01",
        bytes([0, 0, RANK_BITS + 2]),
        bytes(REGISTERS),
        bytes([1] + [0] * (REGISTERS - 1)),
        bytes([RANK_BITS + 2] * REGISTERS),
        bytes([1] * (REGISTERS - 1)),
        bytes([1] * (REGISTERS + 1)),
        b"".join(index.to_bytes(2, "big") + b"\x01" for index in range(MAX_SPARSE + 1)),
    ],
    ids=lambda damaged: f"{damaged!r:.24}",
)
def test_a_damaged_sketch_is_refused(damaged: object) -> None:
    with pytest.raises(InvalidRequest):
        HyperLogLog.from_wire(["a", 1, damaged])


def test_a_sketch_at_the_highest_rank_is_read_back_and_counted() -> None:
    full = HyperLogLog.from_wire(["a", 1, bytes([RANK_BITS + 1] * REGISTERS)])
    assert full.to_wire() == ["a", 1, bytes([RANK_BITS + 1] * REGISTERS)]
    assert full.count == 2**64
    almost = HyperLogLog.from_wire(["a", 1, bytes([RANK_BITS + 1] * (REGISTERS - 1) + [RANK_BITS])])
    assert 2**60 < almost.count < 2**70
