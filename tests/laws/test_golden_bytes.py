"""Golden bytes: one entry of each type as it stands on the disks of running clusters, which every version must read.

A change of these bytes is a change of the format. `python tests/laws/test_golden_bytes.py` prints the vectors anew.
"""

import pytest

from crdtkv import cbor
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
        "30303030303030306161017575732d312e303030303030303030303030303062620180837575732d312e3030303030303030"
        "3030303030306262011b4000000000000000"
    ),
    "counter": (
        "860167636f756e7465728a7565752d312e30303030303030303030303030306161021903e9011903e87575732d312e303030"
        "3030303030303030303030626202260000847565752d312e30303030303030303030303030306161027575732d312e303030"
        "303030303030303030303062620280f6"
    ),
    "set": (
        "860163736574864101847565752d312e30303030303030303030303030306161047575732d312e3030303030303030303030"
        "3030306262034102827565752d312e30303030303030303030303030306161054463726564827565752d312e303030303030"
        "3030303030303030616103847565752d312e30303030303030303030303030306161057575732d312e303030303030303030"
        "3030303030626201827575732d312e3030303030303030303030303030626203837565752d312e3030303030303030303030"
        "3030306161031b4000000000000000"
    ),
    "rwset": (
        "8601657277736574864101837565752d312e3030303030303030303030303030616101014102867565752d312e3030303030"
        "303030303030303030616103017575732d312e3030303030303030303030303030626201004463726564837575732d312e30"
        "3030303030303030303030303062620300847565752d312e30303030303030303030303030306161037575732d312e303030"
        "3030303030303030303030626201827575732d312e3030303030303030303030303030626203837575732d312e3030303030"
        "3030303030303030306262011b4000000000000000"
    ),
    "gset": (
        "86016467736574864101847565752d312e30303030303030303030303030306161017575732d312e30303030303030303030"
        "303030306262014102827565752d312e303030303030303030303030303061610241f5827575732d312e3030303030303030"
        "303030303030626203847565752d312e30303030303030303030303030306161027575732d312e3030303030303030303030"
        "303030626201827575732d312e3030303030303030303030303030626203f6"
    ),
    "flag": (
        "860164666c6167847565752d312e30303030303030303030303030306161037575732d312e30303030303030303030303030"
        "30626202847565752d312e30303030303030303030303030306161017575732d312e30303030303030303030303030306262"
        "02827565752d312e3030303030303030303030303030616103837565752d312e30303030303030303030303030306161031b"
        "4000000000000000"
    ),
    "dwflag": (
        "8601666477666c6167867565752d312e3030303030303030303030303030616103017575732d312e30303030303030303030"
        "3030303062620100847565752d312e30303030303030303030303030306161017575732d312e303030303030303030303030"
        "3030626201827565752d312e3030303030303030303030303030616103837575732d312e3030303030303030303030303030"
        "6262011b4000000000000000"
    ),
    "maxreg": (
        "8601666d6178726567867565752d312e30303030303030303030303030306161011b00000100000000007575732d312e3030"
        "303030303030303030303030626203fb401d000000000000847565752d312e30303030303030303030303030306161017575"
        "732d312e3030303030303030303030303030626201827575732d312e3030303030303030303030303030626203f6"
    ),
    "minreg": (
        "8601666d696e726567867565752d312e3030303030303030303030303030616101227575732d312e30303030303030303030"
        "30303030626202fb3fb999999999999a827565752d312e3030303030303030303030303030616101827575732d312e303030"
        "3030303030303030303030626202f6"
    ),
    "hll": (
        "860163686c6c867565752d312e30303030303030303030303030306161014606350107ac017575732d312e30303030303030"
        "3030303030303062620246063501084b01827565752d312e3030303030303030303030303030616101827575732d312e3030"
        "303030303030303030303030626202f6"
    ),
    "board": (
        "860165626f61726486410182847575732d312e30303030303030303030303030306262011a03e80001fbbff8000000000000"
        "8041028280857565752d312e3030303030303030303030303030616103fb401600000000000002fb40040000000000004103"
        "8280857575732d312e3030303030303030303030303030626204040000847565752d312e3030303030303030303030303030"
        "6161037575732d312e3030303030303030303030303030626202827575732d312e3030303030303030303030303030626204"
        "837575732d312e30303030303030303030303030306262011b4000000000000000"
    ),
    "map": (
        "8601636d61708f67636f756e746572466c6f67696e73857565752d312e303030303030303030303030303061610203020363"
        "6c7777446c617374841a03e800077575732d312e30303030303030303030303030306262074105636d617041618963686c6c"
        "447365656e837575732d312e30303030303030303030303030306262044307ac01636d617041628665626f6172644673636f"
        "7265738241018280857575732d312e3030303030303030303030303030626202fb4004000000000000000065727773657446"
        "626172726564824105837575732d312e303030303030303030303030303062620300666d617872656743746f70837575732d"
        "312e303030303030303030303030303062620507687265676973746572446e616d65887565752d312e303030303030303030"
        "30303030306161011a03e8000144636f6e657575732d312e30303030303030303030303030306262011a03e8000144637477"
        "6f637365744474616773844101827565752d312e30303030303030303030303030306161034102827565752d312e30303030"
        "30303030303030303030616104847565752d312e30303030303030303030303030306161047575732d312e30303030303030"
        "30303030303030626205847575732d312e30303030303030303030303030306262077575732d312e30303030303030303030"
        "30303030626209837575732d312e30303030303030303030303030306262071b4000000000000000"
    ),
    "bcounter": (
        "86016862636f756e7465728a7565752d312e30303030303030303030303030306161030a05827575732d312e303030303030"
        "30303030303030306262047775732d312e303030303030303030303030303062622d3101000380847565752d312e30303030"
        "303030303030303030306161037775732d312e303030303030303030303030303062622d310180f6"
    ),
}
BUNDLE = (
    "830268686f6c6f6772616d825869860168686f6c6f6772616d82426174fbbff8000000000000827575732d312e3030303030"
    "303030303030303030626201827575732d312e3030303030303030303030303030626203837575732d312e30303030303030"
    "303030303030306262011b40000000000000005830860168686f6c6f6772616da163616e79657468696e67827565752d312e"
    "303030303030303030303030303061610180f6"
)
NOW = 65_536_000
TYPE_OF_THE_FUTURE = "hologram"


