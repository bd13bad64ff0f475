"""`board`: a sorted set. Members have scores that are set or incremented; a reader sees them by rank or by score.

A member's score is the last score that was set, plus all increments that no later set or remove has seen. So increments
from all nodes add up; of concurrent sets the one with the highest timestamp counts; an increment that is concurrent
with a set is added to it; and a member that is removed at one node and scored concurrently at another stays, with
exactly the concurrent scores. Scores that were set are stored under dots, increments in `slots`, which stay, invisible,
when a member is removed.

Members of equal score are ordered by their encoding. A delta holds the one member of the call.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event, is_counter
from crdtkv.crdt.dotted import Payload, elements_from_wire, superseding, survivors
from crdtkv.crdt.number import Number, checked_number
from crdtkv.crdt.parts import Parts
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


class SetScore(NamedTuple):
    """A score that was set. The highest (timestamp, dot) wins."""

    timestamp: HybridTimestamp
    score: Number


class Score(NamedTuple):
    """One member: the sets that nothing has superseded, and the increments."""

    sets: Mapping[Dot, SetScore]
    slots: Slots

    @property
    def is_shown(self) -> bool:
        """Whether a reader sees the member."""
        return bool(self.sets) or not is_reset(self.slots)

    @property
    def value(self) -> Number:
        """The score."""
        base: Number = 0
        if self.sets:
            base = max((one.timestamp, dot, one.score) for dot, one in self.sets.items())[2]
        return base + total_of(self.slots)

    def dots(self) -> list[Dot]:
        """Return all dots of the member."""
        return [*self.sets, *slot_dots(self.slots)]

    def less(self, dots: frozenset[Dot]) -> "Score":
        """Return the member without the writes of these dots."""
        sets = {dot: one for dot, one in self.sets.items() if dot not in dots}
        return Score(sets, reset(self.slots, dots))


_NO_SCORE = Score({}, {})


class Board(Parts[bytes, Score]):
    """The members by their encoding."""

    type_tag: ClassVar[str] = "board"
    operations: ClassVar[frozenset[str]] = frozenset(("set", "increment", "remove", "delete"))
    has_partial_deltas: ClassVar[bool] = True
    takes_context: ClassVar[bool] = False
    __slots__ = ()

    @property
    def scores(self) -> Mapping[bytes, Score]:
        """The scores by member."""
        return self.parts

    def __repr__(self) -> str:
        return f"board({', '.join(f'{member.hex()}={score}' for member, score in self.ranking())})"

    @property
    def is_empty(self) -> bool:
        """Whether there are no visible members."""
        return not any(score.is_shown for score in self.scores.values())

    def ranking(self) -> list[tuple[bytes, Number]]:
        """Return members and scores, the highest score first; of equals the smaller encoding."""
        shown = [(member, score.value) for member, score in self.scores.items() if score.is_shown]
        return sorted(shown, key=lambda pair: (-pair[1], pair[0]))

    def dots(self) -> Iterable[Dot]:
        """Return the dots of all members."""
        return [dot for score in self.scores.values() for dot in score.dots()]

    def newest(self) -> HybridTimestamp:
        """Return the highest timestamp of a set."""
        return self._newest(_newest_set)

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return true for all operations but an increment."""
        return operation != "increment"

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Join member by member."""

        def join(_: bytes, mine_here: Score | None, theirs_here: Score | None) -> Score | None:
            one, another = mine_here or _NO_SCORE, theirs_here or _NO_SCORE
            score = Score(survivors(one.sets, mine, another.sets, theirs), merged(one.slots, another.slots))
            return None if score == _NO_SCORE else score

        return self._joined(mine, other, theirs, Score.dots, join)

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return the dot of the actor's earlier increments of the member, which the new increment carries on."""
        member = arguments[0] if arguments else None
        if operation != "increment" or type(member) is not bytes:
            return ()
        return shown_dots(self.scores.get(member, _NO_SCORE).slots, actor)

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `set member score`, `increment member amount`, `remove member` or `delete`."""
        if seen is not None:
            raise InvalidRequest("a board's operations take no context")
        match operation, arguments:
            case "set", [bytes() as member, score]:
                before = self.scores.get(member, _NO_SCORE)
                sets = {event.dot: SetScore(event.timestamp, checked_number(score))}
                return self._delta(member, before, Score(sets, reset(before.slots)), event)
            case "increment", [bytes() as member, amount]:
                before = self.scores.get(member, _NO_SCORE)
                slots = incremented(before.slots, event.dot, checked_number(amount))
                return self._delta(member, Score({}, before.slots), Score({}, slots), event)
            case "remove", [bytes() as member]:
                before = self.scores.get(member, _NO_SCORE)
                return self._delta(member, before, Score({}, reset(before.slots)), event)
            case "delete", []:
                scores = {member: Score({}, reset(score.slots)) for member, score in self.scores.items() if score.slots}
                return Delta(Board(scores), context.with_dot(event.dot))
        raise InvalidRequest(
            "a board knows set(member, score), increment(member, amount), remove(member) and delete(), "
            f"not {operation!r} with {len(arguments)} arguments"
        )

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the board without the writes of these dots."""
        scores = {member: score.less(dots) for member, score in self.scores.items()}
        return type(self)({member: score for member, score in scores.items() if score != _NO_SCORE})

    def _part_to_wire(self, key: bytes, part: Score) -> tuple[object, ...]:
        """Return `member, [sets, slots]`."""
        return key, [_SETS.group_to_wire(part.sets), slots_to_wire(part.slots)]

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[member, [sets, slots], member, …]`."""
        scores: dict[bytes, Score] = {}
        for member, parts in elements_from_wire(wire):
            if type(parts) is not list or len(parts) != 2:
                raise InvalidRequest("a member has [sets, slots]")
            score = Score(_SETS.group_from_wire(parts[0]), slots_from_wire(parts[1], (int, float)))
            if score == _NO_SCORE:
                raise InvalidRequest("a member has sets or slots")
            scores[member] = score
        return cls(scores)

    @staticmethod
    def _delta(member: bytes, before: Score, after: Score, event: Event) -> Delta:
        held = [*before.sets, *slot_dots(before.slots)]
        scores = {} if after == _NO_SCORE else {member: after}
        return Delta(Board(scores), superseding(held, None, [event.dot]))


def _newest_set(score: Score) -> HybridTimestamp:
    return max((one.timestamp for one in score.sets.values()), default=0)


def _set_from_wire(parts: list[object]) -> SetScore:
    timestamp, score = parts
    if type(timestamp) is not int or not is_counter(timestamp):
        raise InvalidRequest("a score was set at a timestamp")
    return SetScore(timestamp, checked_number(score))


_SETS: Final = Payload[SetScore](2, list, _set_from_wire)
