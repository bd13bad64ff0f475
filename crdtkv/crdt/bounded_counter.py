"""`bcounter`: a counter that never goes below 0, wherever it is decremented, also during a network partition.

The value is divided into *rights*. An increment adds rights to the node that made it. A decrement uses rights of the
node that makes it, and is refused if that node has too few. Rights move only when a node that has some gives them to
another one, by an ordinary operation; `node.rights` decides which nodes ask, and how much a node gives. So a decrement
needs no coordination as long as there are rights, and the sum of all rights, which is the counter's value, cannot
become negative.

Every node has a share: how much it incremented, used, and gave to each other node. Only the node itself writes it, so
of two copies of a share the later one is right. A node's rights survive a renewal of its write actor
(`node.replica.write_actor`), because they belong to its incarnation. They do not survive the loss of its disk: no node
knows how many of them were used, so they cannot be decremented any more. The counter then never goes below 0, but it
cannot reach 0.

For another floor than 0, count above it: keep stock - 10 to have 10 left.

Source: Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants" (2015).
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple, Self

from crdtkv.causality.context import CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.crdt.causal import Delta, Event, is_counter
from crdtkv.crdt.number import MAX_WHOLE
from crdtkv.errors import InsufficientRights, InvalidRequest
from crdtkv.ids import Actor, incarnation_of, is_actor, renewals_of


class Share(NamedTuple):
    """One node's share: the dot of its last change, all that it incremented and used, and its gifts by receiver."""

    dot: Dot
    incremented: int
    used: int
    given: Mapping[Actor, int]

    @property
    def age(self) -> tuple[int, int]:
        """The order of two copies of a share: the number of renewals of the write actor, then the counter."""
        return renewals_of(self.dot.actor), self.dot.counter


