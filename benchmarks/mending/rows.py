"""The rows of the measured replicas: real register entries, put directly into the stores, and removed again from one.

Every key has a second version, so that a replica can fall back to the first (`older`) or lose it (`missing`). Rows that
are removed from a replica's store are removed from its Merkle tree as well: the node is then in the state of one that
was down during these writes.
"""

from collections.abc import Iterable, Iterator
from random import Random

from crdtkv import cbor
from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import from_wall_ms
from crdtkv.causality.version_vector import VersionVector
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.register import Register, Version
from crdtkv.hashing import entry_digest
from crdtkv.ids import actor_name, identity_of
from crdtkv.merkle.forest import leaf_of
from crdtkv.node.core import NodeCore
from crdtkv.ring.token import TOKEN_BYTES, partition_of, storage_key_of
from crdtkv.storage import rows
from crdtkv.storage.store import Store

#: Writes of another data center: no measured node mints dots of this actor.
ACTOR = actor_name("us-1", 1)
WRITTEN_AT = from_wall_ms(1_700_000_000_000)
ROWS_A_COMMIT = 10_000


def entry_of(version: int, value: bytes) -> bytes:
    """Return the entry of a register that was put this often."""
    state = Register((Version(Dot(ACTOR, version), WRITTEN_AT + version, cbor.encode_value(value)),))
    return Entry(state, CausalContext(VersionVector({ACTOR: version}))).to_bytes()


def storage_key(number: int) -> bytes:
    """Return where a key is stored."""
    return storage_key_of(identity_of("default", "register", f"user:{number:07}"))


def fill(stores: Iterable[Store], keys: int, value_bytes: int) -> int:
    """Put the same entries into all stores; return the bytes of one entry."""
    random = Random(1)
    # Sorted, because a store in memory takes rows in order much faster.
    entries = sorted((storage_key(number), entry_of(2, random.randbytes(value_bytes))) for number in range(keys))
    for store in stores:
        for first in range(0, keys, ROWS_A_COMMIT):
            for key, entry in entries[first : first + ROWS_A_COMMIT]:
                store.put(rows.data_row(key), entry)
            store.commit()
        store.sync()
    return len(entries[0][1])


def lose(core: NodeCore, store: Store, numbers: list[int], value_bytes: int) -> None:
    """Let a replica miss the last write of these keys: every second key loses its only write."""
    older = entry_of(1, bytes(value_bytes))
    for position, number in enumerate(numbers):
        key = storage_key(number)
        row = rows.data_row(key)
        held = store.get(row)
        assert held is not None
        difference = entry_digest(key, held)
        if position % 2:
            store.delete(row)
        else:
            store.put(row, older)
            difference ^= entry_digest(key, older)
        _toggle(core, key, difference)
    store.commit()
    store.sync()


def differing(stores: Iterable[Store], numbers: Iterable[int]) -> Iterator[int]:
    """Yield the keys of which the stores hold different rows."""
    for number in numbers:
        row = rows.data_row(storage_key(number))
        if len({store.get(row) for store in stores}) > 1:
            yield number


def _toggle(core: NodeCore, key: bytes, difference: int) -> None:
    token = int.from_bytes(key[:TOKEN_BYTES], "big")
    forest = core.parts.anti_entropy._forest
    tree = forest.tree(partition_of(token, forest.partitions))
    assert tree is not None
    tree.toggle(leaf_of(token, forest.partitions), difference)
