"""Golden bytes: one entry of each type as it stands on the disks of running clusters, which every version must read.

A change of these bytes is a change of the format. `python tests/laws/test_golden_bytes.py` prints the vectors anew.
"""

import pytest

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.crdt.registry import TYPES

A, B = "eu-1.00000000000000aa", "us-1.00000000000000bb"

GOLDEN = {
    "register": (
        "8601687265676973746572887565752d312e30303030303030303030303030306161011a03e8000044636f6e657575732d31"
        "2e30303030303030303030303030306262031a03e9000046657468726565847565752d312e30303030303030303030303030"
        "306161017575732d312e3030303030303030303030303030626201827575732d312e30303030303030303030303030306262"
        "03f6"
    ),
    "lww": (
        "8601636c7777841a03e800017575732d312e303030303030303030303030303062620141f6847565752d312e303030303030"
        "30303030303030306161017575732d312e3030303030303030303030303030626201801b4000000000000000"
    ),
    "counter": (
        "860167636f756e7465728a7565752d312e30303030303030303030303030306161021903e9011903e87575732d312e303030"
        "3030303030303030303030626202260000847565752d312e30303030303030303030303030306161027575732d312e303030"
        "303030303030303030303062620280f6"
    ),
}


def samples() -> dict[str, Entry]:
    """Build one entry of each type: two actors, a gap in the context where the type allows it, an expiry."""
    return {"register": _register(), "lww": _lww(), "counter": _counter()}


def _register() -> Entry:
    here = _after(Entry.empty("register"), ("put", b"\x63one"), Event(Dot(A, 1), 65_536_000))
    there = _after(Entry.empty("register"), ("put", b"\x63two"), Event(Dot(B, 1), 65_536_001), None)
    # The third write of B had read only its first; the second is still on its way.
    there = there.merge(there.delta("put", [b"\x65three"], Event(Dot(B, 3), 65_601_536), there.context))
    return here.merge(there)


def _lww() -> Entry:
    here = _after(Entry.empty("lww"), ("put", b"\x18\x2a"), Event(Dot(A, 1), 65_536_000))
    there = _after(Entry.empty("lww"), ("put", b"\xf6"), Event(Dot(B, 1), 65_536_001))
    merged = here.merge(there)
    return Entry(merged.state, merged.context, 2**62)


def _counter() -> Entry:
    here = _after(Entry.empty("counter"), ("increment", 1_000), Event(Dot(A, 1), 65_536_000))
    there = _after(here, ("delete",), Event(Dot(B, 1), 65_536_001))
    there = _after(there, ("increment", -7), Event(Dot(B, 2), 65_536_002))
    return _after(here, ("increment", 1), Event(Dot(A, 2), 65_536_003)).merge(there)


def _after(entry: Entry, call: tuple[object, ...], event: Event, seen: CausalContext | None = None) -> Entry:
    operation, *arguments = call
    return entry.merge(entry.delta(str(operation), arguments, event, seen))


def test_every_type_has_a_golden_vector() -> None:
    assert sorted(GOLDEN) == sorted(samples()) == sorted(TYPES)


@pytest.mark.parametrize("type_tag", sorted(GOLDEN))
def test_an_entry_is_encoded_as_ever(type_tag: str) -> None:
    assert samples()[type_tag].to_bytes().hex() == GOLDEN[type_tag]


@pytest.mark.parametrize("type_tag", sorted(GOLDEN))
def test_an_entry_of_old_is_still_understood(type_tag: str) -> None:
    stored = bytes.fromhex(GOLDEN[type_tag])
    for entry in (Entry.from_bytes(stored), Entry.from_peer(stored, type_tag)):
        assert repr(entry) == repr(samples()[type_tag])
        assert entry.expiries == samples()[type_tag].expiries
        assert Entry(entry.state, entry.context, entry.expiries).to_bytes() == stored


def print_vectors() -> None:
    """Print the constant `GOLDEN` for the format as it is now."""
    print("GOLDEN = {")
    for type_tag, entry in samples().items():
        print(f'    "{type_tag}": (')
        digits = entry.to_bytes().hex()
        for start in range(0, len(digits), 100):
            print(f'        "{digits[start : start + 100]}"')
        print("    ),")
    print("}")


if __name__ == "__main__":
    print_vectors()