class BoundedCounter:
    """The shares by the incarnation to which they belong."""

    type_tag: ClassVar[str] = "bcounter"
    operations: ClassVar[frozenset[str]] = frozenset(("increment", "decrement", "transfer"))
    has_partial_deltas: ClassVar[bool] = False
    takes_context: ClassVar[bool] = False
    __slots__ = ("shares",)

    def __init__(self, shares: Mapping[Actor, Share] | None = None) -> None:
        self.shares: Mapping[Actor, Share] = shares or {}

    def __repr__(self) -> str:
        return f"bcounter({self.value})"

    @property
    def value(self) -> int:
        """All increments less all decrements: the sum of all rights."""
        return sum(share.incremented - share.used for share in self.shares.values())

    @property
    def is_blank(self) -> bool:
        """Whether the state keeps nothing, not even traces of removed values."""
        return not self.shares

    @property
    def is_empty(self) -> bool:
        """Whether the counter was never changed."""
        return not self.shares

    def rights_of(self, actor: Actor) -> int:
        """Return how much a node may decrement, under any actor of its incarnation."""
        owner = incarnation_of(actor)
        share = self.shares.get(owner)
        own = share.incremented - share.used - sum(share.given.values()) if share else 0
        return own + sum(other.given.get(owner, 0) for other in self.shares.values())

    def holders(self) -> list[Actor]:
        """Return the incarnations that have rights, sorted."""
        owners = {*self.shares, *(to for share in self.shares.values() for to in share.given)}
        return [owner for owner in sorted(owners) if self.rights_of(owner) > 0]

    def givable(self, actor: Actor, to: Actor) -> int:
        """Return how much a node may give another: its rights, up to the largest gift that its share can represent."""
        share = self.shares.get(incarnation_of(actor))
        given = share.given.get(incarnation_of(to), 0) if share else 0
        return min(self.rights_of(actor), MAX_WHOLE - given)

    def dots(self) -> Iterable[Dot]:
        """Return the dot of each share."""
        return [share.dot for share in self.shares.values()]

    def newest(self) -> HybridTimestamp:
        """Return 0: the type uses no timestamps."""
        return 0

    @classmethod
    def needs_quorum_read(cls, operation: str, arguments: list[object]) -> bool:
        """Return false: a node always has its own share, and uses no rights it has not seen."""
        return False

    def merge(self, mine: CausalContext, other: Self, theirs: CausalContext) -> Self:
        """Take the later copy of each share."""
        merged = dict(self.shares)
        for owner, share in other.shares.items():
            held = merged.get(owner)
            if held is None or held.age < share.age:
                merged[owner] = share
        return type(self)(merged)

    def carried_dots(self, operation: str, arguments: list[object], actor: Actor) -> Iterable[Dot]:
        """Return no dots: no operation carries on earlier effects."""
        return ()

    def apply(
        self, context: CausalContext, operation: str, arguments: list[object], event: Event, seen: CausalContext | None
    ) -> Delta:
        """Carry out `increment amount`, `decrement amount` or `transfer amount actor` of the node of the event.

        Raises:
            InsufficientRights: this node has too few rights now.
            InvalidRequest: an unknown operation or a wrong argument.
        """
        if seen is not None:
            raise InvalidRequest("a bcounter's operations take no context")
        owner = incarnation_of(event.dot.actor)
        share = self.shares.get(owner) or Share(event.dot, 0, 0, {})
        match operation, arguments:
            case "increment", [amount]:
                share = share._replace(incremented=share.incremented + _checked(amount))
            case "decrement", [amount]:
                self._check_rights(owner, _checked(amount))
                share = share._replace(used=share.used + _checked(amount))
            case "transfer", [amount, str() as to]:
                self._check_rights(owner, _checked(amount))
                if not is_actor(to):
                    raise InvalidRequest(f"rights are given to another node: {to!r:.80} is no node's incarnation")
                if incarnation_of(to) == owner:
                    raise InvalidRequest("rights are given to another node")
                given = {**share.given, incarnation_of(to): share.given.get(incarnation_of(to), 0) + _checked(amount)}
                share = share._replace(given=given)
            case "delete", _:
                raise InvalidRequest("a bcounter cannot be deleted: rights to decrement it may be in use elsewhere")
            case _:
                raise InvalidRequest(f"a bcounter knows increment(int) and decrement(int), not {operation!r}")
        if max(share.incremented, share.used, *share.given.values()) > MAX_WHOLE:
            raise InvalidRequest(f"a bcounter holds at most {MAX_WHOLE} per node")
        shares = {**self.shares, owner: share._replace(dot=event.dot)}
        return Delta(BoundedCounter(shares), context.with_dot(event.dot))

    def without(self, dots: frozenset[Dot]) -> Self:
        """Return the counter itself: rights do not expire."""
        return self

    def without_older(self, timestamp: HybridTimestamp) -> Self | None:
        """Return None: an increment supersedes nothing."""
        return None

    def to_wire(self) -> list[object]:
        """Return `[actor, counter, incremented, used, [to, amount, …], actor, …]`, sorted by incarnation."""
        wire: list[object] = []
        for _, share in sorted(self.shares.items()):
            given = [part for pair in sorted(share.given.items()) for part in pair]
            wire += (*share.dot, share.incremented, share.used, given)
        return wire

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """Parse `[actor, counter, incremented, used, [to, amount, …], actor, …]`."""
        if type(wire) is not list or len(wire) % 5:
            raise InvalidRequest("a bcounter is a list of shares of five parts")
        shares: dict[Actor, Share] = {}
        last = ""
        for start in range(0, len(wire), 5):
            actor, counter, incremented, used, given = wire[start : start + 5]
            owner = incarnation_of(actor) if type(actor) is str else ""
            if owner <= last or not is_counter(counter) or not _is_amount(incremented) or not _is_amount(used):
                raise InvalidRequest("a share is an actor, sorted, a counter and two amounts")
            shares[owner] = Share(Dot(actor, counter), incremented, used, _given_from_wire(given))
            last = owner
        return cls(shares)

    def _check_rights(self, owner: Actor, amount: int) -> None:
        available = self.rights_of(owner)
        if amount > available:
            raise InsufficientRights(amount, available, self.value)


def _checked(amount: object) -> int:
    if type(amount) is not int or not 0 < amount <= MAX_WHOLE:
        raise InvalidRequest("a bcounter is changed by a whole number from 1, below 2**63")
    return amount


def _is_amount(number: object) -> bool:
    return type(number) is int and 0 <= number <= MAX_WHOLE


def _given_from_wire(wire: object) -> dict[Actor, int]:
    if type(wire) is not list or len(wire) % 2:
        raise InvalidRequest("gifts are a list of incarnations and amounts")
    given: dict[Actor, int] = {}
    last = ""
    for start in range(0, len(wire), 2):
        to, amount = wire[start], wire[start + 1]
        if type(to) is not str or to <= last or not _is_amount(amount) or not amount:
            raise InvalidRequest("gifts are sorted by incarnation, and positive")
        given[to] = amount
        last = to
    return given
