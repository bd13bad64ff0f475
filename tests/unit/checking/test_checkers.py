"""Every checker on histories that are known to be good, and on the smallest ones that are bad."""

from dataclasses import replace
from typing import Any

import pytest

from crdtkv.checking.history import Operation, covers, missing
from crdtkv.checking.levels import nodes_asked_and_awaited, read_and_write_quorum

from .histories import broken, delete, final, get, increment, put, scan

LWW = {"type": "lww"}
COUNTER = {"type": "counter"}


# Contexts.


def test_a_context_covers_its_run_and_the_dots_beyond() -> None:
    context = {"a": [3, 5], "b": [0, 2]}
    assert [covers(context, ("a", n)) for n in (1, 3, 4, 5, 6)] == [True, True, False, True, False]
    assert [covers(context, dot) for dot in (("b", 1), ("b", 2), ("c", 1))] == [False, True, False]
    assert not covers(None, ("a", 1))
    assert not covers(context, None)


@pytest.mark.parametrize(
    ("context", "other", "lacks"),
    [
        ({"a": [3]}, {"a": [3]}, None),
        ({"a": [3]}, {"a": [2], "b": [0]}, None),
        ({"a": [2]}, {"a": [3]}, ("a", 3)),
        ({"a": [2, 4]}, {"a": [4]}, ("a", 3)),
        ({"a": [2, 3, 4]}, {"a": [4]}, None),
        ({}, {"b": [0, 7]}, ("b", 7)),
    ],
)
def test_what_a_context_lacks_of_another(context: dict, other: dict, lacks: tuple | None) -> None:
    assert missing(context, other) == lacks


# I1, acknowledged writes, and I7, as clients see it.


def test_an_acknowledged_write_that_is_there_is_fine() -> None:
    assert broken(put("x", 0, "a1"), final(["x"], {"a": [1]}), final(["x"], {"a": [1]}, datacenter="us")) == []


def test_an_acknowledged_write_that_no_data_center_has_is_lost() -> None:
    assert broken(put("x", 0, "a1"), final([], {})) == ["I1", "I10"]


def test_an_acknowledged_write_that_one_data_center_lacks_is_lost_there() -> None:
    history = [put("x", 0, "a1"), final(["x"], {"a": [1]}), final([], {}, datacenter="us")]
    assert broken(*history) == ["I1", "I7"]


def test_a_forgetful_store_may_lose_it() -> None:
    assert broken(put("x", 0, "a1"), final([], {}), lost_disks=2) == []


def test_a_write_of_unknown_fate_may_be_there_or_not() -> None:
    assert broken(put("x", 0, None), final(["x"], {"a": [1]})) == []
    assert broken(put("x", 0, None), final([], {})) == []


# I3, one operation a dot.


def test_two_acknowledged_writes_with_one_dot_are_found() -> None:
    assert "I3" in broken(put("x", 0, "a1"), put("y", 5, "a1"))


# I5, nothing is invented.


def test_a_value_nobody_wrote_is_found() -> None:
    assert broken(get(["ghost"], 0, {"a": [1]})) == ["I5"]


def test_a_value_that_was_certainly_refused_is_found() -> None:
    assert broken(put("x", 0, None, outcome="fail"), get(["x"], 5, {"a": [1]})) == ["I5"]


def test_a_value_that_was_written_later_is_found() -> None:
    assert broken(get(["x"], 0, {"a": [1]}), put("x", 5, "a1")) == ["I5"]


def test_a_value_may_be_read_while_it_is_written() -> None:
    assert broken(put("x", 0, "a1"), get(["x"], 0.5, {"a": [1]})) == []


# Registers.


def test_concurrent_writes_may_replace_each_other_or_stay_as_siblings() -> None:
    history = [put("x", 0, "a1"), put("y", 0.5, "b1")]
    for values in (["x", "y"], ["x"], ["y"]):
        assert broken(*history, final(values, {"a": [1], "b": [1]})) == []


def test_a_later_blind_write_may_replace_an_earlier_one_but_not_the_other_way_round() -> None:
    history = [put("x", 0, "a1", timestamp=1), put("y", 5, "b1", timestamp=9)]
    assert broken(*history, final(["y"], {"a": [1], "b": [1]})) == []
    assert broken(*history, final(["x"], {"a": [1], "b": [1]})) == ["I1", "I8"]


