"""The state of counters: a slot for every actor, with its running total, and how much of that was reset.

Both halves of a slot only grow in their dot's counter, so of two copies of a half the one with the higher counter is
newer: the merge is a maximum per half. One signed total per actor replaces the two of a PN-counter, because its counter
orders it.

    value = sum over actors of (total - reset_total)

A reset does not set the total to 0. So an increment that was concurrent with it survives exactly: its total includes
the reset amount, and the reset half contains that amount. This avoids the anomaly of counters embedded as
add-and-remove dots, where a concurrent increment brings back what was reset (riak_dt's `emcntr`). The cost is a slot
per node that ever counted, kept also after a reset.

Source: Shapiro et al. (2011), section 3.1.3; Almeida and Baquero, "Scalable Eventually Consistent Counters" (2019).
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from crdtkv.causality.context import MAX_COUNTER
from crdtkv.causality.dot import Dot
from crdtkv.crdt.causal import is_counter
from crdtkv.crdt.number import MAX_WHOLE, Number
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor


class Slot(NamedTuple):
    """One actor's share: running total as of its dot `counter`, and reset amount as of dot `reset_counter`."""

    counter: int
    total: Number
    reset_counter: int
    reset_total: Number


Slots = Mapping[Actor, Slot]
_NO_SLOT = Slot(0, 0, 0, 0)


def total_of(slots: Slots) -> Number:
    """Return the sum of all increments that are not reset; equal on all replicas, also for floating-point numbers."""
    shares = [slot.total - slot.reset_total for slot in slots.values() if slot.counter != slot.reset_counter]
    return sum(shares) if all(type(share) is int for share in shares) else math.fsum(shares)


def is_reset(slots: Slots) -> bool:
    """Return whether all increments are reset (a sum of 0 does not mean that)."""
    return all(slot.counter == slot.reset_counter for slot in slots.values())


def slot_dots(slots: Slots) -> list[Dot]:
    """Return the dot of each slot's last increment."""
    return [Dot(actor, slot.counter) for actor, slot in slots.items()]


def merged(mine: Slots, theirs: Slots) -> dict[Actor, Slot]:
    """Take the newer of each half of each slot."""
    result = dict(mine)
    for actor, their_slot in theirs.items():
        my_slot = result.get(actor, _NO_SLOT)
        counter, total = max(my_slot[:2], their_slot[:2])
        reset_counter, reset_total = max(my_slot[2:], their_slot[2:])
        result[actor] = Slot(counter, total, reset_counter, reset_total)
    return result


def incremented(slots: Slots, dot: Dot, amount: Number) -> dict[Actor, Slot]:
    """Add to the slot of the dot's actor.

    Raises:
        InvalidRequest: its total would be out of range.
    """
    slot = slots.get(dot.actor, _NO_SLOT)
    total = slot.total + amount
    if not -MAX_WHOLE <= total <= MAX_WHOLE:
        raise InvalidRequest(f"a counter holds at most ±{MAX_WHOLE} per node")
    return {**slots, dot.actor: slot._replace(counter=dot.counter, total=total)}


def reset(slots: Slots, dots: frozenset[Dot] | None = None) -> dict[Actor, Slot]:
    """Reset all slots, or those whose last increment has one of these dots."""
    return {
        actor: Slot(slot.counter, slot.total, slot.counter, slot.total)
        if dots is None or (actor, slot.counter) in dots
        else slot
        for actor, slot in slots.items()
    }


def slots_to_wire(slots: Slots) -> list[object]:
    """Return `[actor, counter, total, reset_counter, reset_total, actor, …]`, sorted by actor."""
    return [part for actor, slot in sorted(slots.items()) for part in [actor, *slot]]


def slots_from_wire(wire: object, of: tuple[type, ...]) -> dict[Actor, Slot]:
    """Parse the result of `slots_to_wire`, with totals of these types.

    Raises:
        InvalidRequest: it is not the canonical form.
    """
    if type(wire) is not list or len(wire) % 5:
        raise InvalidRequest("a counter is a list of actors, each with four numbers")
    slots: dict[Actor, Slot] = {}
    last = ""
    for start in range(0, len(wire), 5):
        actor, numbers = wire[start], wire[start + 1 : start + 5]
        if type(actor) is not str or actor <= last or not _is_slot(numbers, of):
            raise InvalidRequest("a slot is an actor, sorted, and four numbers in range")
        slots[actor] = Slot(*numbers)
        last = actor
    return slots


def shown_dots(slots: Slots, actor: Actor) -> Iterable[Dot]:
    """Return the dot of an actor's slot, nothing if the slot is reset."""
    slot = slots.get(actor, _NO_SLOT)
    return () if slot.counter == slot.reset_counter else (Dot(actor, slot.counter),)


def _is_slot(numbers: list[object], of: tuple[type, ...]) -> bool:
    counter, total, reset_counter, reset_total = numbers
    return (
        is_counter(counter)
        and type(reset_counter) is int
        and 0 <= reset_counter <= MAX_COUNTER
        and all(type(number) in of and abs(number) <= MAX_WHOLE for number in (total, reset_total))  # type: ignore[arg-type]
    )
