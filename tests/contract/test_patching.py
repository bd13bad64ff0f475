"""The patching store, over memory and RocksDB: a read returns the last written bytes, in whatever rows they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtkv.errors import DamagedStore
from crdtkv.storage import patching, rows
from crdtkv.storage.memory import MemoryStore
from crdtkv.storage.patching import PatchingStore
from crdtkv.storage.rocks import RocksStore
from crdtkv.storage.store import Store, is_whole

LARGE = 100
KEYS = [b"tokenNUM" + bytes([number]) * (number + 1) for number in range(4)]
EVERYTHING = (b"", b"\xff" * 8)


@pytest.fixture(params=["memory", "rocks"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path)
    yield store
    store.close()


def pieces_of(number: int, parts: int = 40) -> list[bytes]:
    """Return a large value whose parts tell the last change of each of them."""
    return [b"part %03d: %05d." % (part, max(0, number - part)) for part in range(parts)]


def put(store: PatchingStore, key: bytes, pieces: list[bytes], was_large: bool = True) -> bytes:
    value = b"".join(pieces)
    store.put_entry(key, pieces, len(value), was_large)
    return value


def get(store: Store, key: bytes) -> bytes | None:
    return store.get(rows.data_row(key))


def patches_in(disk: Store) -> list[bytes]:
    return [row for row, _ in disk.scan(*rows.PATCH_RANGE, 10_000)]


def one_part_changed(pieces: list[bytes], part: int, text: bytes) -> list[bytes]:
    return [*pieces[:part], text, *pieces[part + 1 :]]


def test_a_small_change_of_a_large_value_is_a_small_write_and_reads_as_the_whole(disk: Store) -> None:
    store = PatchingStore(disk, LARGE)
    pieces = pieces_of(0)
    put(store, KEYS[0], pieces)
    assert patches_in(disk) == []
    value = put(store, KEYS[0], one_part_changed(pieces, 7, b"changed"))
    ((row, patch),) = disk.scan(*rows.PATCH_RANGE, 10)
    assert rows.patched_in(row) == KEYS[0]
    assert len(patch) < 40
    store.commit()
    assert get(store, KEYS[0]) == value
    assert get(PatchingStore(disk, LARGE), KEYS[0]) == value
    assert store.scan(*rows.DATA_RANGE, 10) == [(rows.data_row(KEYS[0]), value)]


def test_values_up_to_the_limit_and_all_that_earlier_versions_wrote_are_rows_as_they_are(disk: Store) -> None:
    store = PatchingStore(disk, LARGE)
    old = b"".join(pieces_of(0))
    disk.put(rows.data_row(KEYS[0]), old)
    small = put(store, KEYS[1], [b"x" * LARGE], was_large=False)
    disk.commit()
    assert get(store, KEYS[0]) == old
    assert get(disk, KEYS[1]) == small
    pieces = pieces_of(1)
    put(store, KEYS[0], pieces)
    value = put(store, KEYS[0], one_part_changed(pieces, 3, b"patched"))
    assert get(store, KEYS[0]) == value
    assert len(patches_in(disk)) == 1


def test_patches_are_dropped_when_they_come_to_the_size_of_their_base_or_are_many(disk: Store) -> None:
    store = PatchingStore(disk, LARGE)
    pieces = pieces_of(0, parts=2_000)
    put(store, KEYS[0], pieces)
    seen = set()
    for number in range(patching.PATCHES_MAX + 2):
        pieces = one_part_changed(pieces, number, b"%d" % number)
        value = put(store, KEYS[0], pieces)
        store.commit()
        seen.add(len(patches_in(disk)))
        assert get(store, KEYS[0]) == value
    assert seen == set(range(patching.PATCHES_MAX + 1))
    small = pieces_of(0, parts=10)
    put(store, KEYS[1], small)
    for number in range(50):
        small = one_part_changed(small, number % 10, b"number %03d" % number * 2)
        value = put(store, KEYS[1], small)
        assert get(store, KEYS[1]) == value
        written = [len(patch) for row, patch in disk.scan(*rows.PATCH_RANGE, 1_000) if rows.patched_in(row) == KEYS[1]]
        assert sum(written) <= len(b"".join(small)) + 100


@pytest.mark.parametrize("is_known", [True, False], ids=["written here", "after a restart"])
@pytest.mark.parametrize("becomes", ["gone", "small", "new"])
def test_what_takes_the_place_of_a_patched_value_leaves_no_patch_behind(
    disk: Store, becomes: str, is_known: bool
) -> None:
    store = PatchingStore(disk, LARGE)
    for key in KEYS[:2]:
        put(store, key, pieces_of(5))
        put(store, key, pieces_of(6))
    store.commit()
    assert len(patches_in(disk)) == 2
    if not is_known:
        store = PatchingStore(disk, LARGE)
    wanted: bytes | None = None
    if becomes == "gone":
        store.delete(rows.data_row(KEYS[0]))
    elif becomes == "small":
        wanted = put(store, KEYS[0], [b"small"])
    else:
        wanted = put(store, KEYS[0], [b"entirely new" * 50])
    store.commit()
    assert get(PatchingStore(disk, LARGE), KEYS[0]) == wanted
    assert [rows.patched_in(row) for row in patches_in(disk)] == [KEYS[1]]


def test_after_a_restart_a_value_gets_a_base_of_its_own_before_it_is_patched(disk: Store) -> None:
    put(PatchingStore(disk, LARGE), KEYS[0], pieces_of(5))
    store = PatchingStore(disk, LARGE)
    put(store, KEYS[0], pieces_of(6))
    assert patches_in(disk) == []
    put(store, KEYS[0], pieces_of(7))
    store.forget_known()
    assert len(patches_in(disk)) == 1
    value = put(store, KEYS[0], pieces_of(8))
    assert patches_in(disk) == []
    assert get(store, KEYS[0]) == value


def test_a_patch_that_is_missing_or_of_another_base_is_damage_and_never_a_value(disk: Store) -> None:
    store = PatchingStore(disk, LARGE)
    for number in range(4):
        put(store, KEYS[0], pieces_of(5 + number))
    store.commit()
    first, second, _ = patches_in(disk)
    patch = disk.get(second)
    assert patch is not None
    for row, value in ((first, None), (second, None), (second, bytes(8) + patch[8:]), (second, patch[:9])):
        before = disk.get(row)
        assert before is not None
        if value is None:
            disk.delete(row)
        else:
            disk.put(row, value)
        disk.commit()
        with pytest.raises(DamagedStore):
            get(store, KEYS[0])
        with pytest.raises(DamagedStore):
            store.scan(*EVERYTHING, 10)
        disk.put(row, before)
        disk.commit()
    assert get(store, KEYS[0]) == b"".join(pieces_of(8))


def test_a_scan_is_limited_by_the_sizes_of_whole_values_and_never_short(disk: Store) -> None:
    store = PatchingStore(disk, LARGE)
    values = {}
    for key in KEYS:
        put(store, key, pieces_of(0, parts=50))
        values[rows.data_row(key)] = put(store, key, [*pieces_of(0, parts=50)[:-20], b"much shorter"])
    store.commit()
    size = len(values[rows.data_row(KEYS[0])])
    for limit, limit_bytes in ((2, 10**6), (10, size), (10, size + 1), (10, 10**6), (4, 4 * size), (10, 4 * size + 1)):
        found, start = [], rows.DATA_RANGE[0]
        while True:
            page = store.scan(start, rows.DATA_RANGE[1], limit, limit_bytes)
            assert len(page) <= limit
            assert sum(len(value) for _, value in page[:-1]) < limit_bytes
            found += page
            if is_whole(page, limit, limit_bytes):
                break
            start = page[-1][0] + b"\0"
        assert found == sorted(values.items())


calls = st.lists(
    st.one_of(
        st.tuples(st.just("part"), st.sampled_from(KEYS), st.integers(0, 11)),
        st.tuples(st.just("size"), st.sampled_from(KEYS), st.integers(0, 12)),
        st.tuples(st.just("drop"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.sampled_from(("commit", "sync", "restart")), st.just(b""), st.just(0)),
        st.tuples(st.just("crash"), st.just(b""), st.integers(0, 5)),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(calls)
def test_whatever_is_written_and_lost_a_value_is_always_one_that_was_committed_whole(calls: list) -> None:
    disk = MemoryStore()
    store = PatchingStore(disk, LARGE)
    now: dict[bytes, list[bytes]] = {}
    #: What was committed, the last being what a sync made durable at least.
    history: list[dict[bytes, list[bytes]]] = [{}]
    for number, (kind, key, argument) in enumerate(calls):
        if kind in ("part", "size"):
            before = now.get(key, [])
            pieces = list(before) or pieces_of(0, parts=12)
            if kind == "part":
                pieces[argument % len(pieces) : argument % len(pieces) + 1] = [b"change %d" % number]
            else:
                pieces = pieces[:argument] or [b"."]
            put(store, key, pieces, was_large=len(b"".join(before)) > LARGE)
            now = {**now, key: pieces}
        elif kind == "drop":
            store.delete(rows.data_row(key))
            now = {one: pieces for one, pieces in now.items() if one != key}
        elif kind == "crash":
            kept = min(argument, disk.unsynced)
            disk.crash(kept)
            now = history[kept]
            history = [now]
            store = PatchingStore(disk, LARGE)
        else:
            if disk.has_writes:
                store.commit()
                history.append(now)
            if kind == "sync":
                store.sync()
                history = [now]
            elif kind == "restart":
                store = PatchingStore(disk, LARGE)
        for key_now in KEYS:
            wanted = b"".join(now[key_now]) if key_now in now else None
            assert get(store, key_now) == wanted
    assert {rows.patched_in(row) for row in patches_in(disk)} <= now.keys()
