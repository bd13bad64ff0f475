"""Reachable states: what three replicas come to hold when clients, links and crashes do what they like.

A history is made by the same calls a node makes: a coordinator mints a dot above what it holds, stamps it with its
hybrid clock, applies and merges the delta; others merge deltas or whole entries, late, repeated and in any order; a
replica that takes a blind write supersedes older versions by an operation of its own; one that lost its disk goes on
as a new incarnation.
"""

from hypothesis import strategies as st
from specifications import SPECIFICATIONS, SUPERSEDE, Call, Operation

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridClock
from crdtkv.crdt.causal import Event
from crdtkv.crdt.entry import Entry
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


class History:
    """Three replicas, every operation that happened, and every entry that was ever stored or sent."""

    def __init__(self, type_tag: str) -> None:
        self.type_tag = type_tag
        self.now_ms = 1_000
        self.replicas = [Replica(number, type_tag) for number in range(REPLICAS)]
        self.operations: dict[Dot, Operation] = {}
        self.deltas: list[Entry] = []
        self.entries: list[Entry] = [Entry.empty(type_tag)]
        self.contexts: list[CausalContext] = []
        self._told: list[str] = []

    def __repr__(self) -> str:
        return f"{self.type_tag}: " + "; ".join(self._told)

    def operate(self, at: int, call: Call, seen: CausalContext | None, to: int | None = None) -> None:
        """Let a client's operation happen at a replica, and be sent to another one as a blind write is."""
        replica = self.replicas[at]
        dot, before = replica.next_dot(), replica.entry.context
        timestamp = replica.clock.tick(self.now_ms + replica.skew_ms, above=replica.entry.state.newest())
        name, arguments = call
        delta = replica.entry.delta(name, list(arguments), Event(dot, timestamp), seen)
        self._happened(Operation(dot, timestamp, name, arguments, _dots(before if seen is None else seen)))
        self.deltas.append(delta)
        self.entries.append(delta)
        self._told[-1] += "" if seen is None else f" having read {seen}"
        self._receive(replica, delta)
        if to is not None and to != at:
            self._take_blind_write(self.replicas[to], delta, timestamp if seen is None else 0)

    def merge(self, at: int, other: int) -> None:
        """Let a replica merge all that another one holds."""
        self._told.append(f"n{at} merges n{other}")
        self._receive(self.replicas[at], self.replicas[other].entry)

    def deliver(self, at: int, choice: int) -> None:
        """Let a delta arrive, perhaps late or again."""
        if self.deltas:
            self._told.append(f"n{at} gets delta {choice % len(self.deltas)}")
            self._receive(self.replicas[at], self.deltas[choice % len(self.deltas)])

    def read(self, at: int) -> None:
        """Let a client read, and keep the context for later."""
        self.contexts.append(self.replicas[at].entry.context)

    def forget(self, at: int) -> None:
        """Let a replica lose its disk."""
        replica = self.replicas[at]
        self._told.append(f"n{at} forgets everything")
        replica.incarnation += 1
        replica.entry = Entry.empty(self.type_tag)

    def operations_in(self, context: CausalContext) -> list[Operation]:
        """Return the operations of a context; every one of its dots must be one."""
        return [self.operations[dot] for dot in context.dots()]

    def _take_blind_write(self, replica: Replica, delta: Entry, supersede_before: int) -> None:
        self._told.append(f"n{replica.number} takes it")
        self._receive(replica, delta)
        dot, before = replica.next_dot(), replica.entry.context
        trimmed = replica.entry.without_older(supersede_before, Event(dot, supersede_before))
        if trimmed is not None:
            self._happened(Operation(dot, supersede_before, SUPERSEDE, (), _dots(before)))
            self.deltas.append(trimmed)
            self._receive(replica, trimmed)

    def _happened(self, operation: Operation) -> None:
        assert operation.dot not in self.operations
        self.operations[operation.dot] = operation
        arguments = ", ".join(map(repr, operation.arguments))
        self._told.append(f"{operation.name}({arguments}) as {operation.dot} at {operation.timestamp}")

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


def _lived(type_tag: str, program: bytes) -> History:
    history = History(type_tag)
    for start in range(0, len(program) - _STEP_BYTES + 1, _STEP_BYTES):
        _live(history, *program[start : start + _STEP_BYTES])
    return history


def _live(history: History, act: int, at: int, other: int, choice: int) -> None:
    at, other = at % REPLICAS, other % REPLICAS
    match act % 10:
        case 0:
            history.read(at)
        case 1 | 2 | 3 | 4:
            specification = SPECIFICATIONS[history.type_tag]
            is_blind = act % 20 < 10 or not history.contexts or not specification.takes_context
            seen = None if is_blind else history.contexts[choice % len(history.contexts)]
            call = specification.calls[choice % len(specification.calls)]
            history.operate(at, call, seen, to=other if act % 3 else None)
        case 5 | 6:
            history.merge(at, other)
        case 7 | 8:
            history.deliver(at, choice)
        case _ if choice % 2:
            history.forget(at)


def histories(type_tag: str) -> st.SearchStrategy[History]:
    """Return histories of a key of this type."""
    programs = st.binary(min_size=_STEP_BYTES * _MIN_STEPS, max_size=_STEP_BYTES * _MAX_STEPS)
    return programs.map(lambda program: _lived(type_tag, program))


@st.composite
def reachable(draw: st.DrawFn, type_tag: str, count: int) -> list[Entry]:
    """Return `count` entries of one history: stored ones at any moment, deltas, or the empty one."""
    history = draw(histories(type_tag))
    choices = draw(st.binary(min_size=count, max_size=count))
    return [history.entries[-1 - choice % len(history.entries)] for choice in choices]
