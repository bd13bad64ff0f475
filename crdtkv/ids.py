"""Names and limits: buckets, keys, nodes, actors.

A key's *identity* is `bucket NUL type NUL key`. The type is part of it, so two data centers can never disagree about
the type of a key: `visits` as a counter and `visits` as a register are two different keys. This module builds and
parses identities; the ring places them.
"""

import re
from typing import NamedTuple, TypeGuard

from crdtkv.errors import InvalidKey, InvalidRequest

MAX_KEY_BYTES = 1024
MAX_VALUE_BYTES = 512 * 1024
DEFAULT_BUCKET = "default"
#: The bound of starts, heartbeats and ring epochs from outside. No real number gets there, and a number above a forged
#: one still fits 8 bytes.
MAX_STARTS = MAX_EPOCH = 2**48

NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPE_PATTERN = re.compile(r"[a-z]{1,16}")
_ACTOR_PATTERN = re.compile(NAME_PATTERN.pattern + r"\.[0-9a-f]{16}(-[1-9][0-9]{0,18})?")

#: The name under which a node mints dots: the node's name and incarnation, as in `eu-1.9f3c01d2a4b5c6e7`; `…-2` after
#: two renewals.
Actor = str


class Key(NamedTuple):
    """The parsed identity of a key."""

    bucket: str
    type_tag: str
    key: bytes

    def __repr__(self) -> str:
        return f"{self.bucket}/{self.type_tag}/{printable(self.key)}"


def printable(key: bytes) -> str:
    """Return a key as readable text: UTF-8 if it is printable, else hexadecimal."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return "0x" + key.hex()
    return text if text.isprintable() else "0x" + key.hex()


def key_bytes(key: str | bytes) -> bytes:
    """Encode a user's key.

    Raises:
        InvalidKey: not str or bytes, empty, or longer than 1024 bytes.
    """
    if isinstance(key, str):
        try:
            encoded = key.encode()
        except UnicodeEncodeError as error:
            raise InvalidKey(f"a text key must be valid Unicode to be encoded as UTF-8: {error.reason}") from None
    elif isinstance(key, bytes):
        encoded = bytes(key)  # the same object, unless its class is derived from bytes
    else:
        raise InvalidKey(f"a key is str or bytes, not {type(key).__name__}")
    if not 1 <= len(encoded) <= MAX_KEY_BYTES:
        raise InvalidKey(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one has {len(encoded)}")
    return encoded


def is_name(name: object) -> TypeGuard[str]:
    """Return whether a name is valid for a bucket, cluster, data center or node."""
    return isinstance(name, str) and NAME_PATTERN.fullmatch(name) is not None


def check_name(kind: str, name: str) -> str:
    """Return `name` if it is valid for a bucket, cluster, data center or node.

    Raises:
        InvalidKey: it is not.
    """
    if not is_name(name):
        raise InvalidKey(f"a {kind} name matches [A-Za-z0-9_-]{{1,64}}, not {name!r}")
    return name


def identity_prefix(bucket: str, type_tag: str) -> bytes:
    """Return the common prefix of the identities of all keys of this bucket and type."""
    return f"{bucket}\0{type_tag}\0".encode()


def identity_of(bucket: str, type_tag: str, key: str | bytes) -> bytes:
    """Build a key's identity.

    Raises:
        InvalidKey: the bucket's name or the key is out of bounds.
    """
    return identity_prefix(check_name("bucket", bucket), type_tag) + key_bytes(key)


def parse_identity(identity: bytes) -> Key:
    """Parse and check an identity from outside.

    Raises:
        InvalidKey: bucket or key out of bounds.
        InvalidRequest: it is no identity.
    """
    parts = identity.split(b"\0", 2)
    if len(parts) != 3:
        raise InvalidRequest("a key's identity is bucket NUL type NUL key")
    try:
        bucket, type_tag = parts[0].decode("ascii"), parts[1].decode("ascii")
    except UnicodeDecodeError:
        raise InvalidKey("bucket and type names are ASCII") from None
    if not _TYPE_PATTERN.fullmatch(type_tag):
        raise InvalidRequest(f"a type name matches [a-z]{{1,16}}, not {type_tag!r}")
    return Key(check_name("bucket", bucket), type_tag, key_bytes(parts[2]))


def is_identity(identity: bytes) -> bool:
    """Return whether these bytes are the identity of a key."""
    try:
        parse_identity(identity)
    except (InvalidKey, InvalidRequest):
        return False
    return True


def actor_name(node: str, incarnation: int, renewals: int = 0) -> Actor:
    """Return the actor of an incarnation (64 bits) of a node after `renewals` renewals."""
    return f"{node}.{incarnation:016x}" + (f"-{renewals}" if renewals else "")


def is_actor(name: str) -> bool:
    """Return whether a name has the form of `actor_name`."""
    return _ACTOR_PATTERN.fullmatch(name) is not None


def node_of(actor: Actor) -> str:
    """Return the node of an actor."""
    return actor.rpartition(".")[0]


def incarnation_of(actor: Actor) -> Actor:
    """Return the first actor of an actor's incarnation."""
    node, dot, incarnation = actor.rpartition(".")
    return node + dot + incarnation.partition("-")[0]


def renewals_of(actor: Actor) -> int:
    """Return the number of renewals in an actor's name, 0 for a name of another form."""
    renewals = actor.rpartition(".")[2].partition("-")[2]
    return int(renewals) if renewals.isdecimal() else 0
