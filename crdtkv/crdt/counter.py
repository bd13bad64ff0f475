"""`counter`: a resettable counter. Increments and decrements of all nodes add up; a delete resets those it has seen.

The state is one slot per actor (`slots` describes the method). A delta is the whole state: it is one small slot per
node that ever changed the key, and with the full context it also repairs a receiver that has missed earlier writes.
"""

from collections.abc import Iterable
from typing import ClassVar, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event
from crdtkv.crdt.slots import (
    Slots,
    incremented,
    is_reset,
    merged,
    reset,
    shown_dots,
    slot_dots,
    slots_from_wire,
    slots_to_wire,
    total_of,
)
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor


class Counter:
    """The slots by actor."""

    type_tag: ClassVar[str] = "counter"
    operations: ClassVar[frozenset[str]] = frozenset(("increment", "delete"))
    has_partial_deltas: ClassVar[bool] = False
    takes_context: ClassVar[bool] = False
    __slots__ = ("slots",)

    def __init__(self, slots: Slots | None = None) -> None:
        self.slots: Slots = slots or {}

    def __repr__(self) -> str:
        return f"counter({self.value})"

    @property
    def value(self) -> int:
        """The sum of all increments that are not reset."""
        return int(total_of(self.slots))

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        return not self.slots

    @property
    def is_empty(self) -> bool:
        """Whether every increment is reset (a counter that adds up to 0 is not empty)."""
        return is_reset(self.slots)

    def dots(self) -> Iterable[Dot]:
        """Return the dot of each slot's last increment."""
        return slot_dots(self.slots)

    def newest(self) -> HybridTimestamp:
        """Return 0: the type uses no timestamps."""
        return 0

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true for a delete only."""
        return operation == "delete"

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Take the newer of each half of each slot."""
        return type(self)(merged(self.slots, other.slots))

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return the dot of the actor's slot for an increment, whose total includes the earlier ones."""
        return shown_dots(self.slots, actor) if operation == "increment" else ()

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `increment amount` (negative to decrement) or `delete`."""
        if seen is not None:
            raise InvalidRequest("a counter's operations take no context")
        match operation, arguments:
            case "increment", [amount] if type(amount) is int:
                slots = incremented(self.slots, event.dot, amount)
            case "delete", []:
                slots = reset(self.slots)
            case _:
                raise InvalidRequest(f"a counter knows increment(int) and delete(), not {operation!r}")
        return Delta(Counter(slots), context.with_dot(event.dot))

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the counter without the slots whose last increment has one of these dots."""
        return type(self)(reset(self.slots, dots))

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None: an increment supersedes nothing."""
        return None

    def to_wire(self) -> list[object]:
        """Return `[actor, counter, total, reset_counter, reset_total, actor, …]`, sorted by actor."""
        return slots_to_wire(self.slots)

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[actor, counter, total, reset_counter, reset_total, actor, …]`."""
        return cls(slots_from_wire(wire, (int,)))
