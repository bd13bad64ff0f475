"""The `Store` protocol, kept by every implementation: in memory and on RocksDB."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv.storage.memory import MemoryStore
from crdtkv.storage.rocks import RocksStore
from crdtkv.storage.store import Store, is_whole

from .lossy_disk import durable_image, shadow_here

ALL = (b"", b"\xff" * 8)


class Disk(Protocol):
    """A place that a store can be opened on, closed and opened again."""

    def open(self) -> Store: ...

    def restart(self, store: Store) -> Store: ...

    def lose_power(self, store: Store) -> Store: ...

    def release(self) -> None: ...


class MemoryDisk:
    """The store is its own disk."""

    def open(self) -> Store:
        return MemoryStore()

    def restart(self, store: Store) -> Store:
        store.close()
        return store

    def lose_power(self, store: Store) -> Store:
        assert isinstance(store, MemoryStore)
        store.crash()
        return store

    def release(self) -> None:
        pass


class RocksDisk:
    """A directory. Power is lost by going on with a copy of the files of an open database; of what was synced of them
    only, where this process writes to a disk that forgets (`lossy_disk`).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._images = 0
        self._opened: list[RocksStore] = []

    def open(self) -> Store:
        return self._open(self._directory / "db")

    def restart(self, store: Store) -> Store:
        assert isinstance(store, RocksStore)
        store.close()
        self._opened.remove(store)
        return self._open(store.directory)

    def lose_power(self, store: Store) -> Store:
        assert isinstance(store, RocksStore)
        self._images += 1
        image = self._directory / f"image-{self._images}"
        shadow = shadow_here()
        if shadow is not None:
            durable_image(store.directory, shadow, image)
        else:
            shutil.copytree(store.directory, image)
        return self._open(image)

    def release(self) -> None:
        for store in self._opened:
            store.close()

    def _open(self, directory: Path) -> Store:
        store = RocksStore(directory, block_cache_mib=1, write_buffer_mib=1)
        self._opened.append(store)
        return store


DISKS: dict[str, Callable[[Path], Disk]] = {"memory": lambda _: MemoryDisk(), "rocks": RocksDisk}


@pytest.fixture(params=sorted(DISKS))
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    disk = DISKS[request.param](tmp_path)
    yield disk
    disk.release()


@pytest.fixture
def store(disk: Disk) -> Store:
    return disk.open()


def rows_of(store: Store) -> dict[bytes, bytes]:
    return dict(store.scan(*ALL, limit=10_000))


def committed(store: Store, rows: dict[bytes, bytes]) -> None:
    for row, value in rows.items():
        store.put(row, value)
    store.commit()


# Single rows.


def test_a_row_that_was_never_written_is_absent(store: Store) -> None:
    assert store.get(b"a") is None
    assert store.scan(*ALL, limit=10) == []


def test_a_buffered_write_is_read_before_it_is_committed(store: Store) -> None:
    store.put(b"a", b"1")
    assert store.get(b"a") == b"1"


def test_a_committed_write_is_read(store: Store) -> None:
    committed(store, {b"a": b"1"})
    assert store.get(b"a") == b"1"


def test_a_buffered_write_hides_the_committed_one(store: Store) -> None:
    committed(store, {b"a": b"1"})
    store.put(b"a", b"2")
    assert store.get(b"a") == b"2"


def test_a_buffered_delete_hides_the_committed_row(store: Store) -> None:
    committed(store, {b"a": b"1"})
    store.delete(b"a")
    assert store.get(b"a") is None


def test_a_committed_delete_removes_the_row(store: Store) -> None:
    committed(store, {b"a": b"1"})
    store.delete(b"a")
    store.commit()
    assert store.get(b"a") is None
    assert rows_of(store) == {}


def test_the_last_of_several_buffered_writes_to_a_row_counts(store: Store) -> None:
    store.put(b"a", b"1")
    store.delete(b"a")
    store.put(b"a", b"2")
    store.put(b"b", b"1")
    store.delete(b"b")
    store.commit()
    assert rows_of(store) == {b"a": b"2"}


def test_deleting_an_absent_row_changes_nothing(store: Store) -> None:
    store.delete(b"a")
    store.commit()
    assert store.get(b"a") is None
    assert rows_of(store) == {}


def test_an_empty_value_is_not_absence(store: Store) -> None:
    store.put(b"a", b"")
    assert store.get(b"a") == b""
    store.commit()
    assert store.get(b"a") == b""
    assert store.scan(*ALL, limit=10) == [(b"a", b"")]


def test_rows_and_values_may_hold_any_bytes(store: Store) -> None:
    rows = {b"\0": b"\0\0", b"\0\xff": bytes(range(256)), b"line\n": b"\r\n", b"\xfe\xff": b"\xff" * 100_000}
    committed(store, rows)
    assert rows_of(store) == rows


# What is buffered.


