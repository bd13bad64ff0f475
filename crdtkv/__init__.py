"""crdtkv: a CRDT-based, geo-replicated key-value store over a message bus.

async with crdtkv.connect("127.0.0.1:7401", datacenter="eu") as kv:
await kv.put("user:1", {"name": "Ada"})
await kv.get("user:1", consistency=crdtkv.ONE)
"""

from crdtkv.client.bucket import Bucket
from crdtkv.client.change import CAUGHT_UP, Change
from crdtkv.client.client import Client, connect
from crdtkv.client.codecs import BYTES, CBOR, JSON, TEXT, Codec, model
from crdtkv.client.entry import ReadContext, ValueEntry
from crdtkv.client.session import Session
from crdtkv.client.values import Undecodable
from crdtkv.client.watching import Watch
from crdtkv.client.written import Written
from crdtkv.errors import (
    ClosedError,
    ConfigError,
    CrdtkvError,
    InsufficientRights,
    InsufficientStorage,
    InvalidKey,
    InvalidRequest,
    NoNodeReachable,
    Overloaded,
    ProtocolError,
    ReadTimeout,
    StaleReplica,
    Unavailable,
    UnknownBucket,
    ValueTooLarge,
    WriteTimeout,
)
from crdtkv.quorum.level import (
    ALL,
    ANY,
    EACH_QUORUM,
    LINEARIZABLE,
    LOCAL_ALL,
    LOCAL_QUORUM,
    ONE,
    REMOTE_QUORUM,
    SLOPPY_QUORUM,
    ConsistencyLevel,
    Quorum,
)
from crdtkv.version import VERSION

__version__ = VERSION

__all__ = [
    "ALL",
    "ANY",
    "BYTES",
    "CAUGHT_UP",
    "CBOR",
    "EACH_QUORUM",
    "JSON",
    "LINEARIZABLE",
    "LOCAL_ALL",
    "LOCAL_QUORUM",
    "ONE",
    "REMOTE_QUORUM",
    "SLOPPY_QUORUM",
    "TEXT",
    "Bucket",
    "Change",
    "Client",
    "ClosedError",
    "Codec",
    "ConfigError",
    "ConsistencyLevel",
    "CrdtkvError",
    "InsufficientRights",
    "InsufficientStorage",
    "InvalidKey",
    "InvalidRequest",
    "NoNodeReachable",
    "Overloaded",
    "ProtocolError",
    "Quorum",
    "ReadContext",
    "ReadTimeout",
    "Session",
    "StaleReplica",
    "Unavailable",
    "Undecodable",
    "UnknownBucket",
    "ValueEntry",
    "ValueTooLarge",
    "Watch",
    "WriteTimeout",
    "Written",
    "connect",
    "model",
]
