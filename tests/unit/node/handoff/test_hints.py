"""Hints: kept until the target has what they say, through restarts, and never more than there is room for."""

import pytest

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.errors import Overloaded
from crdtkv.node.handoff.hints import Hints
from crdtkv.storage.memory import MemoryStore

KEY, OTHER = b"12345678default\0register\0k", b"87654321default\0register\0other"


def entry(value: bytes, actor: str = "a", counter: int = 1) -> Entry:
    delta = Entry.empty("register").delta("put", [value], Event(Dot(actor, counter), counter), CausalContext())
    return Entry.empty("register").merge(delta)


class Keeper:
    """Hints on a store that survives restarts."""

    def __init__(self, rows_max: int = 100, bytes_max: int = 100_000) -> None:
        self.store = MemoryStore()
        self.limits = (rows_max, bytes_max)
        self.restart()

    def restart(self) -> None:
        self.store.commit()
        self.hints = Hints(self.store, *self.limits, now=0.0)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


def test_an_entry_is_read_by_whoever_asks_and_delivered_to_its_target(keeper: Keeper) -> None:
    keeper.hints.store(KEY, ["b"], entry(b"v"), is_unsent=False, now=0.0)
    assert keeper.hints.held(KEY) == entry(b"v")
    assert keeper.hints.held(OTHER) is None
    (hint,) = keeper.hints.first("b", 10)
    assert (hint.entry, hint.is_unsent) == (entry(b"v").to_bytes(), False)
    assert keeper.hints.delivered(hint)
    assert (len(keeper.hints), keeper.hints.targets, keeper.hints.held(KEY)) == (0, [], None)


def test_what_comes_later_for_the_same_target_is_merged_in(keeper: Keeper) -> None:
    one, two = entry(b"1", "a"), entry(b"2", "b")
    keeper.hints.store(KEY, ["c"], one, is_unsent=True, now=0.0)
    keeper.hints.store(KEY, ["c"], two, is_unsent=False, now=1.0)
    (hint,) = keeper.hints.first("c", 10)
    assert (hint.entry, hint.is_unsent) == (one.merge(two).to_bytes(), True)


def test_a_hint_that_grew_while_it_was_under_way_is_delivered_again(keeper: Keeper) -> None:
    keeper.hints.store(KEY, ["b"], entry(b"1", "a"), is_unsent=False, now=0.0)
    (under_way,) = keeper.hints.first("b", 10)
    keeper.hints.store(KEY, ["b"], entry(b"2", "c"), is_unsent=False, now=0.0)
    assert not keeper.hints.delivered(under_way)
    assert len(keeper.hints) == 1


def test_a_reference_made_again_while_it_was_under_way_is_delivered_again(keeper: Keeper) -> None:
    keeper.hints.add_ref(KEY, "b", 0.0)
    (under_way,) = keeper.hints.first("b", 10)
    keeper.hints.add_ref(KEY, "b", 0.0)
    assert (under_way.entry, keeper.hints.delivered(under_way), len(keeper.hints)) == (None, False, 1)


def test_hints_outlive_a_restart(keeper: Keeper) -> None:
    keeper.hints.store(KEY, ["b", "c"], entry(b"v"), is_unsent=True, now=0.0)
    keeper.hints.add_ref(OTHER, "b", 0.0)
    keeper.restart()
    assert (len(keeper.hints), keeper.hints.targets) == (3, ["b", "c"])
    assert {hint.storage_key: hint.is_unsent for hint in keeper.hints.first("b", 10)} == {KEY: True, OTHER: False}


def test_a_reference_without_room_becomes_a_mark_that_outlives_a_restart() -> None:
    keeper = Keeper(rows_max=1)
    assert keeper.hints.add_ref(KEY, "b", 0.0)
    assert not keeper.hints.add_ref(OTHER, "c", 0.0)
    assert keeper.hints.add_ref(KEY, "b", 0.0)  # what is there needs no room
    keeper.restart()
    assert keeper.hints.needing_repair == ["c"]
    keeper.hints.repaired("c")
    keeper.restart()
    assert not keeper.hints.needs_repair


def test_an_entry_without_room_for_all_its_targets_is_kept_for_none() -> None:
    keeper = Keeper(rows_max=1)
    with pytest.raises(Overloaded):
        keeper.hints.store(KEY, ["b", "c"], entry(b"v"), is_unsent=True, now=0.0)
    assert (len(keeper.hints), keeper.hints.held(KEY), keeper.hints.needing_repair) == (0, None, [])


def test_the_bytes_of_entries_are_bounded_too() -> None:
    keeper = Keeper(bytes_max=2_000)
    keeper.hints.store(KEY, ["b"], entry(b"x" * 1_500), is_unsent=False, now=0.0)
    with pytest.raises(Overloaded):
        keeper.hints.store(OTHER, ["b"], entry(b"x" * 1_500), is_unsent=False, now=0.0)
    waiting = keeper.hints.waiting_for("b")
    assert waiting.rows == 1
    assert 1_500 < waiting.size_bytes < 2_000
