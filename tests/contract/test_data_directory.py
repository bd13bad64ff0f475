"""A node's data directory: private, and set aside only for damage."""

import stat
from pathlib import Path

import pytest

from crdtkv.config.model import StorageConfig
from crdtkv.errors import StorageError
from crdtkv.server.data_directory import mark_damaged, open_store
from crdtkv.storage import identity, rocks

CONFIG = StorageConfig()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def a_nodes_directory(data: Path) -> None:
    """Make the directory of a node that has started once, with a table."""
    store = open_store(data, CONFIG)
    owner = identity.Owner("shop", "eu", "eu-1")
    identity.establish(identity.IdentityFile(data), store, owner, 1)
    store.close()


def test_a_new_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    data = tmp_path / "nodes" / "eu-1"
    open_store(data, CONFIG).close()
    assert mode(data) == 0o700
    assert mode(data / "db") == 0o700


def test_a_directory_others_can_look_into_is_told_of_and_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    open_store(tmp_path, CONFIG).close()
    (warning,) = caplog.messages
    assert warning.endswith(f"other users can look into it (mode 755): chmod 700 {tmp_path}")


def test_a_private_directory_is_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_store(tmp_path / "data", CONFIG).close()
    assert caplog.messages == []


def test_a_damaged_store_of_a_node_is_set_aside(tmp_path: Path) -> None:
    a_nodes_directory(tmp_path)
    (tmp_path / "db" / "CURRENT").write_text("junk\n")
    open_store(tmp_path, CONFIG).close()
    (aside,) = tmp_path.glob("db.damaged-*")
    assert (aside / "CURRENT").read_text() == "junk\n"


def test_a_marked_store_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    a_nodes_directory(tmp_path)
    mark_damaged(tmp_path)
    open_store(tmp_path, CONFIG).close()
    assert len(list(tmp_path.glob("db.damaged-*"))) == 1


@pytest.mark.parametrize(
    "reason",
    ["Too many open files (os error 24)", "IO error: While appending: No space left on device", "IO error: something"],
)
def test_a_store_that_could_not_be_looked_at_is_not_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    a_nodes_directory(tmp_path)
    before = sorted(path.name for path in (tmp_path / "db").iterdir())

    def fails(*_: object, **__: object) -> None:
        raise Exception(reason)

    monkeypatch.setattr(rocks, "Rdict", fails)
    with pytest.raises(StorageError):
        open_store(tmp_path, CONFIG)
    assert sorted(path.name for path in (tmp_path / "db").iterdir()) == before
    assert list(tmp_path.glob("db.*")) == []


def test_a_store_in_use_is_not_set_aside(tmp_path: Path) -> None:
    a_nodes_directory(tmp_path)
    store = open_store(tmp_path, CONFIG)
    with pytest.raises(StorageError, match="in use by another process"):
        open_store(tmp_path, CONFIG)
    store.close()
    assert list(tmp_path.glob("db.*")) == []