def test_nothing_is_buffered_at_first(store: Store) -> None:
    assert not store.has_writes


def test_a_write_or_a_delete_is_buffered_until_the_commit(store: Store) -> None:
    store.put(b"a", b"1")
    assert store.has_writes
    store.commit()
    assert not store.has_writes
    store.delete(b"a")
    assert store.has_writes
    store.commit()
    assert not store.has_writes


def test_committing_nothing_changes_nothing(store: Store) -> None:
    committed(store, {b"a": b"1"})
    store.commit()
    store.sync()
    assert rows_of(store) == {b"a": b"1"}


def test_a_sync_commits_nothing(disk: Disk, store: Store) -> None:
    store.put(b"a", b"1")
    store.sync()
    assert store.has_writes
    assert rows_of(disk.restart(store)) == {}


# Scans.


def test_a_scan_is_in_byte_order_whatever_the_order_of_writing(store: Store) -> None:
    rows = [b"b", b"a\xff", b"a", b"\xff", b"aa", b"a\0", b"\0"]
    committed(store, dict.fromkeys(rows, b"v"))
    assert [row for row, _ in store.scan(*ALL, limit=10)] == sorted(rows)


def test_a_scan_includes_its_start_and_excludes_its_stop(store: Store) -> None:
    committed(store, {b"a": b"1", b"b": b"2", b"c": b"3"})
    assert store.scan(b"a", b"c", limit=10) == [(b"a", b"1"), (b"b", b"2")]


def test_a_scan_may_begin_and_end_between_rows(store: Store) -> None:
    committed(store, {b"a": b"1", b"b": b"2", b"c": b"3"})
    assert store.scan(b"a\0", b"b\0", limit=10) == [(b"b", b"2")]


@pytest.mark.parametrize(("start", "stop"), [(b"b", b"b"), (b"c", b"a"), (b"x", b"z"), (b"", b"a")])
def test_a_scan_of_an_empty_range_finds_nothing(store: Store, start: bytes, stop: bytes) -> None:
    committed(store, {b"a": b"1", b"b": b"2"})
    store.put(b"bb", b"3")
    assert store.scan(start, stop, limit=10) == []


def test_a_scan_merges_buffered_and_committed_rows_in_order(store: Store) -> None:
    committed(store, {b"b": b"2", b"d": b"4"})
    for row in (b"e", b"a", b"c"):
        store.put(row, b"buffered")
    assert [row for row, _ in store.scan(*ALL, limit=10)] == [b"a", b"b", b"c", b"d", b"e"]


