"""What the laws try on each type, and the value it must have then: `crdtkv.checking.specification` says which.

A type is added to the laws by its specification there, and a line in `TRIED`; the laws themselves know no type.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from crdtkv.causality.dot import Dot
from crdtkv.checking.specification.operation import Operation
from crdtkv.checking.specification.types import SPECIFICATIONS
from crdtkv.crdt.registry import TYPES
from crdtkv.ids import actor_name

#: The names the replicas of a history have first.
REPLICA_ACTORS = tuple(actor_name(f"n{number}", 1) for number in range(3))

Call = tuple[str, tuple[Any, ...]]


class Tried(NamedTuple):
    """The operations to try, and which of them may be told what their client had read."""

    calls: tuple[Call, ...]
    takes_context: frozenset[str] = frozenset()


_PUTS_AND_DELETES: tuple[Call, ...] = (("put", (b"\x01",)), ("put", (b"\x61x",)), ("delete", ()))
_SETS = frozenset(("add", "remove", "delete"))
_ADDS_AND_REMOVES: tuple[Call, ...] = (
    ("add", (b"\x01",)),
    ("add", (b"\x01", b"\x02", b"\x03")),
    ("remove", (b"\x01",)),
    ("remove", (b"\x02", b"\x03")),
    ("delete", ()),
)
_FLAG = Tried((("enable", ()), ("disable", ()), ("delete", ())), frozenset(("enable", "disable", "delete")))
_NUMBERS = Tried(
    (("set", (1,)), ("set", (5,)), ("set", (3.5,)), ("set", (5.0,)), ("delete", ())), frozenset(("delete",))
)

TRIED: dict[str, Tried] = {
    "register": Tried(_PUTS_AND_DELETES, frozenset(("put", "delete"))),
    "lww": Tried(_PUTS_AND_DELETES),
    "counter": Tried((("increment", (1,)), ("increment", (-3,)), ("increment", (0,)), ("delete", ()))),
    "set": Tried(_ADDS_AND_REMOVES, _SETS),
    "rwset": Tried(_ADDS_AND_REMOVES, _SETS),
    "gset": Tried((("add", (b"\x01",)), ("add", (b"\x01", b"\x02", b"\x03")), ("delete", ())), _SETS),
    "flag": _FLAG,
    "dwflag": _FLAG,
    "maxreg": _NUMBERS,
    "minreg": _NUMBERS,
    "hll": Tried(
        (("add", (b"\x01",)), ("add", (b"\x02", b"\x03")), ("add", (b"\x01", b"\x02")), ("delete", ())),
        frozenset(("delete",)),
    ),
    "board": Tried(
        (
            ("set", (b"\x01", 10)),
            ("set", (b"\x01", 2.5)),
            ("set", (b"\x02", 7)),
            ("increment", (b"\x01", 1)),
            ("increment", (b"\x02", -0.5)),
            ("remove", (b"\x01",)),
            ("delete", ()),
        )
    ),
    "map": Tried(
        (
            ("update", (["register", b"name"], "put", b"\x01")),
            ("update", (["register", b"name"], "delete")),
            ("update", (["counter", b"logins"], "increment", 1)),
            ("update", (["counter", b"logins"], "delete")),
            ("update", (["set", b"tags"], "add", b"\x01", b"\x02")),
            ("update", (["set", b"tags"], "remove", b"\x01")),
            ("update", (["board", b"scores"], "increment", b"\x01", 2)),
            ("update", (["lww", b"seen"], "put", b"\x05")),
            ("update", (["map", b"a", "map", b"b", "set", b"c"], "add", b"\x01")),
            ("update", (["map", b"a", "map", b"b", "counter", b"d"], "increment", 1)),
            ("update", (["map", b"a", "map", b"b", "rwset", b"c"], "remove", b"\x01")),
            ("update", (["map", b"a", "maxreg", b"top"], "set", 3)),
            ("update", (["map", b"a", "map", b"b"], "delete")),
            ("update", (["map", b"a"], "delete")),
            ("delete", ()),
        ),
        frozenset(("update", "delete")),
    ),
    "bcounter": Tried((("increment", (2,)), ("decrement", (1,)), *(("transfer", (1, to)) for to in REPLICA_ACTORS))),
}
assert set(TRIED) == set(SPECIFICATIONS) == set(TYPES)


def expected(type_tag: str, seen: Iterable[Operation], everything: Mapping[Dot, Operation], now: int = 0) -> str:
    """Return what a reader of these operations sees, told so that 1 is not 1.0."""
    return repr(SPECIFICATIONS[type_tag].shown({**everything}, frozenset(one.dot for one in seen), now))
