"""`map`: fields of any type, including maps. A field is a type and a name, as a key is.

All fields share the context of their key. An operation on a field is an operation of the field's type; the path to it
is a list of fields, so its delta is a map of maps with one field each. Removing a field resets it: the values that the
remove has seen are dropped, concurrent writes stay. A field exists as long as it has a value.

A field's operation must not affect other fields. So its context is the dots of its own field.

Counters and boards keep their slots after a reset, and a delete of an `lww` field is a write as well: such a field
stays in the state, invisible, until the whole map is deleted and collected. These types take no context; deleting a map
with a context removes such a field if it is unchanged since it was read, and keeps it otherwise.

Source: Almeida, Shoker, Baquero (2018), section 7.4.4 (ORMap); Riak's map.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import CausalState, Delta, Event
from crdtkv.crdt.dotted import superseding
from crdtkv.crdt.parts import Parts
from crdtkv.errors import InvalidRequest
from crdtkv.ids import MAX_KEY_BYTES, Actor

MAX_DEPTH = 8


class Field(NamedTuple):
    """The type and the name of a field."""

    type_tag: str
    name: bytes


#: The types of fields; filled by the registry, which has all types.
FIELD_TYPES: dict[str, type[CausalState]] = {}


class Map(Parts[Field, CausalState]):
    """The states of the fields."""

    type_tag: ClassVar[str] = "map"
    operations: ClassVar[frozenset[str]] = frozenset(("update", "delete"))
    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = True
    part_width: ClassVar[int] = 3
    __slots__ = ()

    @property
    def fields(self) -> Mapping[Field, CausalState]:
        """The states by field."""
        return self.parts

    def __repr__(self) -> str:
        shown = ", ".join(f"{name.hex()}={state!r}" for (_, name), state in self.shown())
        return f"map({shown})"

    @property
    def is_empty(self) -> bool:
        """Whether a reader sees no fields."""
        return all(state.is_empty for state in self.fields.values())

    def shown(self) -> Iterator[tuple[Field, CausalState]]:
        """Iterate over the visible fields, sorted."""
        return ((field, self.fields[field]) for field in sorted(self.fields) if not self.fields[field].is_empty)

    def dots(self) -> Iterable[Dot]:
        """Return the dots of all fields."""
        return [dot for state in self.fields.values() for dot in state.dots()]

    def newest(self) -> HybridTimestamp:
        """Return the highest timestamp of any field."""
        return self._newest(_newest_of)

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return the answer of the field's type; true for a put into a field, because it replaces the current value."""
        if operation != "update" or len(arguments) < 2:
            return True
        inner, *rest = arguments[1:]
        return inner == "put" or _type_at_end(arguments[0]).needs_quorum_read(str(inner), rest)

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Join field by field; a blank field is dropped."""

        def join(field: Field, one: CausalState | None, another: CausalState | None) -> CausalState | None:
            blank = FIELD_TYPES[field.type_tag]()
            state = (blank if one is None else one).merge(mine, blank if another is None else another, theirs)
            return None if state.is_blank else state

        return self._joined(mine, other, theirs, _dots_of, join)

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return the dots that the field's operation carries on."""
        if operation != "update" or len(arguments) < 2 or type(arguments[0]) is not list:
            return ()
        state: CausalState = self
        for field in path_of(arguments[0]):
            assert isinstance(state, Map)
            state = state._at(field)
        return state.carried_dots(str(arguments[1]), arguments[2:], actor)

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `update path operation argument…` or `delete`; a path is `[type, name, …]`, field by field."""
        match operation, arguments:
            case "update", [list() as path, str() as inner, *rest]:
                return self._update(path_of(path), inner, rest, event, seen)
            case "delete", []:
                return self._deleted(context, event, seen)
        raise InvalidRequest(f"a map knows update(path, operation, …) and delete(), not {operation!r}")

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the map without the values of these dots."""
        fields = {field: state.without(dots) for field, state in self.fields.items()}
        return type(self)({field: state for field, state in fields.items() if not state.is_blank})

    def _part_to_wire(self, key: Field, part: CausalState) -> tuple[object, ...]:
        """Return `type, name, state`."""
        return *key, part.to_wire()

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[type, name, state, type, …]`."""
        return cls._nested_from_wire(wire, 1)

    @classmethod
    def _nested_from_wire(cls, wire: object, depth: int) -> Self:
        if type(wire) is not list or len(wire) % 3:
            raise InvalidRequest("a map is a list of type, name and state")
        fields: dict[Field, CausalState] = {}
        last: Field | None = None
        for start in range(0, len(wire), 3):
            field = _field(wire[start], wire[start + 1])
            if last is not None and field <= last:
                raise InvalidRequest("fields are sorted and distinct")
            state_type = FIELD_TYPES[field.type_tag]
            if state_type is Map:
                if depth == MAX_DEPTH:
                    raise InvalidRequest(f"maps are nested at most {MAX_DEPTH} deep")
                state: CausalState = Map._nested_from_wire(wire[start + 2], depth + 1)
            else:
                state = state_type.from_wire(wire[start + 2])
            if state.is_blank:
                raise InvalidRequest("a blank field is left out")
            fields[field] = state
            last = field
        return cls(fields)

    def _at(self, field: Field) -> CausalState:
        state = self.fields.get(field)
        return FIELD_TYPES[field.type_tag]() if state is None else state

    def _deleted(self, context: CausalContext, event: Event, seen: CausalContext | None) -> Delta:
        """Remove all fields, or the values that were read.

        A field whose type takes no context is removed only if it is unchanged since it was read.
        """
        fields: dict[Field, CausalState] = {}
        removed: list[Dot] = []
        for field, state in self.fields.items():
            if seen is None or state.takes_context:
                delta = state.apply(context, "delete", [], event, seen)
            elif all(dot in seen for dot in state.dots()):
                delta = state.apply(context, "delete", [], event, None)
            else:
                continue
            removed += [dot for dot in state.dots() if dot in delta.context]
            if not delta.state.is_blank:
                fields[field] = delta.state
        return Delta(Map(fields), superseding(removed, seen, [event.dot]))

    def _update(
        self, path: list[Field], operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        field, rest = path[0], path[1:]
        state = self._at(field)
        if rest:
            assert isinstance(state, Map)
            delta = state._update(rest, operation, arguments, event, seen)
        else:
            if isinstance(state, Map) and operation == "update":
                raise InvalidRequest("an update names the whole path to its field")
            held = list(state.dots())
            own = CausalContext(cloud=held)
            read = None if seen is None else CausalContext(cloud=[dot for dot in held if dot in seen])
            delta = state.apply(own, operation, arguments, event, read)
        return Delta(Map({} if delta.state.is_blank else {field: delta.state}), delta.context)


def _newest_of(state: CausalState) -> HybridTimestamp:
    return state.newest()


def _dots_of(state: CausalState) -> Iterable[Dot]:
    return state.dots()


def path_of(wire: list[object]) -> list[Field]:
    """Parse the path to a field: `[type, name, type, name, …]`, all but the last of them maps.

    Raises:
        InvalidRequest: it is malformed, or too deep.
    """
    if not wire or len(wire) % 2:
        raise InvalidRequest("a path is one or more fields, each as type and name")
    path = [_field(wire[start], wire[start + 1]) for start in range(0, len(wire), 2)]
    if any(field.type_tag != Map.type_tag for field in path[:-1]):
        raise InvalidRequest("only maps have fields")
    if len(path) + (path[-1].type_tag == Map.type_tag) > MAX_DEPTH:
        raise InvalidRequest(f"maps are nested at most {MAX_DEPTH} deep")
    return path


def _field(type_tag: object, name: object) -> Field:
    if type(type_tag) is not str or type_tag not in FIELD_TYPES:
        raise InvalidRequest(f"a field has one of the types {', '.join(FIELD_TYPES)}, not {type_tag!r:.40}")
    if type(name) is not bytes or not 1 <= len(name) <= MAX_KEY_BYTES:
        raise InvalidRequest(f"a field's name has 1 to {MAX_KEY_BYTES} bytes")
    return Field(type_tag, name)


def _type_at_end(path: object) -> type[CausalState]:
    if type(path) is not list:
        raise InvalidRequest("a path is a list of fields")
    return FIELD_TYPES[path_of(path)[-1].type_tag]
