"""Values under the dots of the operations that wrote them: the state of most types.

`Dotted` values have one merge (`survivors`), the rule of every causal CRDT: a value stays if both sides hold it, or if
one side holds it and the other has not seen its dot. Two kinds of state consist of dotted values, each the single base
of its types:

- `DottedState`: one group of dotted values. Flags, `maxreg`, `minreg`, `hll`.
- `DottedGroups`: one group per element. Sets.

A type has a `Payload`, which defines the values under its dots and their encoding.

Source: Almeida, Shoker, Baquero (2018), section 7.3 (dot stores: DotFun, DotMap).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Event, is_counter
from crdtkv.crdt.parts import Parts
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor

P = TypeVar("P")
Dotted = Mapping[Dot, P]

#: The most elements of one operation: each takes a dot, and delays other requests.
MAX_ELEMENTS = 10_000


def survivors(
    mine: Dotted[P], my_context: CausalContext, theirs: Dotted[P], their_context: CausalContext
) -> dict[Dot, P]:
    """Join two groups of dotted values."""
    kept = {dot: value for dot, value in mine.items() if dot in theirs or dot not in their_context}
    kept.update((dot, value) for dot, value in theirs.items() if dot not in my_context)
    return kept


def superseding(held: Iterable[Dot], seen: CausalContext | None, new: Iterable[Dot]) -> CausalContext:
    """Return the context of an operation on a group: its own dots, and the held dots that it supersedes.

    These are all held dots, or those that its client had read (`seen`).
    """
    return CausalContext(cloud=[*(dot for dot in held if seen is None or dot in seen), *new])


class Payload(Generic[P]):
    """A kind of value under a dot, and its encoding as `width` wire items; immutable."""

    __slots__ = ("_from_wire", "_to_wire", "_width")

    def __init__(
        self, width: int, to_wire: Callable[[P], list[object]], from_wire: Callable[[list[object]], P]
    ) -> None:
        self._width = width
        self._to_wire = to_wire
        self._from_wire = from_wire

    def group_to_wire(self, group: Dotted[P]) -> list[object]:
        """Return `[actor, counter, *payload, actor, …]`, sorted by dot."""
        to_wire = self._to_wire
        return [part for dot in sorted(group) for part in (*dot, *to_wire(group[dot]))]

    def group_from_wire(self, wire: object) -> dict[Dot, P]:
        """Parse the result of `group_to_wire`.

        Raises:
            InvalidRequest: it is not the canonical form.
        """
        size, from_wire = 2 + self._width, self._from_wire
        if type(wire) is not list or len(wire) % size:
            raise InvalidRequest(f"dotted values are a list of actor, counter and {self._width} parts")
        group: dict[Dot, P] = {}
        last: Dot | None = None
        for start in range(0, len(wire), size):
            actor, counter = wire[start], wire[start + 1]
            if type(actor) is not str or not is_counter(counter):
                raise InvalidRequest("a dot is an actor and a counter")
            dot = Dot(actor, counter)
            if last is not None and dot <= last:
                raise InvalidRequest("dots are sorted and distinct")
            group[dot] = from_wire(wire[start + 2 : start + size])
            last = dot
        return group


class DottedState(Generic[P]):
    """A type whose state is one group of dotted values; immutable."""

    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    payload: ClassVar[Payload[Any]]
    __slots__ = ("group",)

    def __init__(self, group: Dotted[P] | None = None) -> None:
        self.group: Dotted[P] = group or {}

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        return not self.group

    @property
    def is_empty(self) -> bool:
        """Whether a reader sees nothing."""
        return not self.group

    def dots(self) -> Iterable[Dot]:
        """Return the dots of the group."""
        return self.group.keys()

    def newest(self) -> HybridTimestamp:
        """Return 0: these types use no timestamps."""
        return 0

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Join the groups."""
        return type(self)(survivors(self.group, mine, other.group, theirs))

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return no dots: no operation carries on earlier effects."""
        return ()

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the state without these dots."""
        return type(self)({dot: value for dot, value in self.group.items() if dot not in dots})

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None: these types use no timestamps."""
        return None

    def to_wire(self) -> list[object]:
        """Return `[actor, counter, *payload, actor, …]`, sorted by dot."""
        return self.payload.group_to_wire(self.group)

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[actor, counter, *payload, actor, …]`."""
        return cls(cls.payload.group_from_wire(wire))


