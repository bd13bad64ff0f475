"""Incoming keys: checked and hashed once, then passed on as one object.

The part before the key itself (bucket and type) is checked once per combination and cached, because millions of
requests share a few combinations.
"""

from typing import NamedTuple

from crdtkv.crdt.registry import type_named
from crdtkv.errors import InvalidKey, InvalidRequest, UnknownBucket
from crdtkv.ids import MAX_KEY_BYTES, identity_prefix, parse_identity
from crdtkv.ring.token import storage_key_at, token_of

MAX_REMEMBERED = 10_000


class PlacedKey(NamedTuple):
    """A valid key: its identity, storage key, token, and type."""

    identity: bytes
    storage_key: bytes
    token: int
    type_tag: str


class KeyCheck:
    """Checks identities.

    Clients may only use declared buckets; keys from peers are stored under any valid bucket name.
    """

    def __init__(self, buckets: frozenset[str]) -> None:
        self._buckets = buckets
        self._known: dict[bytes, str] = {}
        self._from_peers: dict[bytes, str] = {}

    def from_client(self, identity: object) -> PlacedKey:
        """Check a client's key.

        Raises:
            InvalidKey, InvalidRequest, UnknownBucket: the key is malformed, or its bucket or type does not exist.
        """
        if type(identity) is not bytes:
            raise InvalidRequest("an identity is bytes")
        end = identity.find(b"\0", identity.find(b"\0") + 1) + 1
        type_tag = self._known.get(identity[:end])
        if type_tag is None:
            key = parse_identity(identity)
            if key.bucket not in self._buckets:
                raise UnknownBucket(f"unknown bucket {key.bucket!r}: declare it under 'buckets' in datacenters.yaml")
            type_named(key.type_tag)
            type_tag = self._known[identity[:end]] = key.type_tag
        elif not 1 <= len(identity) - end <= MAX_KEY_BYTES:
            raise InvalidKey(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one has {len(identity) - end}")
        token = token_of(identity)
        return PlacedKey(identity, storage_key_at(token, identity), token, type_tag)

    def check_prefix(self, prefix: bytes) -> None:
        """Check the prefix of a client's scan: a declared bucket, a known type, and then any beginning of a key.

        Raises:
            InvalidKey, InvalidRequest, UnknownBucket: no key can have this prefix.
        """
        bucket, nul, rest = prefix.partition(b"\0")
        type_tag, second_nul, _ = rest.partition(b"\0")
        if not nul or not second_nul:
            raise InvalidRequest("a scan names a bucket and a type")
        self.from_client(identity_prefix(bucket.decode(errors="replace"), type_tag.decode(errors="replace")) + b"-")

    def from_peer(self, identity: bytes) -> PlacedKey:
        """Check a key from another node.

        Raises:
            InvalidKey, InvalidRequest: it is malformed. (Its type may be one that only a newer version supports.)
        """
        end = identity.find(b"\0", identity.find(b"\0") + 1) + 1
        type_tag = self._from_peers.get(identity[:end])
        if type_tag is None or not 1 <= len(identity) - end <= MAX_KEY_BYTES:
            type_tag = parse_identity(identity).type_tag
            if len(self._from_peers) < MAX_REMEMBERED:
                self._from_peers[identity[:end]] = type_tag
        token = token_of(identity)
        return PlacedKey(identity, storage_key_at(token, identity), token, type_tag)
