"""A disk error ends the process, whatever the request; no request is answered from a damaged store."""

import pytest
from one_node import CLIENT, OneNode, identity

from crdtkv.errors import StorageError
from crdtkv.node.kernel.events import Received
from crdtkv.ring.token import partition_of, token_of
from crdtkv.wire.messages import GetRequest, InspectRequest, Message, MutateRequest, ReadReplica, ScanRequest


def of_kind(kind: str, key: str) -> Message:
    at = identity(key)
    return {
        "get at ONE": GetRequest(1, [at], "ONE", 1000),
        "get at a quorum": GetRequest(1, [at], "LOCAL_QUORUM", 1000),
        "put": MutateRequest(1, at, "put", [b"v"], None, 0, "ONE", 1000),
        "scan": ScanRequest(1, partition_of(token_of(at), 64), b"default\0register\0", b"", 10, "LOCAL_ALL", 1000),
        "inspect": InspectRequest(1, at),
        "read of a replica": ReadReplica(1, at),
    }[kind]


@pytest.mark.parametrize("kind", ["get at ONE", "get at a quorum", "put", "scan", "inspect", "read of a replica"])
def test_a_damaged_row_stops_the_node_instead_of_being_answered(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = OneNode()
    key = node.key_here()
    get, scan = node.store.get, node.store.scan

    def damaged(row: bytes) -> bytes | None:
        if key.encode() in row:
            raise StorageError("a corrupt block")
        return get(row)

    def damaged_scan(start: bytes, stop: bytes, *limits: int) -> object:
        if start[:1] == b"d":
            raise StorageError("a corrupt block")
        return scan(start, stop, *limits)

    monkeypatch.setattr(node.store, "get", damaged)
    if kind == "scan":
        monkeypatch.setattr(node.store, "scan", damaged_scan)
    peer = "eu-2" if kind == "read of a replica" else CLIENT
    with pytest.raises(StorageError, match="corrupt block"):
        node.step(Received(peer, 1, [of_kind(kind, key)]))