def test_a_scan_sees_buffered_deletes_and_overwrites(store: Store) -> None:
    committed(store, {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"})
    store.delete(b"a")
    store.put(b"b", b"new")
    store.delete(b"d")
    store.delete(b"never written")
    assert store.scan(*ALL, limit=10) == [(b"b", b"new"), (b"c", b"3")]


def test_a_scan_leaves_out_what_is_buffered_outside_its_range(store: Store) -> None:
    committed(store, {b"b": b"2"})
    store.put(b"a", b"1")
    store.put(b"c", b"3")
    assert store.scan(b"b", b"c", limit=10) == [(b"b", b"2")]


def test_a_scan_ends_at_its_limit_of_rows(store: Store) -> None:
    committed(store, {b"%02d" % number: b"v" for number in range(20)})
    found = store.scan(*ALL, limit=7)
    assert [row for row, _ in found] == [b"%02d" % number for number in range(7)]
    assert not is_whole(found, 7)


def test_hidden_rows_do_not_count_against_the_limit(store: Store) -> None:
    committed(store, {b"%02d" % number: b"v" for number in range(10)})
    for number in range(5):
        store.delete(b"%02d" % number)
    assert [row for row, _ in store.scan(*ALL, limit=3)] == [b"05", b"06", b"07"]


def test_buffered_rows_count_against_the_limit(store: Store) -> None:
    committed(store, {b"b": b"2", b"d": b"4"})
    store.put(b"a", b"1")
    store.put(b"c", b"3")
    assert [row for row, _ in store.scan(*ALL, limit=3)] == [b"a", b"b", b"c"]


def test_a_scan_ends_with_the_row_that_reaches_its_limit_of_bytes(store: Store) -> None:
    committed(store, {b"%02d" % number: b"x" * 100 for number in range(20)})
    found = store.scan(*ALL, limit=1_000, limit_bytes=250)
    assert [row for row, _ in found] == [b"00", b"01", b"02"]
    assert not is_whole(found, 1_000, 250)


def test_one_row_larger_than_the_limit_of_bytes_is_still_found(store: Store) -> None:
    committed(store, {b"a": b"x" * 1_000, b"b": b"y"})
    assert store.scan(*ALL, limit=10, limit_bytes=100) == [(b"a", b"x" * 1_000)]


def test_a_scan_that_reached_its_end_is_whole(store: Store) -> None:
    committed(store, {b"%02d" % number: b"x" * 100 for number in range(20)})
    found = store.scan(*ALL, limit=21, limit_bytes=2_001)
    assert len(found) == 20
    assert is_whole(found, 21, 2_001)


def test_pages_of_a_scan_meet_every_row_once(store: Store) -> None:
    committed(store, {b"%04d" % number: b"x" * (number % 50) for number in range(500)})
    for number in range(0, 500, 3):
        store.delete(b"%04d" % number)
    met: list[bytes] = []
    start, stop = ALL
    while True:
        found = store.scan(start, stop, limit=40, limit_bytes=600)
        met += [row for row, _ in found]
        if is_whole(found, 40, 600):
            break
        start = found[-1][0] + b"\0"
    assert met == [b"%04d" % number for number in range(500) if number % 3]


# Commits, restarts and crashes.


def test_what_was_committed_survives_a_restart(disk: Disk, store: Store) -> None:
    committed(store, {b"a": b"1", b"b": b"2"})
    store.delete(b"a")
    store.commit()
    store.sync()
    assert rows_of(disk.restart(store)) == {b"b": b"2"}


def test_what_was_only_buffered_does_not_survive_a_restart(disk: Disk, store: Store) -> None:
    committed(store, {b"a": b"1"})
    store.sync()
    store.put(b"b", b"2")
    store.delete(b"a")
    reopened = disk.restart(store)
    assert rows_of(reopened) == {b"a": b"1"}
    assert not reopened.has_writes


def test_what_was_synced_survives_a_power_loss(disk: Disk, store: Store) -> None:
    for number in range(100):
        committed(store, {b"row %02d" % number: b"value", b"last": b"%02d" % number})
    store.sync()
    survived = rows_of(disk.lose_power(store))
    assert survived == {**{b"row %02d" % number: b"value" for number in range(100)}, b"last": b"99"}


def test_a_batch_survives_a_power_loss_whole_or_not_at_all(disk: Disk, store: Store) -> None:
    for number in range(50):
        committed(store, {b"entry %02d" % number: b"e", b"outbox %02d" % number: b"o"})
    survived = rows_of(disk.lose_power(store))
    entries = {row[-2:] for row in survived if row.startswith(b"entry")}
    outbox = {row[-2:] for row in survived if row.startswith(b"outbox")}
    assert entries == outbox == {b"%02d" % number for number in range(len(entries))}


def test_writing_goes_on_after_a_restart(disk: Disk, store: Store) -> None:
    for number in range(5):
        committed(store, {b"%d" % number: b"v"})
        store.sync()
        store = disk.restart(store)
    assert sorted(rows_of(store)) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_sync_in_another_thread_covers_what_was_committed_before_it_began(disk: Disk, store: Store) -> None:
    for number in range(20):
        committed(store, {b"%02d" % number: b"v"})
        syncing = threading.Thread(target=store.sync)
        syncing.start()
        store.put(b"next", b"%02d" % number)
        syncing.join()
        assert store.has_writes
    survived = rows_of(disk.lose_power(store))
    assert {b"%02d" % number for number in range(20)} <= set(survived)


# Everything at once, against a dict.

ROWS = st.binary(max_size=2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ROWS, st.binary(max_size=40)),
        st.tuples(st.just("delete"), ROWS),
        st.tuples(st.just("commit")),
        st.tuples(st.just("scan"), ROWS, ROWS, st.integers(1, 5), st.integers(1, 60)),
        st.tuples(st.just("restart")),
    ),
    max_size=40,
)


@pytest.mark.parametrize("kind", sorted(DISKS))
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_a_store_is_a_sorted_map_with_a_buffer(kind: str, steps: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        disk = DISKS[kind](Path(directory))
        try:
            _compare_with_a_dict(disk, steps)
        finally:
            disk.release()


def _compare_with_a_dict(disk: Disk, steps: list[tuple]) -> None:
    store = disk.open()
    model: dict[bytes, bytes] = {}
    kept: dict[bytes, bytes] = {}
    for step in steps:
        match step:
            case "put", row, value:
                store.put(row, value)
                model[row] = value
            case "delete", row:
                store.delete(row)
                model.pop(row, None)
            case ("commit",):
                store.commit()
                kept = dict(model)
            case "scan", start, stop, limit, limit_bytes:
                assert store.scan(start, stop, limit, limit_bytes) == _expected(model, start, stop, limit, limit_bytes)
            case ("restart",):
                store.sync()
                store = disk.restart(store)
                model = dict(kept)
        assert all(store.get(row) == model.get(row) for row in [*model, b"absent"])
    assert rows_of(store) == model


def _expected(
    model: dict[bytes, bytes], start: bytes, stop: bytes, limit: int, limit_bytes: int
) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    for row in sorted(row for row in model if start <= row < stop):
        found.append((row, model[row]))
        if len(found) == limit or sum(len(value) for _, value in found) >= limit_bytes:
            break
    return found
