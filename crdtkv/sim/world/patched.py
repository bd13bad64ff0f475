"""Whole entries from the base and the patches that a disk holds (`storage.patching`), for the monitors.

It uses cbor2 alone, so that no mistake of the product hides another. A patch that does not fit its base is a violation;
a missing one shows as a wrong entry.
"""

from collections.abc import Callable

import cbor2

from crdtkv.sim.world.stored import violated
from crdtkv.storage.memory import Batch

#: Returns the stored value of a row, None if there is none.
Lookup = Callable[[bytes], bytes | None]
_TAG_END = 9


def whole(row: bytes, lookup: Lookup) -> bytes | None:
    """Return the value of a row; of the base row of an entry, the whole entry."""
    value = lookup(row)
    if value is None or row[:1] != b"d" or value[:1] != b"\0":
        return value
    tag, entry = value[1:_TAG_END], value[_TAG_END:]
    number = 1
    while (patch := lookup(_patch_row(row, number))) is not None:
        before, after, *parts = cbor2.loads(patch[len(tag) :])
        if patch[: len(tag)] != tag or before != len(entry):
            violated("patches", f"patch {number} of {row!r} is not of what is stored")
        changed, at = b"", 0
        for start, end, replacement in zip(*[iter(parts)] * 3, strict=True):
            changed += entry[at:start] + replacement
            at = end
        entry = changed + entry[at:]
        if len(entry) != after:
            violated("patches", f"patch {number} of {row!r} makes {len(entry)} bytes, not {after}")
        number += 1
    return entry


def whole_rows(batch: Batch, lookup: Lookup) -> Batch:
    """Return a batch with whole entries; `lookup` returns the values that are stored after the batch."""
    rows: Batch = {}
    for row, value in batch.items():
        of = b"d" + row[3 : 3 + int.from_bytes(row[1:3], "big")] if row[:1] == b"e" else row
        rows[of] = whole(of, lookup) if of[:1] == b"d" else value
    return rows


def _patch_row(row: bytes, number: int) -> bytes:
    storage_key = row[1:]
    return b"e" + len(storage_key).to_bytes(2, "big") + storage_key + number.to_bytes(4, "big")
