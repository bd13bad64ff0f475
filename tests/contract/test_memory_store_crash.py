"""`MemoryStore.crash`: what a power loss takes is some suffix of the commits, and nothing that was synced."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.storage.memory import MemoryStore

ALL = (b"", b"\xff" * 8)


def rows_of(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.scan(*ALL, limit=10_000))


def commit(store: MemoryStore, *numbers: int) -> None:
    """Make one commit per number: its own row, and the row `last`."""
    for number in numbers:
        store.put(b"%d" % number, b"v")
        store.put(b"last", b"%d" % number)
        store.commit()


def test_a_crash_loses_what_was_not_synced() -> None:
    store = MemoryStore()
    commit(store, 1, 2)
    store.sync()
    commit(store, 3, 4)
    assert store.unsynced == 2
    assert store.crash() == 2
    assert rows_of(store) == {b"1": b"v", b"2": b"v", b"last": b"2"}
    assert store.unsynced == 0


def test_a_crash_after_a_sync_loses_nothing() -> None:
    store = MemoryStore()
    commit(store, 1, 2)
    store.sync()
    assert store.crash() == 0
    assert rows_of(store) == {b"1": b"v", b"2": b"v", b"last": b"2"}


def test_a_crash_loses_the_buffer() -> None:
    store = MemoryStore()
    commit(store, 1)
    store.sync()
    store.put(b"2", b"v")
    store.delete(b"1")
    store.crash()
    assert not store.has_writes
    assert rows_of(store) == {b"1": b"v", b"last": b"1"}


def test_a_crash_may_keep_the_first_of_the_unsynced_commits() -> None:
    store = MemoryStore()
    commit(store, 1)
    store.sync()
    commit(store, 2, 3, 4)
    assert store.crash(survivors=2) == 1
    assert rows_of(store) == {b"1": b"v", b"2": b"v", b"3": b"v", b"last": b"3"}


def test_what_survived_a_crash_survives_the_next_one() -> None:
    store = MemoryStore()
    commit(store, 1, 2)
    store.crash(survivors=1)
    assert store.crash() == 0
    assert rows_of(store) == {b"1": b"v", b"last": b"1"}


def test_an_unsynced_delete_is_undone_by_a_crash() -> None:
    store = MemoryStore()
    commit(store, 1)
    store.sync()
    store.delete(b"1")
    store.commit()
    assert store.get(b"1") is None
    store.crash()
    assert store.get(b"1") == b"v"


def test_a_sync_up_to_a_commit_leaves_the_later_ones_at_risk() -> None:
    store = MemoryStore()
    commit(store, 1, 2, 3)
    store.sync_to(2)
    assert store.unsynced == 1
    store.sync_to(1)
    assert store.unsynced == 1
    store.crash()
    assert rows_of(store) == {b"1": b"v", b"2": b"v", b"last": b"2"}


def test_commits_go_on_after_a_crash() -> None:
    store = MemoryStore()
    commit(store, 1)
    store.crash()
    commit(store, 2)
    store.sync()
    commit(store, 3)
    assert store.crash() == 1
    assert rows_of(store) == {b"2": b"v", b"last": b"2"}


@given(synced=st.integers(0, 6), unsynced=st.integers(0, 6), survivors=st.integers(0, 8))
def test_a_crash_leaves_a_prefix_of_the_commits_that_holds_every_synced_one(
    synced: int, unsynced: int, survivors: int
) -> None:
    store = MemoryStore()
    commit(store, *range(synced))
    store.sync()
    commit(store, *range(synced, synced + unsynced))
    lost = store.crash(survivors)
    left = synced + min(unsynced, survivors)
    assert lost == synced + unsynced - left
    assert set(rows_of(store)) - {b"last"} == {b"%d" % number for number in range(left)}
