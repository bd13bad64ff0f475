"""`BusLink`: sends messages to the nodes of other data centers; they may be lost."""

from collections.abc import Mapping, Sequence

from crdtkv.errors import ProtocolError
from crdtkv.node.kernel.effects import SendBus
from crdtkv.node.kernel.kernel import Kernel
from crdtkv.wire.codec import encode_frame
from crdtkv.wire.messages import BusSender, Message

#: The most bytes of requests that a step sends to one node of another data center.
BYTES_A_STEP = 8 * 1024 * 1024


class BusLink:
    """The link of one node; `nodes` are the nodes of the other data centers, by data center."""

    def __init__(self, kernel: Kernel, nodes: Mapping[str, Sequence[str]]) -> None:
        self._node = kernel.cluster.node
        self._step = kernel.step
        self.nodes = {datacenter: tuple(sorted(names)) for datacenter, names in sorted(nodes.items())}
        self._datacenter_of = {name: datacenter for datacenter, names in self.nodes.items() for name in names}
        #: Whether this data center's NATS answers: without it, no message of another data center arrives here.
        self.is_up = False

    @property
    def datacenters(self) -> list[str]:
        """The other data centers, sorted."""
        return [*self.nodes]

    def datacenter_of(self, node: str) -> str:
        """Return the data center of a sender.

        Raises:
            ProtocolError: it is no node of another data center.
        """
        datacenter = self._datacenter_of.get(node)
        if datacenter is None:
            raise ProtocolError(f"{node!r} is no node of another data center")
        return datacenter

    def has_room(self, node: str) -> bool:
        """Return whether this step may send more to a node."""
        return self._step.effects.weights.get(node, 0) < BYTES_A_STEP

    def send(self, node: str, message: Message) -> None:
        """Send a message when everything that this node has written so far is durable."""
        payload = encode_frame(0, [BusSender(self._node), message])
        self._step.effects.charge(node, len(payload))
        self._step.effects.held_bus.append(SendBus(self._datacenter_of[node], node, payload))