def test_a_write_that_a_read_has_not_heard_of_has_replaced_nothing_there() -> None:
    history = [put("x", 0, "a1", writes=1), put("y", 5, "b1", writes=1, timestamp=9)]
    assert broken(*history, get([], 8, {"a": [1]}, reads=1)) == ["I1"]
    assert broken(*history, get(["y"], 8, {"a": [1], "b": [1]}, reads=1)) == []


def test_a_blind_write_supersedes_what_it_met_on_a_replica() -> None:
    history = [put("x", 0, "a1", timestamp=1), put("y", 5, "b1", timestamp=9)]
    context = {"a": [1], "b": [1]}
    assert broken(*history, final(["y", "x"], context)) == ["I8"]
    assert broken(*history, final(["y", "x"], context), lost_disks=2) == []
    later = {"timestamp": 9, "writes": 1}
    assert (
        broken(put("x", 0, "a1", timestamp=1, writes=1), put("y", 5, "b1", **later), final(["y", "x"], context)) == []
    )


def test_siblings_stand_in_the_order_of_their_timestamps() -> None:
    history = [put("x", 0, "a1", timestamp=1), put("y", 0, "b1", timestamp=9)]
    context = {"a": [1], "b": [1]}
    assert broken(*history, final(["y", "x"], context)) == []
    assert broken(*history, final(["x", "y"], context)) == ["I1"]


def test_a_write_with_a_higher_timestamp_may_replace_a_later_one_on_other_replicas() -> None:
    history = [put("x", 0, "a1", timestamp=9), put("y", 5, "b1", timestamp=1)]
    assert broken(*history, final(["x"], {"a": [1], "b": [1]})) == []


def test_a_write_with_a_context_replaces_only_what_it_names() -> None:
    history = [put("x", 0, "a1"), put("z", 5, "b1", seen={"c": [1]}, timestamp=99)]
    assert broken(*history, final(["z", "x"], {"a": [1], "b": [1]})) == []
    assert broken(*history, final(["z"], {"a": [1], "b": [1]})) == ["I1"]


def test_what_a_context_named_must_not_come_back() -> None:
    history = [put("x", 0, "a1"), put("z", 5, "b1", seen={"a": [1]})]
    assert broken(*history, final(["z"], {"a": [1], "b": [1]})) == []
    assert broken(*history, final(["z", "x"], {"a": [1], "b": [1]})) == ["I8"]


def test_what_a_delete_has_seen_at_a_quorum_must_not_come_back() -> None:
    history = [put("x", 0, "a1"), delete(5, "b1")]
    assert broken(*history, final([], {"a": [1], "b": [1]})) == []
    assert broken(*history, final(["x"], {"a": [1], "b": [1]})) == ["I8"]


@pytest.mark.parametrize("blind", [{"datacenter": "us"}, {"reads": 1}, {"began": 0.5}])
def test_what_a_delete_may_have_missed_may_stay(blind: dict) -> None:
    remove = delete(**{"began": 5, "dot": "b1", **blind})
    assert broken(put("x", 0, "a1"), remove, final(["x"], {"a": [1], "b": [1]})) == []


def test_a_forgetful_store_may_delete_less_than_it_should_have_seen() -> None:
    history = [put("x", 0, "a1"), delete(5, "b1"), final(["x"], {"a": [1], "b": [1]})]
    assert broken(*history, lost_disks=2) == []


def test_a_write_after_a_delete_stays() -> None:
    history = [delete(0, "b1", timestamp=1), put("x", 5, "a1", timestamp=9)]
    assert broken(*history, final([], {"a": [1], "b": [1]})) == ["I1"]


def test_a_read_in_the_middle_is_judged_by_its_own_context() -> None:
    """It may lack a write it has not heard of, but not one whose dot it names."""
    history = [put("x", 0, "a1", writes=1)]
    assert broken(*history, get([], 5, {}, reads=1)) == []
    assert broken(*history, get([], 5, {"a": [1]}, reads=1)) == ["I1"]


# Last writer wins.


def test_the_highest_timestamp_wins() -> None:
    history = [put("x", 0, "a1", timestamp=7, **LWW), put("y", 0, "b1", timestamp=5, **LWW)]
    context = {"a": [1], "b": [1]}
    assert broken(*history, final(["x"], context, timestamp=7, **LWW)) == []
    assert broken(*history, final(["y"], context, timestamp=5, **LWW)) == ["I1"]
    assert broken(*history, final(["y"], context, timestamp=7, **LWW)) == ["I1"]


