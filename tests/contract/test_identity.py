"""Whose a data directory is, and which incarnation goes on: on any doubt a new one, never a guess."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtkv.errors import StorageError
from crdtkv.storage import identity, rows
from crdtkv.storage.identity import FILE_NAME, Identity, Owner, establish
from crdtkv.storage.memory import MemoryStore
from crdtkv.storage.rocks import RocksStore
from crdtkv.storage.store import Store

OWNER = Owner("shop", "eu", "eu-1")
LARGEST = 2**64 - 1


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "db")
    yield store
    store.close()


def file_of(directory: Path) -> Path:
    return directory / FILE_NAME


def on_file(directory: Path) -> dict[str, object]:
    return json.loads(file_of(directory).read_text())


def in_store(store: Store) -> int | None:
    stored = store.get(rows.IDENTITY)
    return int.from_bytes(stored, "big") if stored is not None else None


def set_in_store(store: Store, incarnation: int | None) -> None:
    if incarnation is None:
        store.delete(rows.IDENTITY)
    else:
        store.put(rows.IDENTITY, incarnation.to_bytes(8, "big"))
    store.commit()
    store.sync()


def test_an_empty_directory_gets_the_fresh_incarnation(tmp_path: Path, store: Store) -> None:
    assert establish(tmp_path, store, OWNER, 7) == Identity(7, "first start")


def test_the_incarnation_is_kept_in_the_store_and_in_a_file(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    assert in_store(store) == 7
    assert on_file(tmp_path) == {"cluster": "shop", "datacenter": "eu", "node": "eu-1", "incarnation": 7}


def test_the_next_start_goes_on_under_the_same_incarnation(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    assert establish(tmp_path, store, OWNER, 8) == Identity(7, None)
    assert establish(tmp_path, store, OWNER, 9) == Identity(7, None)


@pytest.mark.parametrize("incarnation", [0, 1, LARGEST])
def test_any_incarnation_of_64_bits_goes_on(tmp_path: Path, store: Store, incarnation: int) -> None:
    establish(tmp_path, store, OWNER, incarnation)
    assert establish(tmp_path, store, OWNER, 8) == Identity(incarnation, None)


def test_a_store_that_forgot_gets_a_new_incarnation(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    set_in_store(store, None)
    assert establish(tmp_path, store, OWNER, 8) == Identity(8, "the store forgot who it is")


def test_a_wiped_store_gets_a_new_incarnation(tmp_path: Path) -> None:
    establish(tmp_path, MemoryStore(), OWNER, 7)
    assert establish(tmp_path, MemoryStore(), OWNER, 8) == Identity(8, "the store forgot who it is")


def test_a_store_without_its_file_gets_a_new_incarnation(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    file_of(tmp_path).unlink()
    assert establish(tmp_path, store, OWNER, 8) == Identity(8, "the identity file is missing")


def test_a_restored_store_that_disagrees_with_the_file_gets_a_new_incarnation(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    set_in_store(store, 6)
    assert establish(tmp_path, store, OWNER, 8) == Identity(8, "store and identity file name different incarnations")


def test_a_renewal_the_file_did_not_hear_of_ends_in_another_renewal(tmp_path: Path, store: Store) -> None:
    # A running node renews in the store first; it crashed before the file was written.
    establish(tmp_path, store, OWNER, 7)
    set_in_store(store, 8)
    assert establish(tmp_path, store, OWNER, 9) == Identity(9, "store and identity file name different incarnations")


def test_a_renewal_that_reached_both_places_goes_on(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    set_in_store(store, 8)
    identity.save(tmp_path, OWNER, 8)
    assert establish(tmp_path, store, OWNER, 9) == Identity(8, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00garbage",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"cluster": "shop", "datacenter": "eu", "node": "eu-1"}',
        b'{"cluster": "shop", "datacenter": "eu", "node": "eu-1", "incarnation": null}',
        b'{"cluster": "shop", "datacenter": "eu", "node": "eu-1", "incarnation": "7"}',
        b'{"cluster": "shop", "datacenter": "eu", "node": "eu-1", "incarnation": [7]}',
    ],
)
def test_a_damaged_file_gets_a_new_incarnation(tmp_path: Path, content: bytes) -> None:
    store = MemoryStore()
    establish(tmp_path, store, OWNER, 7)
    file_of(tmp_path).write_bytes(content)
    renewed = establish(tmp_path, store, OWNER, 8)
    assert renewed.incarnation == 8
    assert renewed.renewed_because is not None
    assert establish(tmp_path, store, OWNER, 9) == Identity(8, None)


@pytest.mark.parametrize("store_has", [None, 6, 7])
@pytest.mark.parametrize("file_has", [None, 6, 7])
def test_after_any_start_store_and_file_agree(tmp_path: Path, store_has: int | None, file_has: int | None) -> None:
    store = MemoryStore()
    if store_has is not None:
        set_in_store(store, store_has)
    if file_has is not None:
        identity.save(tmp_path, OWNER, file_has)
    established = establish(tmp_path, store, OWNER, 8)
    agreed = store_has if store_has is not None and store_has == file_has else 8
    assert established.incarnation == agreed
    assert in_store(store) == agreed
    assert on_file(tmp_path)["incarnation"] == agreed
    assert (established.renewed_because is None) == (agreed != 8)


def test_the_established_incarnation_is_durable(tmp_path: Path) -> None:
    store = MemoryStore()
    establish(tmp_path, store, OWNER, 7)
    assert not store.has_writes
    assert store.unsynced == 0
    store.crash()
    assert establish(tmp_path, store, OWNER, 8) == Identity(7, None)


def test_renewing_keeps_the_other_rows(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    store.put(rows.data_row(b"key"), b"entry")
    store.commit()
    file_of(tmp_path).unlink()
    establish(tmp_path, store, OWNER, 8)
    assert store.get(rows.data_row(b"key")) == b"entry"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Owner("bank", "eu", "eu-1"), "belongs to cluster 'bank', not 'shop'"),
        (Owner("shop", "us", "eu-1"), "belongs to datacenter 'us', not 'eu'"),
        (Owner("shop", "eu", "eu-2"), "belongs to node 'eu-2', not 'eu-1'"),
    ],
)
def test_a_foreign_directory_is_refused_and_left_as_it_is(
    tmp_path: Path, store: Store, other: Owner, message: str
) -> None:
    establish(tmp_path, store, other, 7)
    before = file_of(tmp_path).read_bytes()
    with pytest.raises(StorageError, match=message) as caught:
        establish(tmp_path, store, OWNER, 8)
    assert str(caught.value).endswith("choose another --data directory")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file_of(tmp_path).read_bytes() == before
    assert in_store(store) == 7
    assert not store.has_writes


def test_a_foreign_directory_is_refused_also_when_its_store_is_empty(tmp_path: Path) -> None:
    identity.save(tmp_path, Owner("shop", "eu", "eu-2"), 7)
    with pytest.raises(StorageError, match="belongs to node 'eu-2'"):
        establish(tmp_path, MemoryStore(), OWNER, 8)


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the identity file cannot be written: No such file or directory") as caught:
        establish(tmp_path / "gone", MemoryStore(), OWNER, 7)
    assert "\n" not in str(caught.value)


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    identity.save(tmp_path, OWNER, 7)
    identity.save(tmp_path, OWNER, 8)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert on_file(tmp_path)["incarnation"] == 8


def test_a_half_written_file_of_an_earlier_crash_is_no_obstacle(tmp_path: Path, store: Store) -> None:
    establish(tmp_path, store, OWNER, 7)
    file_of(tmp_path).with_name(FILE_NAME + ".new").write_text('{"cluster": "sh')
    assert establish(tmp_path, store, OWNER, 8) == Identity(7, None)
