"""`counter`: a resettable counter. Increments and decrements from anywhere add up; a delete removes what it saw.

Every actor has a slot: the signed running total of its own increments with the counter of its last one, and how
much of that total has been reset, with the counter up to which. Both halves only grow in their counter, so of two
copies of a half the one with the higher counter is newer: the merge is a maximum per half. One signed total per
actor does what a PN-counter does with two, because its counter orders it.

    value = sum over actors of (total - reset_total)

A reset does not zero the total. So an increment that was concurrent with it survives exactly: its total includes
what was reset, and the reset half says how much that was. This avoids the anomaly of counters embedded as
add-and-remove dots, where a concurrent increment brings back what was reset (riak_dt's `emcntr`).

A delta is the whole state: it is one small slot per node that ever counted on the key, and with the full context it
also mends what the receiver missed.

Source: Shapiro et al. (2011), section 3.1.3; Almeida and Baquero, "Scalable Eventually Consistent Counters" (2019).
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor

MAX_TOTAL = 2**63 - 1


class Slot(NamedTuple):
    """One actor's share: running total as of its dot `counter`; what of it is reset, as of dot `reset_counter`."""

    counter: int
    total: int
    reset_counter: int
    reset_total: int


_NO_SLOT = Slot(0, 0, 0, 0)


class Counter:
    """The slots by actor."""

    type_tag: ClassVar[str] = "counter"
    operations: ClassVar[frozenset[str]] = frozenset(("increment", "delete"))
    __slots__ = ("slots",)

    def __init__(self, slots: dict[Actor, Slot] | None = None) -> None:
        self.slots = slots or {}

    def __repr__(self) -> str:
        return f"counter({self.value})"

    @property
    def value(self) -> int:
        """The sum of all increments that are not reset."""
        return sum(slot.total - slot.reset_total for slot in self.slots.values())

    @property
    def is_empty(self) -> bool:
        """Whether every increment is reset (a counter that adds up to 0 is not empty)."""
        return all(slot.counter == slot.reset_counter for slot in self.slots.values())

    def dots(self) -> Iterable[Dot]:
        """Return the dot of each slot's last increment."""
        return [Dot(actor, slot.counter) for actor, slot in self.slots.items()]

    def newest(self) -> HybridTimestamp:
        """Return 0: a counter needs no time."""
        return 0

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Take the newer of each half of each slot."""
        merged = dict(self.slots)
        for actor, theirs_slot in other.slots.items():
            my_slot = merged.get(actor, _NO_SLOT)
            counter, total = max(my_slot[:2], theirs_slot[:2])
            reset_counter, reset_total = max(my_slot[2:], theirs_slot[2:])
            merged[actor] = Slot(counter, total, reset_counter, reset_total)
        return type(self)(merged)

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `increment amount` (negative to decrement) or `delete`."""
        if seen is not None:
            raise InvalidRequest("a counter's operations take no context")
        match operation, arguments:
            case "increment", [int() as amount] if type(amount) is int:
                slots = self._incremented(event, amount)
            case "delete", []:
                slots = {
                    actor: Slot(slot.counter, slot.total, slot.counter, slot.total)
                    for actor, slot in self.slots.items()
                }
            case _:
                raise InvalidRequest(f"a counter knows increment(int) and delete(), not {operation!r}")
        return Delta(Counter(slots), context.with_dot(event.dot))

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None: counting supersedes nothing."""
        return None

    def to_wire(self) -> list[object]:
        """Return `[actor, counter, total, reset_counter, reset_total, actor, …]`, sorted by actor."""
        return [part for actor, slot in sorted(self.slots.items()) for part in (actor, *slot)]

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[actor, counter, total, reset_counter, reset_total, actor, …]`."""
        if type(wire) is not list or len(wire) % 5:
            raise InvalidRequest("a counter is a list of actors, each with four numbers")
        slots: dict[Actor, Slot] = {}
        last = ""
        for start in range(0, len(wire), 5):
            actor, numbers = wire[start], wire[start + 1 : start + 5]
            if type(actor) is not str or actor <= last or not _is_slot(numbers):
                raise InvalidRequest("a slot is an actor, sorted, and four numbers in range")
            slots[actor] = Slot(*numbers)
            last = actor
        return cls(slots)

    def _incremented(self, event: Event, amount: int) -> dict[Actor, Slot]:
        slot = self.slots.get(event.dot.actor, _NO_SLOT)
        total = slot.total + amount
        if abs(total) > MAX_TOTAL:
            raise InvalidRequest(f"a counter holds at most ±{MAX_TOTAL} per node")
        return {**self.slots, event.dot.actor: slot._replace(counter=event.dot.counter, total=total)}


def _is_slot(numbers: list[object]) -> bool:
    return all(type(n) is int and abs(n) <= MAX_TOTAL for n in numbers) and numbers[0] > 0 and numbers[2] >= 0  # type: ignore[operator]
