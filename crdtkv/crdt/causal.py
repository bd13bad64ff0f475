"""What every value type is: a causal CRDT.

A value is a pair of state and causal context. The context is the set of operations seen; the state is what these
operations leave behind. From that follows the one rule of every merge: *what one side has seen and no longer holds
was removed; what it has not seen is new to it*. So removal needs no tombstones inside the state.

Mutators never change a state in place. They are given the event (its dot and timestamp) and the context they act
on, and return a delta of the same type: merging the delta into the state is the effect of the operation, on the
coordinator and on every other replica alike.

Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 7.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Protocol, Self

from crdtkv.causality.context import MAX_COUNTER, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.ids import Actor


class Event(NamedTuple):
    """The moment of one operation: its unique dot, and when its coordinator says it happened.

    An operation on several elements takes the counters behind that of its dot as well, one for each.
    """

    dot: Dot
    timestamp: HybridTimestamp


class Delta(NamedTuple):
    """What an operation changes: a state of the type, and the operations that this state stands for.

    Some types' deltas are states like any other. Those of the others leave out what the operation does not touch, so
    they may only be merged into a state that has seen all that the operation's coordinator had seen. Otherwise what
    an earlier operation superseded could outlive a later one that superseded the earlier.
    """

    state: "CausalState"
    context: CausalContext


class CausalState(Protocol):
    """The state of one value type; immutable."""

    type_tag: ClassVar[str]
    operations: ClassVar[frozenset[str]]
    #: Whether a delta is only a part of what its context stands for: see `Delta`.
    has_partial_deltas: ClassVar[bool]
    #: Whether a delete can be told what its client had read.
    takes_context: ClassVar[bool]

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is kept, not even of what was removed."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether a reader sees nothing: never written, or deleted."""
        ...

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Tell whether an operation replaces or removes what its coordinator has seen, so that it should see much."""
        ...

    def dots(self) -> Iterable[Dot]:
        """Return the dots the state names; all of them are in its context."""
        ...

    def newest(self) -> HybridTimestamp:
        """Return the highest timestamp the state holds, 0 if none."""
        ...

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Join two states; `mine` and `theirs` are the contexts that belong to them."""
        ...

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return the dots whose effects an operation of this actor carries on under its own: they live on with it."""
        ...

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out one operation; `seen` is what the client had read, None for a blind operation.

        Raises:
            InvalidRequest: an unknown operation or a wrong argument.
        """
        ...

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the state without what these operations wrote and nothing has superseded: it has expired."""
        ...

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return the state less what a blind write of this timestamp supersedes; None if there is nothing."""
        ...

    def to_wire(self) -> list[object]:
        """Return the canonical nested list of this state: equal states give equal lists."""
        ...

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse what `to_wire` made, trusting nothing.

        Raises:
            InvalidRequest: it is not the canonical form of a state.
        """
        ...


def is_counter(number: object) -> bool:
    """Tell whether a wire item may be a dot's counter or a timestamp (`True` is no number here)."""
    return type(number) is int and 0 < number <= MAX_COUNTER
