"""Flags: which of an enable and a disable wins when neither saw the other, and what a delete leaves behind."""

import pytest
from acting import act, everywhere

from crdtkv.causality.context import EMPTY as NOTHING
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import CausalState, Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.flags import DisableWinsFlag, EnableWinsFlag
from crdtkv.errors import InvalidRequest

FLAG, DWFLAG = Entry.empty("flag"), Entry.empty("dwflag")
both_kinds = pytest.mark.parametrize("empty", [FLAG, DWFLAG], ids=["flag", "dwflag"])


def is_on(entry: Entry) -> bool:
    state = entry.state
    assert isinstance(state, EnableWinsFlag | DisableWinsFlag)
    assert state.is_empty is not state.is_on
    assert repr(state) == f"{state.type_tag}({'on' if state.is_on else 'off'})"
    return state.is_on


@both_kinds
def test_a_flag_begins_as_off(empty: Entry) -> None:
    assert not is_on(empty)
    assert empty.is_tombstone
    assert empty.state.newest() == 0


@both_kinds
def test_a_flag_is_what_it_was_last_set_to(empty: Entry) -> None:
    on = act(empty, ("a", 1), "enable")
    off = act(on, ("b", 1), "disable")
    assert is_on(on)
    assert not is_on(everywhere(on, off))
    assert is_on(everywhere(on, off, act(off, ("b", 2), "enable")))
    assert not is_on(act(on, ("b", 1), "delete"))


def test_of_an_enable_and_a_disable_at_the_same_time_the_name_tells_the_winner() -> None:
    for empty, wins in ((FLAG, True), (DWFLAG, False)):
        shared = act(empty, ("a", 1), "enable")
        assert is_on(everywhere(act(shared, ("a", 2), "enable"), act(shared, ("b", 1), "disable"))) is wins
        assert is_on(everywhere(act(empty, ("a", 1), "enable"), act(empty, ("b", 1), "disable"))) is wins


@both_kinds
def test_an_enable_survives_a_concurrent_delete(empty: Entry) -> None:
    shared = act(empty, ("a", 1), "enable")
    assert is_on(everywhere(act(shared, ("a", 2), "enable"), act(shared, ("b", 1), "delete")))


def test_an_enable_takes_back_the_disables_it_has_seen_and_no_others() -> None:
    one, other = act(DWFLAG, ("a", 1), "disable"), act(DWFLAG, ("b", 1), "disable")
    again = act(one, ("a", 2), "enable")
    assert is_on(again)
    assert not is_on(everywhere(again, other))
    assert is_on(act(everywhere(again, other), ("a", 3), "enable"))


@both_kinds
def test_a_disable_with_a_context_spares_the_enables_its_client_had_not_read(empty: Entry) -> None:
    read = act(empty, ("a", 1), "enable")
    held = everywhere(read, act(empty, ("b", 1), "enable"))
    # Enables are left either way. In a dwflag the disable is left as well, and wins.
    assert is_on(act(held, ("c", 1), "disable", seen=read.context)) is (empty is FLAG)
    assert is_on(act(held, ("c", 1), "delete", seen=read.context))
    assert is_on(act(held, ("c", 1), "delete", seen=NOTHING))
    assert not is_on(act(held, ("c", 1), "delete", seen=held.context))


def test_an_enable_with_a_context_takes_back_just_what_its_client_had_read() -> None:
    read = act(DWFLAG, ("a", 1), "disable")
    held = everywhere(read, act(DWFLAG, ("b", 1), "disable"))
    assert not is_on(act(held, ("c", 1), "enable", seen=read.context))
    assert is_on(act(held, ("c", 1), "enable", seen=held.context))


def test_a_disable_is_kept_where_it_wins_and_a_delete_nowhere() -> None:
    assert act(act(FLAG, ("a", 1), "enable"), ("a", 2), "disable").state.is_blank
    disabled = act(act(DWFLAG, ("a", 1), "enable"), ("a", 2), "disable")
    assert disabled.state.to_wire() == ["a", 2, 0]
    assert disabled.is_tombstone
    assert act(disabled, ("a", 3), "delete").state.is_blank


@both_kinds
def test_an_old_copy_brings_nothing_back(empty: Entry) -> None:
    on = act(empty, ("a", 1), "enable")
    assert not is_on(everywhere(on, act(on, ("b", 1), "delete")))


def test_an_enable_that_expires_is_off_and_a_disable_that_expires_no_longer_wins() -> None:
    assert not is_on(act(FLAG, ("a", 1), "enable", expires_at=50).at(50))
    held = everywhere(act(DWFLAG, ("a", 1), "disable", expires_at=50), act(DWFLAG, ("b", 1), "enable"))
    assert not is_on(held.at(49))
    assert is_on(held.at(50))


def test_which_operations_act_on_what_is_seen() -> None:
    names = ("enable", "disable", "delete")
    assert [EnableWinsFlag.needs_quorum_read(name, []) for name in names] == [False, True, True]
    assert [DisableWinsFlag.needs_quorum_read(name, []) for name in names] == [True, True, True]


@both_kinds
def test_a_blind_write_elsewhere_has_nothing_to_supersede(empty: Entry) -> None:
    assert act(empty, ("a", 1), "enable").without_older(10, Event(Dot("b", 1), 10)) is None


@both_kinds
@pytest.mark.parametrize(
    ("operation", "arguments"), [("put", [b"\x01"]), ("", []), ("enable", [1]), ("disable", [None]), ("delete", [b""])]
)
def test_an_unknown_operation_is_refused(empty: Entry, operation: str, arguments: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="flag knows enable"):
        act(empty, ("a", 1), operation, *arguments)


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        *((EnableWinsFlag, wire) for wire in (None, ["a"], ["a", 0], ["a", True], ["b", 1, "a", 1], [b"a", 1], [1, 1])),
        *((DisableWinsFlag, wire) for wire in (None, ["a", 1], ["a", 1, 2], ["a", 1, True], ["a", 1, None], [[]])),
        (DisableWinsFlag, ["b", 1, 1, "a", 1, 0]),
    ],
    ids=repr,
)
def test_a_damaged_state_is_refused(kind: type[CausalState], wire: object) -> None:
    with pytest.raises(InvalidRequest):
        kind.from_wire(wire)