def test_a_delete_wins_by_its_timestamp_too() -> None:
    history = [put("x", 0, "a1", timestamp=5, **LWW), delete(0, "b1", timestamp=7, **LWW)]
    context = {"a": [1], "b": [1]}
    assert broken(*history, final([], context, timestamp=7, **LWW)) == []
    assert broken(*history, final(["x"], context, timestamp=5, **LWW)) == ["I1"]


def test_a_write_of_unknown_fate_may_have_won() -> None:
    history = [put("x", 0, "a1", timestamp=5, **LWW), put("y", 0, None, **LWW)]
    assert broken(*history, final(["y"], {"a": [1], "b": [1]}, timestamp=9, **LWW)) == []


def test_an_lww_read_that_has_not_heard_of_the_winner_is_fine() -> None:
    history = [put("x", 0, "a1", timestamp=5, **LWW), put("y", 0, "b1", timestamp=7, datacenter="us", **LWW)]
    assert broken(*history, get(["x"], 5, {"a": [1]}, timestamp=5, **LWW)) == []


# Counters.


def test_acknowledged_increments_count_exactly() -> None:
    history = [increment(3, 0, "a1"), increment(-1, 0, "b1")]
    assert broken(*history, final([2], {"a": [1], "b": [1]}, **COUNTER)) == []
    assert broken(*history, final([3], {"a": [1], "b": [1]}, **COUNTER)) == ["I1"]


def test_increments_of_unknown_fate_may_count_or_not() -> None:
    history = [increment(3, 0, "a1"), increment(5, 0, None), increment(-2, 0, None)]
    for value in (1, 3, 6, 8):
        assert broken(*history, final([value], {"a": [1]}, **COUNTER)) == []
    for value in (0, 9):
        assert broken(*history, final([value], {"a": [1]}, **COUNTER)) == ["I1"]


def test_refused_increments_do_not_count() -> None:
    history = [increment(3, 0, "a1"), increment(5, 0, None, outcome="fail")]
    assert broken(*history, final([8], {"a": [1]}, **COUNTER)) == ["I1"]


def test_a_read_counts_only_what_its_context_names() -> None:
    history = [increment(3, 0, "a1", writes=1), increment(5, 0, "b1", writes=1)]
    assert broken(*history, get([3], 5, {"a": [1]}, reads=1, **COUNTER)) == []
    assert broken(*history, get([8], 5, {"a": [1]}, reads=1, **COUNTER)) == ["I1"]


def test_a_delete_takes_what_it_has_seen_and_perhaps_what_was_concurrent() -> None:
    history = [increment(3, 0, "a1"), delete(5, "b1", **COUNTER), increment(4, 5.5, "a2")]
    context = {"a": [2], "b": [1]}
    for value in ([], [4]):
        assert broken(*history, final(value, context, **COUNTER)) == []
    assert broken(*history, final([7], context, **COUNTER)) == ["I1"]


def test_a_counter_that_adds_up_to_nothing_still_shows_its_zero() -> None:
    history = [increment(3, 0, "a1"), increment(-3, 0, "b1")]
    assert broken(*history, final([0], {"a": [1], "b": [1]}, **COUNTER)) == []
    assert broken(*history, final([], {"a": [1], "b": [1]}, **COUNTER)) == ["I1"]


def test_an_increment_after_a_delete_counts() -> None:
    history = [delete(0, "b1", **COUNTER), increment(4, 5, "a1")]
    assert broken(*history, final([], {"a": [1], "b": [1]}, **COUNTER)) == ["I1"]


# Sets.

SET: dict[str, Any] = {"type": "set"}
RWSET: dict[str, Any] = {"type": "rwset"}


def change(kind: str, element: str, began: float, dot: str | None, **fields: Any) -> Operation:
    return replace(put(element, began, dot, **fields), kind=kind)


def test_what_was_added_is_there_and_nothing_else() -> None:
    history = [change("add", "x", 0, "a1", **SET)]
    assert broken(*history, final(["x"], {"a": [1]}, **SET)) == []
    assert broken(*history, final([], {"a": [1]}, **SET)) == ["I1"]
    assert broken(*history, final(["x", "y"], {"a": [1]}, **SET)) == ["I5"]


def test_what_a_quorum_saw_and_removed_is_gone() -> None:
    history = [change("add", "x", 0, "a1", **SET), change("remove", "x", 5, "b1", **SET)]
    assert broken(*history, final([], {"a": [1], "b": [1]}, **SET)) == []
    assert broken(*history, final(["x"], {"a": [1], "b": [1]}, **SET)) == ["I8"]