def samples() -> dict[str, Entry]:
    """Build one entry of each type: two actors, a gap in the context where the type allows it, an expiry in some."""
    return {
        "register": _register(),
        "lww": _lww(),
        "counter": _counter(),
        "set": _set(),
        "rwset": _rwset(),
        "gset": _gset(),
        "flag": _flag(),
        "dwflag": _dwflag(),
        "maxreg": _maxreg(),
        "minreg": _minreg(),
        "hll": _hll(),
        "board": _board(),
        "map": _map(),
        "bcounter": _bcounter(),
    }


def _register() -> Entry:
    empty = Entry.empty("register")
    here = empty.merge(empty.delta("put", [b"\x63one"], Event(Dot(A, 1), NOW)))
    there = empty.merge(empty.delta("put", [b"\x63two"], Event(Dot(B, 1), NOW + 1)))
    # The third write of B had read only its first; the second is still on its way.
    there = there.merge(there.delta("put", [b"\x65three"], Event(Dot(B, 3), NOW + 65_536), there.context))
    return here.merge(there)


def _lww() -> Entry:
    here = _after(Entry.empty("lww"), ("put", b"\x18\x2a"), A, 1)
    return here.merge(_after(Entry.empty("lww"), ("put", b"\xf6"), B, 1, 2**62))


def _counter() -> Entry:
    here = _after(Entry.empty("counter"), ("increment", 1_000), A, 1)
    there = _after(_after(here, ("delete",), B, 1), ("increment", -7), B, 2)
    return _after(here, ("increment", 1), A, 2).merge(there)


def _set() -> Entry:
    here = _after(Entry.empty("set"), ("add", b"\x01", b"\x02", b"\x63red"), A, 1, 2**62)
    there = _after(_after(here, ("remove", b"\x02"), B, 1), ("add", b"\x01"), B, 3)
    return _after(here, ("add", b"\x01", b"\x02"), A, 4).merge(there)


def _rwset() -> Entry:
    here = _after(Entry.empty("rwset"), ("add", b"\x01", b"\x02"), A, 1)
    there = _after(_after(here, ("remove", b"\x02"), B, 1, 2**62), ("remove", b"\x63red"), B, 3)
    return _after(here, ("add", b"\x02"), A, 3).merge(there)


def _gset() -> Entry:
    here = _after(Entry.empty("gset"), ("add", b"\x01", b"\x02"), A, 1)
    there = _after(_after(Entry.empty("gset"), ("add", b"\x01"), B, 1), ("add", b"\xf5"), B, 3)
    return here.merge(there)


def _flag() -> Entry:
    here = _after(Entry.empty("flag"), ("enable",), A, 1)
    return _after(here, ("enable",), A, 3, 2**62).merge(_after(_after(here, ("disable",), B, 1), ("enable",), B, 2))


def _dwflag() -> Entry:
    here = _after(Entry.empty("dwflag"), ("enable",), A, 1)
    return _after(here, ("enable",), A, 3).merge(_after(here, ("disable",), B, 1, 2**62))


