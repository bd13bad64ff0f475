"""Reachable states: what three replicas come to hold when clients, links and crashes do what they like.

A history is made by the same calls a node makes: a coordinator mints a dot above what it holds, stamps it with its
hybrid clock, applies and merges the delta; others merge deltas or whole entries, late, repeated and in any order; a
replica that takes a blind write supersedes older versions by an operation of its own; one that lost its disk goes on
as a new incarnation.
"""

from typing import NamedTuple

from hypothesis import strategies as st
from specifications import TRIED, Call, Tried

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridClock, HybridTimestamp, from_wall_ms
from crdtkv.checking.specification.operation import SUPERSEDE, Operation
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
from crdtkv.errors import InsufficientRights
from crdtkv.ids import actor_name

REPLICAS = 3
SKEW_MS = (0, 3, -3)


class Replica:
    """One replica of the key. Its wall clock is off by `skew_ms`."""

    def __init__(self, number: int, type_tag: str) -> None:
        self.number = number
        self.incarnation = 1
        self.clock = HybridClock()
        self.skew_ms = SKEW_MS[number]
        self.entry = Entry.empty(type_tag)

    @property
    def actor(self) -> str:
        return actor_name(f"n{self.number}", self.incarnation)

    def next_dot(self) -> Dot:
        return Dot(self.actor, self.entry.context.highest(self.actor) + 1)


class Sent(NamedTuple):
    """What a coordinator sends: the delta of an operation, or the whole to who has not seen the delta's `basis`."""

    delta: Entry
    basis: CausalContext
    whole: Entry

    @property
    def alone(self) -> Entry:
        """What may be merged anywhere."""
        return self.whole if self.delta.state.has_partial_deltas else self.delta

    def for_one_at(self, context: CausalContext) -> Entry:
        """Return what is sent to a replica of this context."""
        return self.delta if context.descends(self.basis) else self.alone


class History:
    """Three replicas, every operation that happened, and every entry that was ever stored or sent."""

    def __init__(self, type_tag: str) -> None:
        self.type_tag = type_tag
        self.now_ms = 1_000
        self.replicas = [Replica(number, type_tag) for number in range(REPLICAS)]
        self.operations: dict[tuple[str, int], Operation] = {}
        self.deltas: list[Sent] = []
        self.entries: list[Entry] = [Entry.empty(type_tag)]
        self.read_entries: list[Entry] = []
        self.expiries: dict[Dot, HybridTimestamp] = {}
        self._told: list[str] = []

    def __repr__(self) -> str:
        return f"{self.type_tag}: " + "; ".join(self._told)

    def operate(
        self, at: int, call: Call, read: Entry | None, to: int | None = None, ttl_ms: int | None = None
    ) -> None:
        """Let a client's operation happen at a replica, and be sent to another one as a blind write is.

        With `read`, what the client had read, it acts on just that.
        """
        replica = self.replicas[at]
        name, arguments = call
        if replica.actor in arguments:
            return  # nobody gives rights to itself
        seen = read.context if read is not None else None
        if read is not None and read.state.has_partial_deltas:
            self._receive(replica, read)  # a coordinator reads until it has seen what its client had
        dot, before = replica.next_dot(), replica.entry.context
        timestamp = replica.clock.tick(self.now_ms + replica.skew_ms, above=replica.entry.state.newest())
        expires_at = timestamp + from_wall_ms(ttl_ms) if ttl_ms is not None else None
        try:
            delta = replica.entry.delta(name, list(arguments), Event(dot, timestamp), seen, expires_at)
        except InsufficientRights:
            self._told.append(f"n{at} has no rights for {name}{arguments}")
            return
        held = _dots(before)
        acted_on = held if seen is None else _dots(seen)
        self._happened(delta, Operation(dot, timestamp, name, arguments, acted_on, held, expires_at))
        self._sent(replica, delta, before)
        self.expiries.update(delta.expiries)
        self._told[-1] += "" if seen is None else f" having read {seen}"
        self._told[-1] += "" if ttl_ms is None else f" for {ttl_ms} ms"
        self._receive(replica, delta)
        if to is not None and to != at:
            self._take_blind_write(self.replicas[to], timestamp if seen is None else 0)

    def merge(self, at: int, other: int) -> None:
        """Let a replica merge all that another one holds."""
        self._told.append(f"n{at} merges n{other}")
        self._receive(self.replicas[at], self.replicas[other].entry)

    def deliver(self, at: int, choice: int) -> None:
        """Let a delta arrive, perhaps late or again."""
        if self.deltas:
            self._told.append(f"n{at} gets delta {choice % len(self.deltas)}")
            self._arrive(self.replicas[at], self.deltas[choice % len(self.deltas)])

    def read(self, at: int) -> None:
        """Let a client read, and keep the context for later."""
        self.read_entries.append(self.replicas[at].entry)

    def forget(self, at: int) -> None:
        """Let a replica lose its disk."""
        replica = self.replicas[at]
        self._told.append(f"n{at} forgets everything")
        replica.incarnation += 1
        replica.entry = Entry.empty(self.type_tag)

    def operations_in(self, context: CausalContext) -> list[Operation]:
        """Return the operations of a context; every one of its dots must be one, or a part of one."""
        return [self.operations[dot] for dot in context.dots()]

    def _take_blind_write(self, replica: Replica, supersede_before: int) -> None:
        self._told.append(f"n{replica.number} takes it")
        self._arrive(replica, self.deltas[-1])
        dot, before = replica.next_dot(), replica.entry.context
        trimmed = replica.entry.without_older(supersede_before, Event(dot, supersede_before))
        if trimmed is not None:
            self._happened(trimmed, Operation(dot, supersede_before, SUPERSEDE, (), _dots(before), _dots(before)))
            self._sent(replica, trimmed, before)
            self._receive(replica, trimmed)

    def _sent(self, replica: Replica, delta: Entry, before: CausalContext) -> None:
        self.deltas.append(Sent(delta, before, replica.entry.merge(delta)))
        self.entries.append(self.deltas[-1].alone)

    def _arrive(self, replica: Replica, sent: "Sent") -> None:
        self._receive(replica, sent.for_one_at(replica.entry.context))

    def _happened(self, delta: Entry, operation: Operation) -> None:
        assert operation.dot not in self.operations
        new = sorted(
            dot
            for dot in delta.context.dots()
            if dot.actor == operation.dot.actor and dot.counter >= operation.dot.counter
        )
        assert new[0] == operation.dot
        if len(new) == 1:
            self.operations[operation.dot] = operation
        else:
            self._happened_in_parts(new, operation)
        arguments = ", ".join(map(repr, operation.arguments))
        self._told.append(f"{operation.name}({arguments}) as {operation.dot} at {operation.timestamp}")

    def _happened_in_parts(self, dots: list[Dot], operation: Operation) -> None:
        fixed, elements = operation.arguments[: -len(dots)], operation.arguments[-len(dots) :]
        for dot, element in zip(dots, elements, strict=True):
            self.operations[dot] = operation._replace(dot=dot, arguments=(*fixed, element))

    def _receive(self, replica: Replica, entry: Entry) -> None:
        arrived = Entry.from_peer(entry.to_bytes(), self.type_tag)
        replica.clock.observe(arrived.state.newest(), self.now_ms + replica.skew_ms)
        replica.entry = Entry.from_bytes(replica.entry.merge(arrived).to_bytes())
        self.entries.append(replica.entry)
        self.now_ms += 1