def test_a_remove_with_context_takes_just_what_was_read() -> None:
    seen = [change("add", "x", 0, "a1", **SET), change("remove", "x", 0.5, "b1", seen={"a": [1]}, **SET)]
    assert broken(*seen, final(["x"], {"a": [1], "b": [1]}, **SET)) == ["I8"]
    unseen = [change("add", "x", 0, "a1", **SET), change("remove", "x", 5, "b1", seen={}, **SET)]
    assert broken(*unseen, final([], {"a": [1], "b": [1]}, **SET)) == ["I1"]
    assert broken(*unseen, final(["x"], {"a": [1], "b": [1]}, **SET)) == []


def test_a_concurrent_remove_may_have_met_the_add_or_not() -> None:
    history = [change("add", "x", 0, "a1", **SET), change("remove", "x", 0.5, "b1", datacenter="us", **SET)]
    for members in ([], ["x"]):
        assert broken(*history, final(members, {"a": [1], "b": [1]}, **SET)) == []


def test_a_delete_that_a_lost_disk_made_happen_twice_has_two_dots() -> None:
    """From seed 650004484, disks: a read had seen the first one, the client was told the second."""
    again = delete(5, "b1", outcome="info", repeated=[("b", 1), ("c", 1)], **SET)
    history = [change("add", "x", 0, "a1", **SET), again]
    assert broken(*history, get([], 8, {"a": [1], "c": [1]}, **SET), lost_disks=2) == []
    assert broken(*history, get([], 8, {"a": [1]}, **SET), lost_disks=2) == ["I1"]


def test_a_remove_of_another_element_takes_nothing() -> None:
    history = [change("add", "x", 0, "a1", **SET), change("remove", "y", 5, "b1", **SET)]
    assert broken(*history, final([], {"a": [1], "b": [1]}, **SET)) == ["I1"]


def test_in_a_remove_wins_set_a_remove_wins_that_the_add_cannot_have_seen() -> None:
    history = [
        change("add", "x", 0, "a1", **RWSET),
        change("remove", "x", 5, "b1", datacenter="us", writes=1, reads=1, **RWSET),
    ]
    assert broken(*history, final([], {"a": [1], "b": [1]}, **RWSET)) == []
    assert broken(*history, final(["x"], {"a": [1], "b": [1]}, **RWSET)) == ["I8"]


def test_in_a_remove_wins_set_an_add_wins_that_a_quorum_told_of_the_remove() -> None:
    history = [change("remove", "x", 0, "b1", **RWSET), change("add", "x", 5, "a1", **RWSET)]
    assert broken(*history, final(["x"], {"a": [1], "b": [1]}, **RWSET)) == []
    assert broken(*history, final([], {"a": [1], "b": [1]}, **RWSET)) == ["I1"]


# I10, quorums and sessions.


def test_a_quorum_read_sees_what_a_quorum_acknowledged() -> None:
    assert broken(put("x", 0, "a1"), get(["x"], 5, {"a": [1]})) == []
    assert broken(put("x", 0, "a1"), get([], 5, {})) == ["I10"]


@pytest.mark.parametrize(
    "read", [{"reads": 1}, {"datacenter": "us"}, {"began": 0.5}], ids=["too few", "elsewhere", "meanwhile"]
)
def test_a_read_that_need_not_overlap_may_miss_it(read: dict) -> None:
    assert broken(put("x", 0, "a1"), get(**{"values": [], "began": 5, "context": {}, **read})) == []


def test_quorum_reads_do_not_go_back_in_time() -> None:
    write = put("x", 0, None)
    assert broken(write, get([], 1, {}), get(["x"], 5, {"a": [1]})) == []
    assert broken(write, get(["x"], 1, {"a": [1]}), get([], 5, {})) == ["I10"]
    assert broken(write, get(["x"], 1, {"a": [1]}), get([], 1.5, {})) == []
    assert broken(write, get(["x"], 1, {"a": [1]}, reads=1), get([], 5, {})) == []


def test_a_quorum_scan_sees_what_a_quorum_acknowledged_or_a_quorum_read_has_shown() -> None:
    write = put("x", 0, "a1")
    assert broken(write, scan(["x"], 5, {"a": [1]})) == []
    assert broken(write, scan([], 5, {})) == ["I10"]
    assert broken(write, scan([], 5, {}, reads=1)) == []
    assert broken(put("x", 0, None), get(["x"], 1, {"a": [1]}), scan([], 5, {})) == ["I10"]


