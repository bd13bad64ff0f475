"""Whose a data directory is, and which incarnation goes on: on any doubt a new one, never a guess."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtkv.errors import StorageError
from crdtkv.storage import identity, rows
from crdtkv.storage.identity import FILE_NAME, Identity, IdentityFile, Owner, establish
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


def outcome(identity: Identity) -> tuple[int, str | None]:
    return identity.incarnation, identity.renewed_because


def set_in_store(store: Store, incarnation: int | None) -> None:
    if incarnation is None:
        store.delete(rows.IDENTITY)
    else:
        store.put(rows.IDENTITY, incarnation.to_bytes(8, "big"))
    store.commit()
    store.sync()


def test_an_empty_directory_gets_the_fresh_incarnation(tmp_path: Path, store: Store) -> None:
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 7)) == (7, "first start")


def test_the_incarnation_is_kept_in_the_store_and_in_a_file(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    assert in_store(store) == 7
    expected = {"cluster": "shop", "datacenter": "eu", "node": "eu-1", "incarnation": 7, "starts": 1}
    assert on_file(tmp_path) == {**expected, "is_replacement": False}


def test_the_next_start_goes_on_under_the_same_incarnation(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (7, None)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 9)) == (7, None)


@pytest.mark.parametrize("incarnation", [0, 1, LARGEST])
def test_any_incarnation_of_64_bits_goes_on(tmp_path: Path, store: Store, incarnation: int) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, incarnation)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (incarnation, None)


def test_a_store_that_forgot_gets_a_new_incarnation(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    set_in_store(store, None)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (8, "the store has lost its identity")


def test_a_wiped_store_gets_a_new_incarnation(tmp_path: Path) -> None:
    establish(IdentityFile(tmp_path), MemoryStore(), OWNER, 7)
    assert outcome(establish(IdentityFile(tmp_path), MemoryStore(), OWNER, 8)) == (8, "the store has lost its identity")


def test_a_store_without_its_file_gets_a_new_incarnation(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    file_of(tmp_path).unlink()
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (8, "the identity file is missing")


def test_a_restored_store_that_disagrees_with_the_file_gets_a_new_incarnation(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    set_in_store(store, 6)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (
        8,
        "store and identity file name different incarnations",
    )


def test_a_renewal_the_file_did_not_hear_of_ends_in_another_renewal(tmp_path: Path, store: Store) -> None:
    # A running node renews in the store first; it crashed before the file was written.
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    set_in_store(store, 8)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 9)) == (
        9,
        "store and identity file name different incarnations",
    )


def test_a_renewal_that_reached_both_places_goes_on(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    set_in_store(store, 8)
    identity.save(IdentityFile(tmp_path), OWNER, Identity(8, 1, None))
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 9)) == (8, None)


def test_both_places_count_the_starts(tmp_path: Path, store: Store) -> None:
    for number in (1, 2, 3):
        assert establish(IdentityFile(tmp_path), store, OWNER, 7).starts == number
        assert on_file(tmp_path)["starts"] == number


def test_a_store_restored_from_before_the_last_start_gets_a_new_incarnation(tmp_path: Path) -> None:
    """It carries the same incarnation, but has forgotten dots that were issued since."""
    store, backup = MemoryStore(), MemoryStore()
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    for row, value in store.scan(b"", b"\xff", 100):
        backup.put(row, value)
    backup.commit()
    establish(IdentityFile(tmp_path), store, OWNER, 8)
    renewed = establish(IdentityFile(tmp_path), backup, OWNER, 9)
    assert renewed == Identity(9, 3, "the store has 1 starts, the identity file 2", is_replacement=True)
    assert outcome(establish(IdentityFile(tmp_path), backup, OWNER, 10)) == (9, None)


def test_an_incarnation_that_replaces_a_lost_one_is_remembered_as_such(tmp_path: Path) -> None:
    assert not establish(IdentityFile(tmp_path), MemoryStore(), OWNER, 7).is_replacement
    emptied = MemoryStore()
    assert establish(IdentityFile(tmp_path), emptied, OWNER, 8).is_replacement
    again = establish(IdentityFile(tmp_path), emptied, OWNER, 9)
    assert (again.incarnation, again.renewed_because, again.is_replacement) == (8, None, True)


def test_a_start_that_broke_off_before_the_file_was_written_is_no_doubt(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    before = file_of(tmp_path).read_bytes()
    establish(IdentityFile(tmp_path), store, OWNER, 8)
    file_of(tmp_path).write_bytes(before)
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 9)) == (7, None)


@pytest.mark.parametrize("starts", [b"-1", b"null", b'"2"', b"1e9", b"9223372036854775808", b"true"])
def test_a_senseless_number_of_starts_counts_as_none(tmp_path: Path, store: Store, starts: bytes) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    file_of(tmp_path).write_bytes(file_of(tmp_path).read_bytes().replace(b'"starts": 1', b'"starts": ' + starts))
    assert establish(IdentityFile(tmp_path), store, OWNER, 8) == Identity(7, 2, None)


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
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    file_of(tmp_path).write_bytes(content)
    renewed = establish(IdentityFile(tmp_path), store, OWNER, 8)
    assert renewed.incarnation == 8
    assert renewed.renewed_because is not None
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 9)) == (8, None)


@pytest.mark.parametrize("store_has", [None, 6, 7])
@pytest.mark.parametrize("file_has", [None, 6, 7])
def test_after_any_start_store_and_file_agree(tmp_path: Path, store_has: int | None, file_has: int | None) -> None:
    store = MemoryStore()
    if store_has is not None:
        set_in_store(store, store_has)
    if file_has is not None:
        identity.save(IdentityFile(tmp_path), OWNER, Identity(file_has, 0, None))
    established = establish(IdentityFile(tmp_path), store, OWNER, 8)
    agreed = store_has if store_has is not None and store_has == file_has else 8
    assert established.incarnation == agreed
    assert in_store(store) == agreed
    assert on_file(tmp_path)["incarnation"] == agreed
    assert (established.renewed_because is None) == (agreed != 8)


def test_the_established_incarnation_is_durable(tmp_path: Path) -> None:
    store = MemoryStore()
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    assert not store.has_writes
    assert store.unsynced == 0
    store.crash()
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (7, None)


def test_renewing_keeps_the_other_rows(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    store.put(rows.data_row(b"key"), b"entry")
    store.commit()
    file_of(tmp_path).unlink()
    establish(IdentityFile(tmp_path), store, OWNER, 8)
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
    establish(IdentityFile(tmp_path), store, other, 7)
    before = file_of(tmp_path).read_bytes()
    with pytest.raises(StorageError, match=message) as caught:
        establish(IdentityFile(tmp_path), store, OWNER, 8)
    assert str(caught.value).endswith("choose another --data directory")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file_of(tmp_path).read_bytes() == before
    assert in_store(store) == 7
    assert not store.has_writes


def test_a_foreign_directory_is_refused_also_when_its_store_is_empty(tmp_path: Path) -> None:
    identity.save(IdentityFile(tmp_path), Owner("shop", "eu", "eu-2"), Identity(7, 1, None))
    with pytest.raises(StorageError, match="belongs to node 'eu-2'"):
        establish(IdentityFile(tmp_path), MemoryStore(), OWNER, 8)


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the identity file cannot be written: No such file or directory") as caught:
        establish(IdentityFile(tmp_path / "gone"), MemoryStore(), OWNER, 7)
    assert "\n" not in str(caught.value)


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    identity.save(IdentityFile(tmp_path), OWNER, Identity(7, 1, None))
    identity.save(IdentityFile(tmp_path), OWNER, Identity(8, 1, None))
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert on_file(tmp_path)["incarnation"] == 8


def test_a_half_written_file_of_an_earlier_crash_is_no_obstacle(tmp_path: Path, store: Store) -> None:
    establish(IdentityFile(tmp_path), store, OWNER, 7)
    file_of(tmp_path).with_name(FILE_NAME + ".new").write_text('{"cluster": "sh')
    assert outcome(establish(IdentityFile(tmp_path), store, OWNER, 8)) == (7, None)


def test_a_copy_that_was_put_back_is_found_however_often_it_fails_to_start(tmp_path: Path) -> None:
    """Starts that broke off before the bucket was asked count on this disk, and prove nothing."""
    record, store = IdentityFile(tmp_path), MemoryStore()
    identity.outlive(record, store, OWNER, establish(record, store, OWNER, 7), 0, 70)
    backup, on_backup = _copy(store), file_of(tmp_path).read_bytes()
    second = identity.outlive(record, store, OWNER, establish(record, store, OWNER, 8), 1, 80)
    assert (second.incarnation, second.starts) == (7, 2)

    file_of(tmp_path).write_bytes(on_backup)
    for _ in range(3):
        who = establish(record, backup, OWNER, 9)
    assert who.starts == 4
    found = identity.outlive(record, backup, OWNER, who, 2, 90)
    reason = "this directory has noted start 1, the topology bucket holds start 2: it is a copy"
    assert found == Identity(90, 5, reason, is_replacement=True)
    assert outcome(establish(record, backup, OWNER, 10)) == (90, None)


def test_a_start_that_broke_off_around_its_note_in_the_bucket_is_no_copy(tmp_path: Path) -> None:
    record, store = IdentityFile(tmp_path), MemoryStore()
    identity.outlive(record, store, OWNER, establish(record, store, OWNER, 7), 0, 70)
    for held_by_the_bucket in (1, 1, 3):  # the second start never came to note itself, the third did
        who = identity.outlive(record, store, OWNER, establish(record, store, OWNER, 8), held_by_the_bucket, 80)
        assert outcome(who) == (7, None)


def test_what_a_disk_notes_elsewhere_it_has_noted_itself_before(tmp_path: Path) -> None:
    record, store = IdentityFile(tmp_path), MemoryStore()
    who = identity.outlive(record, store, OWNER, establish(record, store, OWNER, 7), 0, 70)
    store.crash()
    assert store.get(rows.STARTS_NOTED) == who.starts.to_bytes(8, "big")


def _copy(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    for row, value in store.scan(b"", b"\xff", 100):
        copy.put(row, value)
    copy.commit()
    copy.sync()
    return copy
