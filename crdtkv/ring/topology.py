"""The topology document: the nodes of the ring of one data center, under an epoch.

It is agreed, not gossiped: one JSON document per data center, changed only by compare-and-set, each change with the
next epoch. Every frame between nodes carries the epoch, and a replica refuses requests of another epoch, so that two
nodes with different placements of a key never count for one quorum.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from crdtkv.errors import ProtocolError
from crdtkv.ids import MAX_EPOCH
from crdtkv.ring.token import MAX_PARTITIONS

MAX_WEIGHT = 64


@dataclass(frozen=True, slots=True)
class RingNode:
    """One node as the ring sees it; `weight` is its share of the data relative to others.

    `incarnation` is that of the node's disk, in 16 hexadecimal digits, "" until the node has entered it. A *learner*
    has its place, takes writes, and counts in no quorum: its disk may lack earlier writes. `replaces` is the
    incarnation of the last disk that counted before this one, "" if there was none.
    """

    name: str
    host: str
    port: int
    zone: str
    weight: float
    incarnation: str = ""
    is_learner: bool = False
    replaces: str = ""

    @property
    def address(self) -> str:
        """The `host:port` that nodes and clients connect to."""
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
        """Return the node of that name, None if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        return None

    def same_ring(self, other: "Topology") -> bool:
        """Return whether the two place every key on the same nodes at the same addresses."""
        return self._placement == other._placement

    def with_node(self, changed: RingNode) -> "Topology":
        """Return the next topology, in which one node has changed."""
        nodes = tuple(changed if node.name == changed.name else node for node in self.nodes)
        return replace(self, epoch=self.epoch + 1, nodes=nodes)

    @property
    def _placement(self) -> "Topology":
        nodes = tuple(replace(node, incarnation="", is_learner=False, replaces="") for node in self.nodes)
        return replace(self, epoch=0, nodes=nodes)

    def to_json(self) -> bytes:
        """Return the document as it is stored in the KV bucket, readable for operators.

        Older versions do not support `replaces`, so it is left out where it is empty.
        """
        fields = asdict(self)
        for node in fields["nodes"]:
            if not node["replaces"]:
                del node["replaces"]
        return json.dumps(fields, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, document: bytes) -> "Topology":
        """Parse a document.

        Raises:
            ProtocolError: it is not a topology document.
        """
        try:
            fields: dict[str, Any] = json.loads(document)
            _check_numbers(fields)
            nodes = tuple(RingNode(**node) for node in fields.pop("nodes"))
            topology = cls(**fields, nodes=nodes)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ProtocolError(f"not a topology document: {error}") from None
        topology._check()
        return topology

    def _check(self) -> None:
        """Refuse a document from which no ring can be built.

        Raises:
            ProtocolError: a field is out of range.
        """
        texts = [self.cluster, self.datacenter]
        for node in self.nodes:
            texts += [node.name, node.host, node.zone, node.incarnation, node.replaces]
            if type(node.is_learner) is not bool:
                raise ProtocolError(f"a node is a learner or not, {node.is_learner!r} is neither")
            if not 0 < node.weight <= MAX_WEIGHT:
                raise ProtocolError(f"a node's weight is above 0 and at most {MAX_WEIGHT}, not {node.weight!r}")
        if not all(_is_text(text) for text in texts):
            raise ProtocolError("names, hosts and zones in a topology document are text")
        if self.partitions > MAX_PARTITIONS or self.partitions & (self.partitions - 1):
            raise ProtocolError(f"partitions are a power of two up to {MAX_PARTITIONS}, not {self.partitions}")
        if not self.nodes or len({node.name for node in self.nodes}) != len(self.nodes):
            raise ProtocolError("a topology document has nodes, each with a name of its own")


def _check_numbers(fields: dict[str, Any]) -> None:
    """Refuse a document whose numbers are something else or out of range: a compiled class would take True for 1.

    Raises:
        ProtocolError: there is one.
        KeyError: a field is missing.
    """
    nodes = fields["nodes"]
    numbers = [fields["epoch"], fields["partitions"], fields["replication_factor"], *[node["port"] for node in nodes]]
    if not all(type(number) is int and 0 < number < MAX_EPOCH for number in numbers):
        raise ProtocolError("epoch, partitions, replication factor and ports in a topology document count from 1")
    for node in nodes:
        if type(node["weight"]) not in (int, float):
            raise ProtocolError(f"a node's weight is a number, not {node['weight']!r:.80}")


def _is_text(text: object) -> bool:
    """Return whether this is text that can be sent: JSON can hold half of a surrogate pair."""
    if type(text) is not str:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
