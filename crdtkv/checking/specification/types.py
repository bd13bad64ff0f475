"""The specification of every type; that of a map consists of those of its fields."""

from typing import Any

from crdtkv.checking.specification.boards import BoardSpecification
from crdtkv.checking.specification.counters import BoundedCounterSpecification, CounterSpecification
from crdtkv.checking.specification.flags import DisableWinsFlagSpecification, FlagSpecification
from crdtkv.checking.specification.joined import HyperLogLogSpecification, MaximumSpecification, MinimumSpecification
from crdtkv.checking.specification.registers import LastWriterWinsSpecification, RegisterSpecification
from crdtkv.checking.specification.sets import RemoveWinsSetSpecification, SetSpecification
from crdtkv.checking.specification.view import Field, Specification, View


class MapSpecification(Specification):
    """Every field separately, as its type specifies for the operations on it; a delete is one on every field."""

    def values(self, view: View) -> list[Any]:
        """Return type, name and values of every visible field, sorted."""
        fields = sorted({tuple(one.arguments[0][:2]) for one in view.named("update")})
        shown = ([*field, _field_values(view, field)] for field in fields)
        return [field for field in shown if field[2]]


def _field_values(view: View, field: Field) -> list[Any]:
    specification = SPECIFICATIONS[field[0]]
    return specification.values(view.on_field(field, specification))


SPECIFICATIONS: dict[str, Specification] = {
    "register": RegisterSpecification(),
    "lww": LastWriterWinsSpecification(),
    "counter": CounterSpecification(),
    "set": SetSpecification(),
    "rwset": RemoveWinsSetSpecification(),
    "gset": SetSpecification(),
    "flag": FlagSpecification(),
    "dwflag": DisableWinsFlagSpecification(),
    "maxreg": MaximumSpecification(),
    "minreg": MinimumSpecification(),
    "hll": HyperLogLogSpecification(),
    "board": BoardSpecification(),
    "map": MapSpecification(),
    "bcounter": BoundedCounterSpecification(),
}
