"""Patches: whatever changed, the value before and the patch give exactly the value after, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtkv import cbor
from crdtkv.errors import DamagedStore
from crdtkv.storage import patch_format as patches

pieces = st.lists(st.binary(max_size=6), max_size=40)
#: What happens to one piece: it goes, another takes its place, or something comes before it.
edits = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(("drop", "replace", "insert")), st.binary(max_size=6)))


def edited(before: list[bytes], changes: list[tuple[int, str, bytes]]) -> list[bytes]:
    after = list(before)
    for number, kind, new in changes:
        at = number % (len(after) + 1)
        after[at : at + (kind != "insert")] = [] if kind == "drop" else [new]
    return after


def patched(before: list[bytes], after: list[bytes]) -> bytes:
    value, wanted = bytearray(b"".join(before)), b"".join(after)
    patches.apply(value, patches.encoded(patches.differences(before, after), len(value), len(wanted)))
    return bytes(value)


@given(pieces, edits)
def test_a_patched_value_is_the_one_that_was_to_be_stored(before: list[bytes], changes: list) -> None:
    after = edited(before, changes)
    assert patched(before, after) == b"".join(after)


@given(pieces, pieces)
def test_values_that_share_nothing_are_patched_as_well(before: list[bytes], after: list[bytes]) -> None:
    assert patched(before, after) == b"".join(after)


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_patch_of_a_few_bytes_is_of_about_their_size_wherever_they_are(first: int, second: int) -> None:
    before = [b"%03d" % number * 400 for number in range(100)]
    after = list(before)
    for at in (first, second):
        after[at] = before[at][:600] + b"changed" + before[at][600:]
    found = patches.differences(before, after)
    assert sum(len(splice.replacement) for splice in found) <= 2 * len(b"changed")
    assert patched(before, after) == b"".join(after)


def test_a_chunk_that_was_divided_costs_only_what_was_added() -> None:
    before = [b"head", b"a" * 900 + b"z" * 900, b"tail"]
    after = [b"HEAD", b"a" * 900, b"new" + b"z" * 900, b"TAIL!"]
    assert sum(len(splice.replacement) for splice in patches.differences(before, after)) < 2000
    assert patched(before, after) == b"".join(after)


def test_equal_values_differ_nowhere() -> None:
    assert patches.differences([b"ab", b"c"], [b"ab", b"c"]) == []


GOOD = patches.encoded([patches.Splice(1, 2, b"xy")], 3, 4)


@pytest.mark.parametrize(
    "patch",
    [
        patches.encoded([patches.Splice(1, 2, b"xy")], 4, 5),
        patches.encoded([patches.Splice(1, 2, b"xy")], 3, 3),
        cbor.encode([3, 4, 1, 2]),
        cbor.encode([3, 4, 1, 2, "xy"]),
        cbor.encode([3, 4, None, 2, b"xy"]),
        cbor.encode(3),
        b"\xff",
        GOOD[:-1],
    ],
    ids=lambda patch: patch.hex(),
)
def test_a_patch_that_does_not_fit_is_damage(patch: bytes) -> None:
    good = bytearray(b"abc")
    patches.apply(good, GOOD)
    assert good == b"axyc"
    with pytest.raises(DamagedStore):
        patches.apply(bytearray(b"abc"), patch)
