"""`Connect`: discovers the data centers from the addresses of `connect`.

The client dials every address, and requests the topology from the first node of each data center that answers. Once a
data center is known, the client waits for the others a short time only, and longer while the preferred one is missing.
Then it waits a short time for links to the nodes of the first data center, so that its first requests go to replicas.
"""

from collections.abc import Sequence
from typing import Any

from crdtkv.client.core.calls import Call
from crdtkv.client.core.node_link import NodeLink
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.routing import TOPOLOGY_TIMEOUT_S
from crdtkv.client.core.timers import Timer
from crdtkv.errors import CrdtkvError, InvalidRequest, NoNodeReachable
from crdtkv.wire.messages import TopologyReply, TopologyRequest

#: Once a data center is known: the wait for the others while the preferred one is missing, and after it is known.
MOMENT_S = 0.5
MOMENT_FOR_OTHERS_S = 0.1
#: The wait for the first link to a node of the first data center, and for the other links after it.
FIRST_LINK_S = 2.0
OTHER_LINKS_S = 0.3


class Connect(Call):
    """Connect to at least one data center. The result is None.

    The call ends with `NoNodeReachable` if no node answers at any address, with `ProtocolError` if another cluster or
    server answers, and with `InvalidRequest` if the cluster has no data center of the preferred name.
    """

    waits_for_links = True

    def __init__(self, addresses: Sequence[tuple[str, int]], preferred: str | None, timeout_s: float) -> None:
        super().__init__()
        self._addresses = addresses
        self._preferred = preferred
        self._timeout_s = timeout_s
        self._contacts: list[NodeLink] = []
        #: Addresses whose data center is still unknown.
        self._pending: dict[int, NodeLink] = {}
        self._met: set[str] = set()
        self._has_met = False
        self._has_first_link = False
        self._deadline = 0.0
        self._timer: Timer | None = None

    def begin(self, parts: ClientParts) -> None:
        """Dial every address."""
        self.parts = parts
        self._deadline = parts.step.now + self._timeout_s
        self._contacts = [parts.routing.dial("", host, port) for host, port in self._addresses]
        self._pending = {contact.number: contact for contact in self._contacts}
        self._wake_at(self._deadline)

    def linked(self, link: NodeLink) -> None:
        """Handle a link that was opened or refused."""
        if self.is_over:
            return
        if self._has_met:
            self._wait_for_links()
        elif link.number in self._pending:
            self._meet(link)

    def described(self, link: NodeLink, reply: TopologyReply | None) -> None:
        """Handle a node's description of its data center, None if it did not answer."""
        assert link.server is not None
        name = link.server.datacenter
        if self._has_met or self.is_over:
            return
        if reply is None:
            self._met.discard(name)
        else:
            is_first_address = link.address == tuple(self._addresses[0])
            is_preferred = name == self._preferred if self._preferred is not None else is_first_address
            self.parts.routing.add(name, 0 if is_preferred else 1, reply)
        self._settled(link)

    def _meet(self, contact: NodeLink) -> None:
        """Request the topology from a node, unless another node of its data center was asked."""
        if contact.server is None or contact.server.datacenter in self._met:
            self._settled(contact)
            return
        self._met.add(contact.server.datacenter)
        contact.ask(TopologyRequest(contact.next_id()), _TopologyQuery(self, contact), TOPOLOGY_TIMEOUT_S)

    def _settled(self, contact: NodeLink) -> None:
        """Note that an address is settled; shorten the wait for the others once a data center is known."""
        self._pending.pop(contact.number, None)
        views = self.parts.routing.views
        if not self._pending:
            self._all_met()
        elif views:
            moment_s = MOMENT_FOR_OTHERS_S if views[0].rank == 0 else MOMENT_S
            self._deadline = min(self._deadline, self.parts.step.now + moment_s)
            self._wake_at(self._deadline)

    def cancel(self) -> None:
        """End the call; the links stay open until the client is closed."""
        super().cancel()
        self.parts.timers.cancel(self._timer)

    def _all_met(self) -> None:
        self._has_met = True
        if not self.parts.routing.views:
            self._finish()
            return
        self._wake_at(self.parts.step.now + FIRST_LINK_S)
        self._wait_for_links()

    def _wait_for_links(self) -> None:
        opened = [link.was_opened for link in self.parts.routing.views[0].links.values()]
        if all(opened):
            self._finish()
        elif any(opened) and not self._has_first_link:
            self._has_first_link = True
            self._wake_at(self.parts.step.now + OTHER_LINKS_S)

    def _wake_at(self, at_s: float) -> None:
        self.parts.timers.cancel(self._timer)
        self._timer = self.parts.timers.at(at_s, self._finish if self._has_met else self._all_met)

    def _finish(self) -> None:
        """Hang up on the addresses that are not needed, and end the call."""
        self.parts.timers.cancel(self._timer)
        routing = self.parts.routing
        routing.keep(self._contacts)
        refused = next((contact.refused for contact in self._contacts if contact.refused), None)
        error = refused if not routing.views else self._unknown_datacenter()
        if not routing.views and error is None:
            tried = ", ".join("{}:{}".format(*address) for address in self._addresses)
            error = NoNodeReachable(f"no node answers at {tried}: is the cluster running?")
        self.end(error=error)

    def _unknown_datacenter(self) -> InvalidRequest | None:
        """Return an error if the cluster has no data center of the preferred name, None if it has, or may have, one."""
        views = self.parts.routing.views
        known = frozenset[str]().union(*(view.datacenters for view in views))
        met = {view.name for view in views}
        if self._preferred is None or not known or self._preferred in known | met:
            return None
        return InvalidRequest(
            f"no data center {self._preferred!r:.80} in the cluster: one of {', '.join(sorted(known))}"
        )


class _TopologyQuery:
    """The topology request to one address."""

    def __init__(self, connect: Connect, contact: NodeLink) -> None:
        self._connect = connect
        self._contact = contact

    def answered(self, reply: Any) -> None:
        self._connect.described(self._contact, reply if isinstance(reply, TopologyReply) else None)

    def failed(self, _: CrdtkvError) -> None:
        self._connect.described(self._contact, None)
