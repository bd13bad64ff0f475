"""The only hash function of this project, MurmurHash3 x64 128: for placement, digests and sketches.

It is not secure.
"""

import mmh3

DIGEST_BYTES = 16


def token_hash(identity: bytes) -> int:
    """Return the 64-bit token of an identity."""
    return mmh3.hash64(identity, 0, True, signed=False)[0]


def element_hash(element: bytes) -> int:
    """Return the 64-bit hash of an element in a sketch."""
    return mmh3.hash64(element, 0, True, signed=False)[0]


def entry_digest(storage_key: bytes, entry: bytes) -> int:
    """Return the 128-bit digest of an entry under its key, in Merkle trees."""
    return mmh3.hash128(storage_key + entry, 0, True, signed=False)


def digest_of(storage_key: bytes, entry: bytes) -> bytes:
    """Return the digest as bytes."""
    return entry_digest(storage_key, entry).to_bytes(DIGEST_BYTES, "big")
