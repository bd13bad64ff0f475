"""Causal contexts: the set of dots a replica has seen, gaps included.

A context is a version vector plus a cloud of dots beyond it. The cloud is needed because deltas may arrive out of
order: a replica that has seen operations 1, 2 and 4 of an actor must not claim 3. Invariant (compaction): no cloud dot
is covered by, or directly continues, the vector. So every set of dots has exactly one representation, and equal
contexts have equal bytes.

Source: Almeida, Shoker, Baquero (2018), section 7.2, "causal context compression".
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from crdtkv.causality.dot import Dot
from crdtkv.causality.version_vector import VersionVector
from crdtkv.errors import InvalidRequest
from crdtkv.ids import Actor

#: The highest counter and timestamp of nodes. No real counter gets there, and a sum with one still fits 8 bytes.
MAX_COUNTER = 2**62 - 1
#: The highest counter from a client, low enough that nodes that count on from it never reach `MAX_COUNTER`.
MAX_CLIENT_COUNTER = 2**61 - 1
MAX_CLIENT_BYTES = 16 * 1024
MAX_ACTOR_LENGTH = 128
#: `[vector, cloud]`, each a flat list `[actor, counter, actor, counter…]`.
WireContext = list[list[object]]


class CausalContext:
    """An immutable, compact set of dots."""

    __slots__ = ("cloud", "vector")

    def __init__(self, vector: VersionVector | None = None, cloud: Iterable[Dot] = ()) -> None:
        self.vector, self.cloud = _compact(vector or VersionVector(), cloud)

    def __contains__(self, dot: Dot) -> bool:
        return dot[1] <= self.vector[dot[0]] or dot in self.cloud

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CausalContext) and self.vector == other.vector and self.cloud == other.cloud

    def __hash__(self) -> int:
        return hash((self.vector, self.cloud))

    def __bool__(self) -> bool:
        return bool(len(self.vector) or self.cloud)

    def __repr__(self) -> str:
        cloud = "".join(f" +{dot}" for dot in sorted(self.cloud))
        return f"{self.vector}{cloud}"

    def dots(self) -> Iterator[Dot]:
        """Iterate over every dot of the set, sorted."""
        return heapq.merge(self._covered(), sorted(self.cloud))

    def _covered(self) -> Iterator[Dot]:
        for actor, counter in self.vector.items():
            for number in range(1, counter + 1):
                yield Dot(actor, number)

    def actors(self) -> Iterator[Actor]:
        """Iterate over the actors; one may occur twice."""
        yield from (actor for actor, _ in self.vector.items())
        yield from (dot.actor for dot in self.cloud)

    def few(self, limit: int) -> frozenset[Dot] | None:
        """Return all dots of the set if there are at most `limit`, else None."""
        if len(self.vector) + len(self.cloud) > limit:
            return None
        if sum(counter for _, counter in self.vector.items()) + len(self.cloud) > limit:
            return None
        return frozenset(self.dots())

    def highest(self, actor: Actor) -> int:
        """Return the highest counter of `actor` in the set, 0 if there is none."""
        highest = self.vector[actor]
        for dot in self.cloud:
            if dot.actor == actor and dot.counter > highest:
                highest = dot.counter
        return highest

    def descends(self, other: "CausalContext") -> bool:
        """Return whether every dot of `other` is in this set."""
        # A run of `other`'s vector may lie partly in our cloud only if our own vector stops short of it, and
        # then compaction shows the missing dot right behind our vector.
        return self.vector.descends(other.vector) and all(dot in self for dot in other.cloud)

    def merge(self, other: "CausalContext") -> "CausalContext":
        """Return the union."""
        if not self.cloud and not other.cloud:
            return _of(self.vector.merge(other.vector), frozenset())
        return CausalContext(self.vector.merge(other.vector), self.cloud | other.cloud)

    def with_dot(self, dot: Dot) -> "CausalContext":
        """Return the union with one dot."""
        if not self.cloud and dot.counter == self.vector[dot.actor] + 1:
            return _of(self.vector.with_counter(dot.actor, dot.counter), frozenset())
        return CausalContext(self.vector, self.cloud | {dot})

    def to_wire(self) -> WireContext:
        """Return vector and cloud, each as a flat sorted list `[actor, counter, actor, counter…]`."""
        vector: list[object] = [part for item in self.vector.items() for part in item]
        return [vector, [part for dot in sorted(self.cloud) for part in dot] if self.cloud else []]

    @classmethod
    def from_wire(cls, wire: object) -> "CausalContext":
        """Parse the result of `to_wire`, with all checks.

        Raises:
            InvalidRequest: it is not the canonical form of a context.
        """
        if type(wire) is not list or len(wire) != 2 or type(wire[0]) is not list or type(wire[1]) is not list:
            raise InvalidRequest("a causal context is [vector, cloud]")
        vector = VersionVector.adopt(_counters(wire[0]))
        if not wire[1]:
            return _of(vector, frozenset())
        cloud = frozenset(_dots(wire[1]))
        context = cls(vector, cloud)
        if context.cloud != cloud:
            raise InvalidRequest("a causal context is compact")
        return context


def from_client(wire: object) -> CausalContext:
    """Parse the context of a client's request.

    Raises:
        InvalidRequest: it is malformed, or larger than any context that a node returns.
    """
    context = CausalContext.from_wire(wire)
    counters = [counter for _, counter in context.vector.items()] + [dot.counter for dot in context.cloud]
    if max(counters, default=0) > MAX_CLIENT_COUNTER:
        raise InvalidRequest("the context names writes that never happened: read the key again")
    # An actor's length and a counter take at most 12 bytes.
    size = sum(len(actor) + 12 for actor in context.actors())
    if size > MAX_CLIENT_BYTES:
        raise InvalidRequest(f"a context takes at most {MAX_CLIENT_BYTES} bytes, this one {size}: read the key again")
    return context


def _counters(wire: list[Any]) -> dict[Actor, int]:
    """Parse a flat list of actors, each once and sorted, with their counters."""
    counters: dict[Actor, int] = {}
    last = ""
    for actor, counter in _pairs(wire):
        if actor <= last:
            raise InvalidRequest("actors are sorted and distinct")
        counters[actor] = counter
        last = actor
    return counters


def _dots(wire: list[Any]) -> list[Dot]:
    dots = [Dot(actor, counter) for actor, counter in _pairs(wire)]
    if any(later <= earlier for earlier, later in pairwise(dots)):
        raise InvalidRequest("dots are sorted and distinct")
    return dots


def _pairs(wire: list[Any]) -> "zip[tuple[Actor, int]]":
    """Return the checked pairs of a flat list."""
    actors, counters = wire[::2], wire[1::2]
    if len(actors) != len(counters):
        raise InvalidRequest("actors and counters come in pairs")
    for actor in actors:
        if type(actor) is not str or len(actor) > MAX_ACTOR_LENGTH:
            raise InvalidRequest(f"an actor is text of at most {MAX_ACTOR_LENGTH} characters")
    for counter in counters:
        if type(counter) is not int or not 1 <= counter <= MAX_COUNTER:
            raise InvalidRequest("a counter is a whole number from 1")
    return zip(actors, counters, strict=True)


def _compact(vector: VersionVector, cloud: Iterable[Dot]) -> tuple[VersionVector, frozenset[Dot]]:
    """Move cloud dots that continue the vector into it; drop those it covers."""
    counters = dict(vector.items())
    left: list[Dot] = []
    for actor, counter in sorted(cloud):
        known = counters.get(actor, 0)
        if counter == known + 1:
            counters[actor] = counter
        elif counter > known:
            left.append(Dot(actor, counter))
    return VersionVector(counters), frozenset(left)


def _of(vector: VersionVector, cloud: frozenset[Dot]) -> CausalContext:
    """Return a context of parts that are known to be compact."""
    context = CausalContext.__new__(CausalContext)
    context.vector = vector
    context.cloud = cloud
    return context


EMPTY = CausalContext()