def _maxreg() -> Entry:
    here = _after(Entry.empty("maxreg"), ("set", 2**40), A, 1)
    return here.merge(_after(_after(Entry.empty("maxreg"), ("set", -2.5), B, 1), ("set", 7.25), B, 3, 2**62))


def _minreg() -> Entry:
    here = _after(Entry.empty("minreg"), ("set", -3), A, 1)
    return here.merge(_after(Entry.empty("minreg"), ("set", 0.1), B, 2))


def _hll() -> Entry:
    here = _after(Entry.empty("hll"), ("add", b"\x01", b"\x02"), A, 1)
    return here.merge(_after(Entry.empty("hll"), ("add", b"\x02", b"\x63red"), B, 2))


def _board() -> Entry:
    here = _after(_after(Entry.empty("board"), ("set", b"\x01", 10), A, 1), ("increment", b"\x02", 2.5), A, 2)
    there = _after(_after(here, ("set", b"\x01", -1.5), B, 1, 2**62), ("remove", b"\x02"), B, 2)
    there = _after(there, ("increment", b"\x03", 4), B, 4)
    return _after(here, ("increment", b"\x02", 3), A, 3).merge(there)


def _map() -> Entry:
    here = Entry.empty("map")
    for counter, (path, *call) in enumerate(
        (
            (["register", b"name"], "put", b"\x63one"),
            (["counter", b"logins"], "increment", 3),
            (["set", b"tags"], "add", b"\x01", b"\x02"),
        ),
        1,
    ):
        here = _after(here, ("update", path, *call), A, counter)
    there = Entry.empty("map")
    for counter, (path, *call) in enumerate(
        (
            (["register", b"name"], "put", b"\x63two"),
            (["map", b"a", "map", b"b", "board", b"scores"], "increment", b"\x01", 2.5),
            (["map", b"a", "map", b"b", "rwset", b"barred"], "remove", b"\x05"),
            (["map", b"a", "hll", b"seen"], "add", b"\x01"),
            (["map", b"a", "maxreg", b"top"], "set", 7),
        ),
        1,
    ):
        there = _after(there, ("update", path, *call), B, counter)
    there = _after(there, ("update", ["lww", b"last"], "put", b"\x05"), B, 7, 2**62)
    return _after(here.merge(there), ("update", ["counter", b"logins"], "delete"), B, 9)


def _bcounter() -> Entry:
    here = _after(_after(Entry.empty("bcounter"), ("increment", 10), A, 1), ("transfer", 4, B), A, 2)
    there = _after(here, ("decrement", 3), B + "-1", 1)
    return _after(here, ("decrement", 5), A, 3).merge(there)


def bundle() -> Entry:
    """Build what a node holds that does not know a type: two concurrent versions of it, as the bytes they were."""
    here = cbor.encode([1, TYPE_OF_THE_FUTURE, {"any": "thing"}, [A, 1], [], None])
    there = cbor.encode([1, TYPE_OF_THE_FUTURE, [b"at", -1.5], [B, 1], [B, 3], [B, 1, 2**62]])
    return Entry.from_peer(here, TYPE_OF_THE_FUTURE).merge(Entry.from_peer(there, TYPE_OF_THE_FUTURE))


def _after(entry: Entry, call: tuple[object, ...], actor: str, counter: int, expires_at: int | None = None) -> Entry:
    operation, *arguments = call
    event = Event(Dot(actor, counter), NOW + counter)
    return entry.merge(entry.delta(str(operation), arguments, event, None, expires_at))


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


def test_a_bundle_of_a_type_nobody_here_knows_is_encoded_as_ever_and_still_understood() -> None:
    stored = bytes.fromhex(BUNDLE)
    assert bundle().to_bytes() == stored
    for entry in (Entry.from_bytes(stored), Entry.from_peer(stored, TYPE_OF_THE_FUTURE)):
        assert entry == bundle()
        assert entry.context == bundle().context
        assert len(entry.state.versions) == 2  # type: ignore[attr-defined]


def print_vectors() -> None:
    """Print the constants `GOLDEN` and `BUNDLE` for the format as it is now."""
    print("GOLDEN = {")
    for type_tag, entry in samples().items():
        print(f'    "{type_tag}": (')
        print_digits(entry, "        ")
        print("    ),")
    print("}\nBUNDLE = (")
    print_digits(bundle(), "    ")
    print(")")


def print_digits(entry: Entry, indent: str) -> None:
    digits = entry.to_bytes().hex()
    for start in range(0, len(digits), 100):
        print(f'{indent}"{digits[start : start + 100]}"')


if __name__ == "__main__":
    print_vectors()