def test_a_later_read_need_not_show_what_a_scan_has_which_repairs_nothing() -> None:
    write = put("x", 0, None)
    assert broken(write, scan(["x"], 1, {"a": [1]}), get([], 5, {})) == []
    assert broken(write, scan(["x"], 1, {"a": [1]}), scan([], 5, {})) == []


def test_a_scan_shows_nothing_that_nobody_wrote() -> None:
    assert broken(put("x", 0, "a1"), scan(["y"], 5, {"a": [1]})) == ["I1", "I5"]


def test_a_session_sees_in_a_scan_what_it_has_seen() -> None:
    write = put("x", 0, "a1", session="s", writes=1)
    assert broken(write, scan([], 5, {}, datacenter="us", reads=1, session="s")) == ["I10"]


def test_a_session_reads_its_own_writes_in_whatever_data_center() -> None:
    write = put("x", 0, "a1", session="s", writes=1)
    assert broken(write, get(["x"], 5, {"a": [1]}, datacenter="us", reads=1, session="s")) == []
    assert broken(write, get([], 5, {}, datacenter="us", reads=1, session="s")) == ["I10"]
    assert broken(write, get([], 5, {}, datacenter="us", reads=1, session="another")) == []


def test_a_session_does_not_go_back_in_time() -> None:
    first = get(["x"], 2, {"a": [1]}, session="s", reads=1)
    history = [put("x", 0, "a1", writes=1), first]
    assert broken(*history, get([], 5, {}, datacenter="us", session="s", reads=1)) == ["I10"]


# LINEARIZABLE.


def test_registers_at_linearizable_are_judged_by_real_time() -> None:
    level = {"level": "LINEARIZABLE"}
    history = [put("x", 0, "a1", **level), put("y", 5, "b1", **level)]
    context = {"a": [1], "b": [1]}
    assert broken(*history, get(["y"], 8, context, **level)) == []
    assert "linearizable" in broken(*history, get(["x"], 8, context, **level))
    assert "linearizable" not in broken(*history, get(["x"], 8, context))


def test_a_register_that_was_deleted_is_not_judged_by_real_time() -> None:
    level = {"level": "LINEARIZABLE"}
    assert broken(put("x", 0, "a1", **level), delete(5, "b1", **level), get([], 8, {"a": [1], "b": [1]}, **level)) == []


# Lost disks.


def test_what_a_second_replica_had_must_outlive_one_lost_disk() -> None:
    assert "I1" in broken(put("x", 0, "a1", writes=2), final([], {}), lost_disks=1)
    assert broken(put("x", 0, "a1", writes=1), final([], {}), lost_disks=1) == []


def test_a_replica_that_forgot_may_not_make_a_quorum_read_miss_a_write() -> None:
    assert broken(put("x", 0, "a1", writes=2), get([], 5, {}, reads=2), lost_disks=1) == ["I10"]
    assert broken(put("x", 0, "a1", writes=2), get([], 5, {}, reads=1), lost_disks=1) == []


# Levels.


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 5])
def test_the_levels_written_down_twice_agree(replicas: int) -> None:
    from crdtkv.quorum.level import level_named

    for name in ("ANY", "ONE", "SLOPPY_QUORUM", "LOCAL_QUORUM", "LOCAL_ALL", "LINEARIZABLE", f"1,{replicas}"):
        level = level_named(name)
        theirs = (level.read_quorum(replicas), level.write_quorum(replicas))
        assert nodes_asked_and_awaited(name, replicas) == theirs
        assert read_and_write_quorum(name, replicas) == ((0, 0) if level.is_sloppy else theirs)


# Files.


def test_an_operation_survives_being_written_to_a_line() -> None:
    for operation in (put("x", 0, "a1", seen={"b": [2]}), get(["x"], 1, {"a": [1]}), put("y", 0, None)):
        assert Operation.from_json(operation.to_json()) == operation


def test_what_was_never_answered_has_no_end_in_the_file() -> None:
    line = put("x", 0, None, ended=float("inf")).to_json()
    assert '"ended": null' in line
    assert Operation.from_json(line).ended == float("inf")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7",
        "{}",
        "nonsense",
        '{"client": "c", "surprise": 1}',
        put("x", 0, "a1").to_json().replace('"ok"', '"great"'),
        put("x", 0, "a1").to_json().replace('"put"', '"puts"'),
    ],
)
def test_what_is_no_operation_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        Operation.from_json(line)
