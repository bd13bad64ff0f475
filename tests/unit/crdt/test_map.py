"""The map: fields of any type, as independent as keys; the effect of removing one; invalid fields."""

from typing import Any

import pytest
from acting import act, delta, everywhere

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.map import MAX_DEPTH, Field, Map
from crdtkv.crdt.registry import TYPES
from crdtkv.errors import InvalidRequest
from crdtkv.ids import MAX_KEY_BYTES

EMPTY = Entry.empty("map")
NAME, LOGINS, TAGS, SEEN = ["register", b"name"], ["counter", b"logins"], ["set", b"tags"], ["lww", b"seen"]
A, A_TAGS, A_LOGINS = ["map", b"a"], ["map", b"a", "set", b"tags"], ["map", b"a", "counter", b"logins"]
#: An operation on a fresh field of each type, and what is shown of the field then.
FIRST: dict[str, tuple[list[Any], str]] = {
    "register": (["put", b"\x01"], "register(a:1=01)"),
    "lww": (["put", b"\x01"], "lww(a:1=01)"),
    "counter": (["increment", 3], "counter(3)"),
    "set": (["add", b"\x01"], "set(01)"),
    "rwset": (["add", b"\x01"], "rwset(01)"),
    "gset": (["add", b"\x01"], "gset(01)"),
    "flag": (["enable"], "flag(on)"),
    "dwflag": (["enable"], "dwflag(on)"),
    "maxreg": (["set", 3], "maxreg(3)"),
    "minreg": (["set", 3], "minreg(3)"),
    "hll": (["add", b"\x01"], "hll(1)"),
    "board": (["set", b"\x01", 3], "board(01=3)"),
}


def update(on: Entry, dot: tuple[str, int], path: list[Any], *call: Any, **more: Any) -> Entry:
    return act(on, dot, "update", path, *call, **more)


def shown(entry: Entry) -> dict[str, str]:
    """Return what a reader sees: the fields by their path."""
    assert isinstance(entry.state, Map)
    return _shown(entry.state, "")


