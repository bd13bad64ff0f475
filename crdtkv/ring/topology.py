"""The topology document: who is in the ring of one data center, under which epoch.

It is agreed, not gossiped: one JSON document per data center, changed only by compare-and-set, each change with the
next epoch. Every frame between nodes carries the epoch, and a replica refuses requests of another epoch, so that
two nodes with different ideas of who holds a key never count for one quorum.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from crdtkv.errors import ProtocolError
from crdtkv.ring.token import MAX_PARTITIONS

MAX_WEIGHT = 64


@dataclass(frozen=True, slots=True)
class RingNode:
    """One node as the ring sees it; `weight` is its share of the data relative to others."""

    name: str
    host: str
    port: int
    zone: str
    weight: float

    @property
    def address(self) -> str:
        """The `host:port` nodes and clients connect to."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """The ring of one data center; `epoch` counts its changes from 1."""

    cluster: str
    datacenter: str
    epoch: int
    partitions: int
    replication_factor: int
    nodes: tuple[RingNode, ...]

    def node(self, name: str) -> RingNode | None:
        """Return the node of that name."""
        return next((node for node in self.nodes if node.name == name), None)

    def same_ring(self, other: "Topology") -> bool:
        """Tell whether the two differ at most in their epoch."""
        mine, theirs = asdict(self), asdict(other)
        mine["epoch"] = theirs["epoch"] = 0
        return mine == theirs

    def to_json(self) -> bytes:
        """Return the document as it stands in the KV bucket, for people to read as well."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, document: bytes) -> "Topology":
        """Parse a document.

        Raises:
            ProtocolError: it is not a topology document.
        """
        try:
            fields: dict[str, Any] = json.loads(document)
            nodes = tuple(RingNode(**node) for node in fields.pop("nodes"))
            topology = cls(**fields, nodes=nodes)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ProtocolError(f"not a topology document: {error}") from None
        topology._check()
        return topology

    def _check(self) -> None:
        """Refuse a document no ring can be built of; it comes from outside."""
        texts = [self.cluster, self.datacenter]
        numbers = [self.epoch, self.partitions, self.replication_factor]
        for node in self.nodes:
            texts += [node.name, node.host, node.zone]
            numbers.append(node.port)
            if type(node.weight) not in (int, float) or not 0 < node.weight <= MAX_WEIGHT:
                raise ProtocolError(f"a node's weight is above 0 and at most {MAX_WEIGHT}, not {node.weight!r}")
        if not all(type(text) is str for text in texts):
            raise ProtocolError("names, hosts and zones in a topology document are text")
        if not all(type(number) is int and 0 < number <= 2**63 for number in numbers):
            raise ProtocolError("epoch, partitions, replication factor and ports in a topology document count from 1")
        if self.partitions > MAX_PARTITIONS or self.partitions & (self.partitions - 1):
            raise ProtocolError(f"partitions are a power of two up to {MAX_PARTITIONS}, not {self.partitions}")
        if not self.nodes or len({node.name for node in self.nodes}) != len(self.nodes):
            raise ProtocolError("a topology document has nodes, each with a name of its own")
