"""A restored copy of a store: used while it is young, set aside when it could resurrect deleted keys."""

from pathlib import Path

import pytest

from crdtkv.config.model import StorageConfig
from crdtkv.errors import DamagedStore
from crdtkv.server.data_directory import fence, mark_damaged, open_store
from crdtkv.storage import rows
from crdtkv.storage.identity import FILE_NAME, Identity, is_fenced
from crdtkv.storage.memory import MemoryStore

GRACE_S = 100.0
NOTED_MS = 1_000_000
CONFIG = StorageConfig()


def store_in_use_at(wall_ms: int | None) -> MemoryStore:
    store = MemoryStore()
    if wall_ms is not None:
        store.put(rows.ALIVE_AT, wall_ms.to_bytes(8, "big"))
    return store


@pytest.mark.parametrize(
    ("reason", "noted_ms", "age_s", "fenced"),
    [
        ("it is a copy", NOTED_MS, GRACE_S - 1, False),
        ("it is a copy", NOTED_MS, GRACE_S, True),
        ("it is a copy", None, GRACE_S * 10, False),
        (None, NOTED_MS, GRACE_S * 10, False),
    ],
    ids=["young", "old", "nobody knows how old", "no copy: tombstones have waited for it"],
)
def test_only_a_copy_older_than_tombstones_get_is_fenced(
    reason: str | None, noted_ms: int | None, age_s: float, fenced: bool
) -> None:
    who = Identity(1, 2, reason)
    assert is_fenced(who, store_in_use_at(noted_ms), NOTED_MS + int(age_s * 1000), GRACE_S) is fenced


def test_a_fenced_store_is_kept_aside_and_an_empty_one_takes_its_place(tmp_path: Path) -> None:
    store = open_store(tmp_path, CONFIG)
    store.put(b"m", b"what was")
    store.commit()
    store.sync()
    empty = fence(store, tmp_path, CONFIG)
    assert empty.get(b"m") is None
    empty.close()
    (aside,) = tmp_path.glob("db.fenced-*")
    (tmp_path / "again").mkdir()
    aside.rename(tmp_path / "again" / "db")
    kept = open_store(tmp_path / "again", CONFIG)
    assert kept.get(b"m") == b"what was"
    kept.close()


def test_a_store_marked_as_damaged_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    open_store(tmp_path, CONFIG).close()
    mark_damaged(tmp_path)
    open_store(tmp_path, CONFIG).close()
    assert len(list(tmp_path.glob("db.damaged-*"))) == 1
    open_store(tmp_path, CONFIG).close()
    assert len(list(tmp_path.glob("db.damaged-*"))) == 1


def test_damage_in_a_directory_nobody_has_owned_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "CURRENT").write_text("a photo album\n")
    with pytest.raises(DamagedStore):
        open_store(tmp_path, CONFIG)
    assert not list(tmp_path.glob("db.damaged-*"))
    (tmp_path / FILE_NAME).write_text("{}")
    open_store(tmp_path, CONFIG).close()
    assert len(list(tmp_path.glob("db.damaged-*"))) == 1