def _shown(state: Map, prefix: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for (_, name), field in state.shown():
        path = prefix + name.decode()
        fields.update(_shown(field, path + "/") if isinstance(field, Map) else {path: repr(field)})
    return fields


def nested(depth: int) -> list[Any]:
    """Return the path to a counter in so many maps, that of the key counted."""
    return ["map", b"m"] * (depth - 1) + ["counter", b"n"]


def test_a_map_nothing_was_written_into_is_empty() -> None:
    assert shown(EMPTY) == {}
    assert EMPTY.is_tombstone
    assert EMPTY.state.newest() == 0


def test_there_is_a_way_to_try_every_type_that_may_be_a_field() -> None:
    assert {*FIRST, "map", "bcounter"} == set(TYPES)


@pytest.mark.parametrize("type_tag", FIRST)
def test_a_field_of_every_type_is_written_shown_removed_and_written_again(type_tag: str) -> None:
    call, expected = FIRST[type_tag]
    for path in ([type_tag, b"f"], ["map", b"m", type_tag, b"f"]):
        name = "f" if len(path) == 2 else "m/f"
        written = update(EMPTY, ("a", 1), path, *call, at=1)
        assert shown(written) == {name: expected}
        removed = update(written, ("a", 2), path, "delete", at=2)
        assert shown(removed) == {}
        assert removed.is_tombstone
        assert list(shown(update(removed, ("a", 3), path, *call, at=3))) == [name]
        for entry in (written, removed):
            assert Entry.from_peer(entry.to_bytes(), "map") == entry


def test_a_field_is_a_type_and_a_name() -> None:
    held = update(update(EMPTY, ("a", 1), ["set", b"x"], "add", b"\x01"), ("a", 2), ["counter", b"x"], "increment", 3)
    assert isinstance(held.state, Map)
    assert [field for field, _ in held.state.shown()] == [Field("counter", b"x"), Field("set", b"x")]
    assert repr(held.state) == "map(78=counter(3), 78=set(01))"


def test_concurrent_writes_into_a_field_are_merged_as_its_type_says() -> None:
    here = update(update(EMPTY, ("a", 1), LOGINS, "increment", 3), ("a", 2), NAME, "put", b"\x01", at=1)
    there = update(update(EMPTY, ("b", 1), LOGINS, "increment", 4), ("b", 2), NAME, "put", b"\x02", at=2)
    assert shown(everywhere(here, there)) == {"logins": "counter(7)", "name": "register(a:2=01, b:2=02)"}


def test_two_replicas_that_make_the_same_map_at_the_same_time_make_one() -> None:
    here, there = update(EMPTY, ("a", 1), A_TAGS, "add", b"\x01"), update(EMPTY, ("b", 1), A_LOGINS, "increment", 1)
    assert shown(everywhere(here, there)) == {"a/tags": "set(01)", "a/logins": "counter(1)"}


def test_removing_a_field_spares_what_was_written_into_it_concurrently() -> None:
    shared = update(update(EMPTY, ("a", 1), TAGS, "add", b"\x01"), ("a", 2), LOGINS, "increment", 3)
    removed = update(update(shared, ("b", 1), TAGS, "delete"), ("b", 2), LOGINS, "delete")
    more = update(update(shared, ("a", 3), TAGS, "add", b"\x02"), ("a", 4), LOGINS, "increment", 4)
    assert shown(removed) == {}
    assert shown(everywhere(removed, more)) == {"tags": "set(02)", "logins": "counter(4)"}


def test_removing_a_map_removes_all_that_was_seen_in_it_and_nothing_else() -> None:
    held = update(update(EMPTY, ("a", 1), A_TAGS, "add", b"\x01"), ("a", 2), A_LOGINS, "increment", 3)
    held = update(held, ("a", 3), TAGS, "add", b"\x05")
    removed = update(held, ("b", 1), A, "delete")
    assert shown(removed) == {"tags": "set(05)"}
    assert shown(everywhere(removed, update(held, ("a", 4), A_TAGS, "add", b"\x02"))) == {
        "a/tags": "set(02)",
        "tags": "set(05)",
    }


def test_deleting_the_whole_spares_what_was_written_concurrently() -> None:
    shared = update(update(EMPTY, ("a", 1), A_LOGINS, "increment", 3), ("a", 2), TAGS, "add", b"\x01")
    deleted = act(shared, ("b", 1), "delete")
    assert deleted.is_tombstone
    assert shown(everywhere(deleted, update(shared, ("a", 3), A_LOGINS, "increment", 4))) == {"a/logins": "counter(4)"}
    assert shown(everywhere(deleted, update(shared, ("a", 3), TAGS, "add", b"\x02"))) == {"tags": "set(02)"}


def test_an_operation_on_a_field_says_nothing_about_the_others() -> None:
    shared = update(update(EMPTY, ("a", 1), NAME, "put", b"\x01"), ("a", 2), TAGS, "add", b"\x01")
    change = delta(shared, ("b", 1), "update", NAME, "put", b"\x02")
    assert repr(change) == "Entry(map(6e616d65=register(b:1=02)) seen {a:1, b:1})"
    assert shown(everywhere(shared, change)) == {"name": "register(b:1=02)", "tags": "set(01)"}


def test_a_field_of_a_nested_map_is_changed_alone_too() -> None:
    shared = update(update(EMPTY, ("a", 1), A_TAGS, "add", b"\x01"), ("a", 2), A_LOGINS, "increment", 3)
    change = delta(shared, ("b", 1), "update", A_TAGS, "remove", b"\x01")
    assert repr(change) == "Entry(map() seen {a:1, b:1})"
    assert shown(everywhere(shared, change)) == {"a/logins": "counter(3)"}


def test_a_put_with_a_context_replaces_just_the_siblings_its_client_had_read() -> None:
    read = update(EMPTY, ("a", 1), NAME, "put", b"\x01")
    held = everywhere(read, update(EMPTY, ("b", 1), NAME, "put", b"\x02"))
    assert shown(update(held, ("c", 1), NAME, "put", b"\x03", seen=read.context)) == {
        "name": "register(b:1=02, c:1=03)"
    }
    assert shown(update(held, ("c", 1), NAME, "put", b"\x03")) == {"name": "register(c:1=03)"}


def test_removing_a_field_with_a_context_spares_what_its_client_had_not_read() -> None:
    read = update(EMPTY, ("a", 1), A_TAGS, "add", b"\x01")
    held = everywhere(read, update(EMPTY, ("b", 1), A_TAGS, "add", b"\x02"))
    assert shown(update(held, ("c", 1), A, "delete", seen=read.context)) == {"a/tags": "set(02)"}
    assert shown(act(held, ("c", 1), "delete", seen=read.context)) == {"a/tags": "set(02)"}


def test_a_map_deleted_with_a_context_keeps_the_fields_that_have_changed_since_it_was_read() -> None:
    read = update(update(EMPTY, ("a", 1), LOGINS, "increment", 3), ("a", 2), SEEN, "put", b"\x01", at=1)
    read = update(read, ("a", 3), ["board", b"top"], "set", b"\x01", 5)
    gone = act(read, ("c", 1), "delete", seen=read.context, at=9)
    assert shown(gone) == {}
    held = update(read, ("b", 1), LOGINS, "increment", 1)
    held = update(held, ("b", 2), ["board", b"top"], "increment", b"\x01", 1)
    kept = act(held, ("c", 1), "delete", seen=read.context, at=9)
    assert shown(kept) == {"logins": "counter(4)", "top": "board(01=6)"}
    assert shown(everywhere(kept, gone)) == shown(kept)
    assert shown(everywhere(read, kept)) == shown(kept)


def test_a_field_takes_no_context_where_its_type_takes_none() -> None:
    for path, call in ((LOGINS, ["increment", 1]), (SEEN, ["put", b"\x01"]), (["maxreg", b"m"], ["set", 1])):
        with pytest.raises(InvalidRequest, match="no context"):
            update(EMPTY, ("a", 1), path, *call, seen=CausalContext())


def test_what_stays_of_a_removed_counter_is_not_shown() -> None:
    removed = update(update(EMPTY, ("a", 1), LOGINS, "increment", 3), ("a", 2), LOGINS, "delete")
    assert not removed.state.is_blank
    assert removed.state.is_empty
    assert repr(removed.state) == "map()"
    gone = update(update(EMPTY, ("a", 1), TAGS, "add", b"\x01"), ("a", 2), TAGS, "delete")
    assert gone.state.is_blank


def test_a_map_within_a_map_in_which_nothing_is_left_is_gone() -> None:
    removed = update(update(EMPTY, ("a", 1), A_TAGS, "add", b"\x01"), ("a", 2), A_TAGS, "remove", b"\x01")
    assert removed.state.is_blank


def test_the_last_writer_in_a_field_is_stamped_above_what_it_replaces() -> None:
    held = update(EMPTY, ("a", 1), ["map", b"m", *SEEN], "put", b"\x01", at=70)
    assert held.state.newest() == 70


def test_a_field_expires_alone_and_what_lost_against_it_does_not_come_back() -> None:
    loser = update(EMPTY, ("a", 1), SEEN, "put", b"\x01", at=10)
    winner = update(EMPTY, ("b", 1), SEEN, "put", b"\x02", at=20, expires_at=50)
    held = update(winner, ("b", 2), TAGS, "add", b"\x01", at=20)
    assert shown(held.at(50)) == {"tags": "set(01)"}
    # Whoever writes another field at 60 had better not let the loser win.
    written = update(held, ("b", 3), TAGS, "add", b"\x02", at=60)
    for merged in (everywhere(loser, written), everywhere(loser, held, written), everywhere(held, loser, written)):
        assert shown(merged.at(60)) == {"tags": "set(01, 02)"}


def test_several_elements_for_a_set_in_a_map_get_a_dot_each() -> None:
    held = update(EMPTY, ("a", 1), TAGS, "add", b"\x01", b"\x02", b"\x03")
    assert held.context.highest("a") == 3
    assert shown(everywhere(held, update(held, ("b", 1), TAGS, "remove", b"\x02"))) == {"tags": "set(01, 03)"}


def test_what_acts_on_what_is_seen_is_as_the_type_of_the_field_says() -> None:
    def acts(*arguments: object) -> bool:
        return Map.needs_quorum_read("update", list(arguments))

    assert Map.needs_quorum_read("delete", [])
    assert acts(LOGINS, "delete")
    assert acts(NAME, "put", b"\x01")
    assert acts(A_TAGS, "remove", b"\x01")
    assert acts(A, "delete")
    assert not acts(LOGINS, "increment", 1)
    assert not acts(A_TAGS, "add", b"\x01")


def test_a_blind_write_elsewhere_has_nothing_to_supersede() -> None:
    held = update(EMPTY, ("a", 1), NAME, "put", b"\x01")
    assert held.without_older(10, Event(Dot("b", 1), 10)) is None


def test_maps_are_nested_eight_deep_and_no_deeper() -> None:
    deepest = update(EMPTY, ("a", 1), nested(MAX_DEPTH), "increment", 1)
    assert shown(deepest) == {"m/m/m/m/m/m/m/n": "counter(1)"}
    assert Entry.from_peer(deepest.to_bytes(), "map") == deepest
    for path in (nested(MAX_DEPTH + 1), nested(MAX_DEPTH + 50), ["map", b"m"] * MAX_DEPTH):
        with pytest.raises(InvalidRequest, match="nested at most 8 deep"):
            update(EMPTY, ("a", 1), path, "delete")
    update(EMPTY, ("a", 1), ["map", b"m"] * (MAX_DEPTH - 1), "delete")


def test_the_widest_type_at_the_deepest_place_is_read_back() -> None:
    path = [*["map", b"m"] * (MAX_DEPTH - 1), "board", b"b"]
    deepest = update(EMPTY, ("a", 1), path, "set", b"\x01", 3, expires_at=2**62)
    assert Entry.from_peer(deepest.to_bytes(), "map") == deepest


def test_a_map_that_is_nested_too_deep_is_refused_from_outside() -> None:
    wire: list[object] = ["counter", b"n", ["a", 1, 1, 0, 0]]
    for _ in range(MAX_DEPTH - 1):
        wire = ["map", b"m", wire]
    assert Map.from_wire(wire).to_wire() == wire
    with pytest.raises(InvalidRequest, match="nested at most 8 deep"):
        Map.from_wire(["map", b"m", wire])


@pytest.mark.parametrize(
    "path",
    [
        [],
        ["set"],
        ["set", b"x", "set"],
        ["set", "x"],
        ["set", None],
        ["set", b""],
        ["set", b"x" * (MAX_KEY_BYTES + 1)],
        [b"set", b"x"],
        ["graph", b"x"],
        ["bcounter", b"x"],
        [None, b"x"],
        [["set", b"x"]],
        ["set", b"x", "set", b"y"],
        ["counter", b"x", "map", b"y"],
        ["map", b"", "set", b"y"],
        ["map", b"x", "graph", b"y"],
    ],
    ids=lambda path: f"{path!r:.50}",
)
def test_what_is_no_path_to_a_field_is_refused(path: list[object]) -> None:
    with pytest.raises(InvalidRequest):
        update(EMPTY, ("a", 1), path, "delete")
    with pytest.raises(InvalidRequest):
        Map.needs_quorum_read("update", [path, "delete"])


def test_the_longest_name_is_a_name() -> None:
    longest = b"x" * MAX_KEY_BYTES
    assert list(shown(update(EMPTY, ("a", 1), ["set", longest], "add", b"\x01"))) == [longest.decode()]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("put", [b"\x01"]),
        ("", []),
        ("delete", [TAGS]),
        ("update", []),
        ("update", [TAGS]),
        ("update", ["tags", "add", b"\x01"]),
        ("update", [tuple(TAGS), "add", b"\x01"]),
        ("update", [TAGS, b"add", b"\x01"]),
        ("update", [TAGS, None]),
        ("update", [TAGS, "increment", 1]),
        ("update", [TAGS, "add"]),
        ("update", [LOGINS, "increment", "1"]),
        ("update", [A, "put", b"\x01"]),
        ("update", [A, "update", TAGS, "add", b"\x01"]),
    ],
    ids=repr,
)
def test_an_unknown_operation_is_refused(operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest):
        act(EMPTY, ("a", 1), operation, *arguments)


