"""The notes of tombstones, and the name under which a node writes: what they say, and that they survive a restart."""

from hypothesis import given
from hypothesis import strategies as st

from crdtkv.hashing import DIGEST_BYTES, entry_digest
from crdtkv.node.replica.tombstones import Noted, Tombstones
from crdtkv.node.replica.write_actor import WriteActor
from crdtkv.storage.memory import MemoryStore

KEYS = [f"storage_key-{number}".encode() for number in range(5)]


def digest(storage_key: bytes, encoded: bytes) -> bytes:
    return entry_digest(storage_key, encoded).to_bytes(DIGEST_BYTES, "big")


def test_a_note_tells_since_when_which_bytes_and_when_nothing_is_seen_any_more() -> None:
    tombstones = Tombstones(MemoryStore())
    tombstones.note(KEYS[0], b"entry", 1234, 5678)
    assert tombstones.get(KEYS[0]) == Noted(1234, digest(KEYS[0], b"entry"), 5678)
    assert tombstones.get(KEYS[1]) is None


def test_a_changed_tombstone_is_noted_anew() -> None:
    tombstones = Tombstones(MemoryStore())
    tombstones.note(KEYS[0], b"entry", 1234, 9000)
    tombstones.note(KEYS[0], b"another", 5678, 0)
    assert tombstones.get(KEYS[0]) == Noted(5678, digest(KEYS[0], b"another"), 0)
    assert len(tombstones) == 1


def test_a_note_from_the_future_keeps_all_else_when_it_is_dated_anew() -> None:
    tombstones = Tombstones(MemoryStore())
    tombstones.note(KEYS[0], b"entry", 9999, 77)
    noted = tombstones.get(KEYS[0])
    assert noted is not None
    tombstones.note_again(KEYS[0], noted, 1234)
    assert tombstones.get(KEYS[0]) == Noted(1234, noted.digest, 77)


def test_notes_are_read_page_by_page_in_the_order_of_keys() -> None:
    tombstones = Tombstones(MemoryStore())
    for key in reversed(KEYS):
        tombstones.note(key, b"entry", 1, 0)
    first, is_last = tombstones.behind(b"", 3)
    assert ([key for key, _ in first], is_last) == (KEYS[:3], False)
    second, is_last = tombstones.behind(first[-1][0], 3)
    assert ([key for key, _ in second], is_last) == (KEYS[3:], True)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=20))
def test_the_count_is_that_of_the_rows_also_after_a_restart(steps: list[tuple[bytes, bool]]) -> None:
    store = MemoryStore()
    tombstones = Tombstones(store)
    noted = set()
    for key, is_deleted in steps:
        if is_deleted:
            tombstones.note(key, b"entry", 1, 0)
            noted.add(key)
        else:
            tombstones.forget(key)
            noted.discard(key)
        assert len(tombstones) == len(noted)
    store.commit()
    assert len(Tombstones(store)) == len(noted)


def test_an_actor_that_was_renewed_stays_so_after_a_restart() -> None:
    store = MemoryStore()
    actor = WriteActor(store, "eu-1", 7)
    assert actor.name == "eu-1.0000000000000007"
    actor.renew(1000)
    actor.renew(2000)
    assert actor.name == "eu-1.0000000000000007-2"
    again = WriteActor(store, "eu-1", 7)
    assert (again.name, again.renewed_ms) == (actor.name, 2000)


def test_a_new_incarnation_begins_with_a_name_of_its_own() -> None:
    store = MemoryStore()
    actor = WriteActor(store, "eu-1", 7)
    actor.renew(1000)
    assert WriteActor(store, "eu-1", 8).name == "eu-1.0000000000000008"
    actor.begin(9)
    assert (actor.name, actor.renewed_ms) == ("eu-1.0000000000000009", 0)
    assert actor.name not in {"eu-1.0000000000000007", "eu-1.0000000000000007-1"}