class DottedGroups(Parts[bytes, Dotted[P]]):
    """A type whose state is one group of dotted values per element (canonical CBOR); immutable."""

    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    payload: ClassVar[Payload[Any]]
    __slots__ = ()

    @property
    def groups(self) -> Mapping[bytes, Dotted[P]]:
        """The groups by element."""
        return self.parts

    def dots(self) -> Iterable[Dot]:
        """Return the dots of all groups."""
        return [dot for group in self.groups.values() for dot in group]

    def newest(self) -> HybridTimestamp:
        """Return 0: these types use no timestamps."""
        return 0

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Join group by group; an element with an empty group is dropped."""

        def join(_: bytes, one: Dotted[P] | None, another: Dotted[P] | None) -> Dotted[P] | None:
            return survivors(one or {}, mine, another or {}, theirs) or None

        return self._joined(mine, other, theirs, lambda group: group, join)

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return no dots: no operation carries on earlier effects."""
        return ()

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the state without these dots."""
        kept = {
            element: {dot: value for dot, value in group.items() if dot not in dots}
            for element, group in self.groups.items()
        }
        return type(self)({element: group for element, group in kept.items() if group})

    def _dots_of(self, elements: Iterable[bytes]) -> list[Dot]:
        return [dot for element in elements for dot in self.groups.get(element, ())]

    def _part_to_wire(self, key: bytes, part: Dotted[P]) -> tuple[object, ...]:
        """Return `element, [actor, counter, *payload, …]`."""
        return key, self.payload.group_to_wire(part)

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[element, [actor, counter, *payload, …], element, …]`."""
        groups: dict[bytes, Dotted[P]] = {}
        for element, group in elements_from_wire(wire):
            parsed = cls.payload.group_from_wire(group)
            if not parsed:
                raise InvalidRequest("an element has at least one dot")
            groups[element] = parsed
        return cls(groups)


def elements_from_wire(wire: object) -> list[tuple[bytes, object]]:
    """Parse `[element, its state, element, …]`, sorted by element.

    Raises:
        InvalidRequest: it is not the canonical form.
    """
    if type(wire) is not list or len(wire) % 2:
        raise InvalidRequest("elements are a list of pairs")
    pairs: list[tuple[bytes, object]] = []
    for start in range(0, len(wire), 2):
        element = wire[start]
        if type(element) is not bytes or (pairs and element <= pairs[-1][0]):
            raise InvalidRequest("elements are bytes, sorted and distinct")
        pairs.append((element, wire[start + 1]))
    return pairs


def elements_of(arguments: list[object], what: str) -> list[bytes]:
    """Return the distinct elements in the arguments of an operation, in order.

    Raises:
        InvalidRequest: there are none, too many, or one is not bytes.
    """
    if len(arguments) > MAX_ELEMENTS:
        raise InvalidRequest(f"{what} takes at most {MAX_ELEMENTS} elements at once")
    elements = [argument for argument in arguments if type(argument) is bytes]
    if not elements or len(elements) != len(arguments):
        raise InvalidRequest(f"{what} takes one or more elements, each as CBOR bytes")
    return list(dict.fromkeys(elements))


def dots_for(elements: list[bytes], event: Event) -> dict[bytes, Dot]:
    """Return a dot for each element of one operation, so that later operations can supersede each element alone."""
    return {element: Dot(event.dot.actor, event.dot.counter + n) for n, element in enumerate(elements)}
