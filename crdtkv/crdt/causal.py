"""`CausalState`: the protocol of every value type; each is a causal CRDT.

A value is a pair of state and causal context. The context is the set of operations seen; the state is the remaining
effect of these operations. Every merge follows one rule: *if one side has seen a dot and does not hold it any more, it
was removed; if one side has not seen a dot, it is new to that side*. So removal needs no tombstones inside the state.

Mutators never change a state in place. They receive the event (its dot and timestamp) and the context they act on, and
return a delta of the same type: merging the delta into the state is the effect of the operation, on the coordinator and
on every other replica alike.

Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 7.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Protocol, Self

from crdtkv.causality.context import MAX_COUNTER, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.ids import Actor


class Event(NamedTuple):
    """The dot and the timestamp of one operation; its coordinator assigns both.

    An operation on several elements takes the counters after that of its dot as well, one for each.
    """

    dot: Dot
    timestamp: HybridTimestamp


class Delta(NamedTuple):
    """The change of an operation: a state of the type, and the operations that this state represents.

    The deltas of some types are complete states. Those of the others leave out the parts that the operation does not
    change, so they may only be merged into a state that has seen everything that the operation's coordinator had seen.
    Otherwise a value that one operation superseded could survive a later operation that superseded the former.
    """

    state: "CausalState"
    context: CausalContext


class CausalState(Protocol):
    """The state of one value type; immutable."""

    type_tag: ClassVar[str]
    operations: ClassVar[frozenset[str]]
    #: Whether a delta leaves out unchanged parts (`Delta`).
    has_partial_deltas: ClassVar[bool]
    #: Whether a delete takes the context that its client had read.
    takes_context: ClassVar[bool]

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether a reader sees nothing: never written, or deleted."""
        ...

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return whether an operation supersedes what its coordinator has seen, and so should read a quorum first."""
        ...

    def dots(self) -> Iterable[Dot]:
        """Return the dots in the state; all of them are in its context."""
        ...

    def newest(self) -> HybridTimestamp:
        """Return the highest timestamp the state holds, 0 if none."""
        ...

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Join two states; `mine` and `theirs` are the contexts that belong to them."""
        ...

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return the dots whose effects an operation of this actor contains; they then last as long as its own dot."""
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
        """Return the state without the values of these dots, because they have expired."""
        ...

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return the state without versions that a blind write at `timestamp` supersedes; None if there are none."""
        ...

    def to_wire(self) -> list[object]:
        """Return the canonical nested list of this state: equal states give equal lists."""
        ...

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse the result of `to_wire`, with all checks.

        Raises:
            InvalidRequest: it is not the canonical form of a state.
        """
        ...


def is_counter(number: object) -> bool:
    """Return whether a wire item may be a dot's counter or a timestamp (`True` is not an integer here)."""
    return type(number) is int and 0 < number <= MAX_COUNTER
