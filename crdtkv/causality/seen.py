"""`Seen`: the operations that a client has seen, by key, for the guarantees of a session.

Dots are counted per key, so there is no shorter summary than a causal context for every key. It grows with the keys, up
to a bound.

Source: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994).
"""

from typing import Any, Self

from crdtkv import cbor
from crdtkv.causality.context import EMPTY, CausalContext
from crdtkv.causality.dot import Dot
from crdtkv.causality.hybrid_clock import HybridTimestamp
from crdtkv.errors import InvalidRequest, ProtocolError

MAX_KEYS = 10_000
#: Requests in flight may exceed `MAX_KEYS`, so a token may hold more keys.
MAX_KEYS_IN_TOKEN = 2 * MAX_KEYS
_FORMAT = 1


class Seen:
    """Contexts by key identity, and the highest hybrid timestamp."""

    def __init__(self) -> None:
        self.contexts: dict[bytes, CausalContext] = {}
        self.newest: HybridTimestamp = 0

    def __len__(self) -> int:
        return len(self.contexts)

    def is_in(self, identity: bytes, context: CausalContext) -> bool:
        """Return whether a context of a key includes all operations of the key that were seen."""
        seen = self.contexts.get(identity)
        return seen is None or context.descends(seen)

    def check_room(self, identity: bytes) -> None:
        """Refuse a further key above the bound, before a request for it begins.

        Raises:
            InvalidRequest: too many keys were seen.
        """
        if len(self.contexts) >= MAX_KEYS and identity not in self.contexts:
            raise InvalidRequest(f"a session remembers at most {MAX_KEYS:,} keys: begin a new one")

    def read(self, identity: bytes, context: CausalContext) -> None:
        """Add the context of a read."""
        if context:
            self.contexts[identity] = self.contexts.get(identity, EMPTY).merge(context)

    def written(self, identity: bytes, dot: Dot, timestamp: HybridTimestamp) -> None:
        """Add an acknowledged write."""
        self.contexts[identity] = self.contexts.get(identity, EMPTY).with_dot(dot)
        self.observe(timestamp)

    def observe(self, timestamp: HybridTimestamp) -> None:
        """Add a timestamp."""
        self.newest = max(self.newest, timestamp)

    def take(self, other: Self) -> None:
        """Add everything that `other` has seen.

        Raises:
            InvalidRequest: the two have too many keys together.
        """
        if len(self.contexts.keys() | other.contexts.keys()) > MAX_KEYS:
            raise InvalidRequest(f"a session remembers at most {MAX_KEYS:,} keys: the two sessions have more together")
        for identity, context in other.contexts.items():
            self.read(identity, context)
        self.observe(other.newest)

    def to_token(self) -> str:
        """Return everything as a string without spaces."""
        wire = [_FORMAT, self.newest, [[key, context.to_wire()] for key, context in self.contexts.items()]]
        return cbor.encode_text(wire)

    @classmethod
    def from_token(cls, token: str) -> Self:
        """Parse the result of `to_token`.

        Raises:
            InvalidRequest: it is no token.
        """
        try:
            wire: Any = cbor.decode_text(token)
        except ProtocolError:
            wire = None
        seen = cls()
        match wire:
            case [int() as version, int() as newest, list() as rows] if (
                [type(version), type(newest)] == [int, int]
                and version == _FORMAT
                and 0 <= newest < 2**63
                and len(rows) <= MAX_KEYS_IN_TOKEN
            ):
                seen.newest = newest
                for row in rows:
                    match row:
                        case [bytes() as identity, context]:
                            seen.read(identity, CausalContext.from_wire(context))
                        case _:
                            raise InvalidRequest("not the token of a session")
                return seen
        raise InvalidRequest("not the token of a session")