def _dots(context: CausalContext) -> frozenset[Dot]:
    return frozenset(context.dots())


# A history is drawn as bytes, four for a step, because that is fast to draw and shrinks well.
# A step of zeros does next to nothing.
_STEP_BYTES = 4
_MIN_STEPS, _MAX_STEPS = 12, 20


def _lived(type_tag: str, program: bytes, is_timed: bool, everything_expires: bool) -> History:
    history = History(type_tag)
    for start in range(0, len(program) - _STEP_BYTES + 1, _STEP_BYTES):
        act, at, other, choice = program[start : start + _STEP_BYTES]
        expires = everything_expires or (is_timed and choice % 3 > 0)
        _live(history, choice % 16 if expires else None, act, at, other, choice)
    return history


def _live(history: History, ttl_ms: int | None, act: int, at: int, other: int, choice: int) -> None:
    at, other = at % REPLICAS, other % REPLICAS
    match act % 10:
        case 0:
            history.read(at)
        case 1 | 2 | 3 | 4:
            tried = TRIED[history.type_tag]
            call = tried.calls[choice % len(tried.calls)]
            is_blind = act % 20 < 10 or not history.read_entries or not _takes_context(tried, call)
            read = None if is_blind else history.read_entries[choice % len(history.read_entries)]
            history.operate(at, call, read, other if act % 3 else None, ttl_ms)
        case 5 | 6:
            history.merge(at, other)
        case 7 | 8:
            history.deliver(at, choice)
        case _ if choice % 2:
            history.forget(at)


def _takes_context(tried: Tried, call: Call) -> bool:
    name, arguments = call
    if name == "update":
        path, inner, *rest = arguments
        return _takes_context(TRIED[path[-2]], (inner, tuple(rest)))
    return name in tried.takes_context


def histories(type_tag: str, is_timed: bool = False, everything_expires: bool = False) -> st.SearchStrategy[History]:
    """Return histories of a key of this type; some of what is written expires if it `is_timed`."""
    programs = st.binary(min_size=_STEP_BYTES * _MIN_STEPS, max_size=_STEP_BYTES * _MAX_STEPS)
    return programs.map(lambda program: _lived(type_tag, program, is_timed, everything_expires))


@st.composite
def reachable(draw: st.DrawFn, type_tag: str, count: int, is_timed: bool | None = None) -> list[Entry]:
    """Return `count` entries of one history: stored ones at any moment, deltas, or the empty one."""
    history = draw(histories(type_tag, draw(st.booleans()) if is_timed is None else is_timed))
    choices = draw(st.binary(min_size=count, max_size=count))
    return [history.entries[-1 - choice % len(history.entries)] for choice in choices]
