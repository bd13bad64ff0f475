"""Tokens: the positions of keys on the ring.

A token is the upper 64 bits of mmh3 x64_128 over the key's identity. Its top bits are the partition (their number is a
power of two, fixed for the lifetime of the cluster). Storage keys begin with the token, so a partition is one
contiguous range on disk.
"""

from crdtkv.hashing import token_hash

TOKEN_BITS = 64
TOKEN_BYTES = 8
MAX_PARTITIONS = 65_536


#: Returns the 64-bit token of an identity.
token_of = token_hash


def partition_of(token: int, partitions: int) -> int:
    """Return the partition of a token."""
    return token * partitions >> TOKEN_BITS


def partition_at(identity: bytes, partitions: int) -> int:
    """Return the partition of an identity."""
    return token_hash(identity) * partitions >> TOKEN_BITS


def partition_start(partition: int, partitions: int) -> int:
    """Return the first token of a partition; for `partition == partitions` the end of the ring, 2**64."""
    return (partition << TOKEN_BITS) // partitions


def storage_key_of(identity: bytes) -> bytes:
    """Return the storage key of an identity: its token (8 bytes, big endian), then the identity."""
    return storage_key_at(token_of(identity), identity)


def storage_key_at(token: int, identity: bytes) -> bytes:
    """Return the storage key of an identity whose token is known."""
    return token.to_bytes(TOKEN_BYTES, "big") + identity


def identity_in(storage_key: bytes) -> bytes:
    """Return the identity in a storage key."""
    return storage_key[TOKEN_BYTES:]


def token_in(storage_key: bytes) -> int:
    """Return the token in a storage key."""
    return int.from_bytes(storage_key[:TOKEN_BYTES], "big")


def partition_in(storage_key: bytes, partitions: int) -> int:
    """Return the partition of a storage key."""
    return partition_of(token_in(storage_key), partitions)