ONE: list[object] = ["set", b"x", [b"\x01", ["a", 1]]]


@pytest.mark.parametrize(
    "wire",
    [
        None,
        ["set", b"x"],
        ["set", b"x", []],
        ["set", b"x", None],
        ["set", b"", ONE[2]],
        ["set", "x", ONE[2]],
        ["graph", b"x", []],
        ["bcounter", b"x", ["a", 1, 10, 0, []]],
        ["counter", b"x", ONE[2]],
        ["map", b"x", []],
        ["map", b"x", ["set", b"x", []]],
        [*ONE, *ONE],
        [*ONE, "counter", b"x", ["a", 2, 1, 0, 0]],
        ["set", b"y", [b"\x01", ["a", 2]], *ONE],
        [["set", b"x"], ONE[2]],
    ],
    ids=repr,
)
def test_a_damaged_state_is_refused(wire: object) -> None:
    with pytest.raises(InvalidRequest):
        Map.from_wire(wire)


def test_what_is_kept_of_fields_is_written_in_their_order() -> None:
    held = update(update(EMPTY, ("a", 1), TAGS, "add", b"\x01"), ("a", 2), LOGINS, "increment", 1)
    held = update(held, ("a", 3), ["set", b"a"], "add", b"\x01")
    assert cbor.decode(held.to_bytes())[2][0::3] == ["counter", "set", "set"]
    assert cbor.decode(held.to_bytes())[2][1::3] == [b"logins", b"a", b"tags"]
