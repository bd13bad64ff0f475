"""`Routing`: chooses the node for a request.

A request goes to the first linked home replica of its key, else to any linked node of the data center (which forwards
it), else to the next data center of the list. A request at `LINEARIZABLE` stays in the first data center. When a frame
has a newer epoch than the known topology of its data center, the topology is requested again.

The first choice for each partition of the first data center is cached until a link or a ring changes. While one is
cached, requests go to that data center.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from crdtkv.client.core.datacenter import DatacenterView
from crdtkv.client.core.effects import Dial, HangUp, Move
from crdtkv.client.core.node_link import NodeLink
from crdtkv.client.core.step import Step
from crdtkv.client.core.timers import Timers
from crdtkv.errors import ClosedError, CrdtkvError, NoNodeReachable
from crdtkv.quorum.level import ConsistencyLevel
from crdtkv.ring.token import partition_at
from crdtkv.wire.messages import TopologyReply, TopologyRequest

TOPOLOGY_TIMEOUT_S = 5.0


class Routing:
    """All data centers that the client may use, the preferred one first, and all links."""

    def __init__(self, step: Step, timers: Timers) -> None:
        self._step = step
        self._timers = timers
        self.views: list[DatacenterView] = []
        self.links: dict[int, NodeLink] = {}
        self._view_of: dict[int, DatacenterView] = {}
        #: The cached first choices by partition.
        self._first_choices: dict[int, tuple[DatacenterView, NodeLink]] = {}
        self._partitions = 1
        self._last_link = 0
        self._current: DatacenterView | None = None
        #: The number of times that requests moved to another data center.
        self.moves = 0
        self.is_closed = False

    @property
    def current(self) -> DatacenterView:
        """The data center that requests go to now."""
        return self._current or self.views[0]

    def route(self, identity: bytes, level: ConsistencyLevel, skip: int = 0) -> tuple[DatacenterView, NodeLink]:
        """Return the data center and the link for a request; `skip` nodes are skipped if a data center has more.

        At `LINEARIZABLE` it is always the first data center, because another one may not have its writes yet.

        Raises:
            NoNodeReachable: no usable link is open.
            ClosedError: the client was closed.
        """
        partition = partition_at(identity, self._partitions)
        is_first_choice = skip == 0
        if is_first_choice and partition in self._first_choices:
            return self._first_choices[partition]
        for view in self.views[:1] if level.is_linearizable else self.views:
            found: NodeLink | None = None
            for link in view.candidates(partition):
                found = link
                if skip == 0:
                    break
                skip -= 1
            if found is not None:
                if view is not self._current:
                    self._move_to(view)
                if is_first_choice and view is self.views[0]:
                    self._first_choices[partition] = view, found
                return view, found
        if self.is_closed:
            raise ClosedError("the client is closed")
        if level.is_linearizable:
            raise NoNodeReachable(
                f"no node of {self.views[0].name} is reachable now, and LINEARIZABLE holds within one data center "
                "only: wait, or use another level"
            )
        raise NoNodeReachable("no node is reachable now: is the cluster running?")

    def dial(self, node: str, host: str, port: int) -> NodeLink:
        """Add a link to an address; the host connects it (`Dial`)."""
        self._last_link += 1
        link = NodeLink(
            self._last_link, node, (host, port), self._step, self._timers, changed=self._first_choices.clear
        )
        self.links[link.number] = link
        self._step.effects.changes += (Dial(link.number, node, host, port),)
        return link

    def hang_up(self, link: NodeLink) -> None:
        """Remove a link; requests in flight on it fail with `LinkLost`."""
        if self.links.pop(link.number, None) is not None:
            self._view_of.pop(link.number, None)
            self._step.effects.changes += (HangUp(link.number),)
            link.down()

    def add(
        self, name: str, rank: int, reply: TopologyReply, contacts: Sequence[tuple[str, int]] = ()
    ) -> DatacenterView:
        """Add a data center by the description of one of its nodes, and connect to its nodes."""
        view = DatacenterView(name, rank, reply)
        self._connect_to_nodes(view)
        view.contacts = [self.dial("", host, port) for host, port in contacts]
        self._belong_to(view, view.contacts)
        self.views.append(view)
        self.views.sort(key=lambda view: view.rank)
        self._partitions = self.views[0].ring.partitions
        self._first_choices.clear()
        return view

    def keep(self, contacts: Sequence[NodeLink]) -> None:
        """Keep the links to `contacts` in data centers without another link; hang up on the others."""
        for view in self.views:
            view.keep(contacts)
            self._belong_to(view, view.contacts)
        self._first_choices.clear()
        for contact in contacts:
            if contact.number not in self._view_of:
                self.hang_up(contact)

    def saw_epoch(self, link: NodeLink, epoch: int) -> None:
        """Request the topology again after a frame of an epoch newer than `link.epoch`."""
        view = self._view_of.get(link.number)
        if view is not None and epoch > view.ring.topology.epoch and link.is_open:
            self.refresh(view, link)

    def refresh(self, view: DatacenterView, link: NodeLink) -> None:
        """Request the topology from a node, unless a request for it is in flight."""
        if not view.is_refreshing:
            view.is_refreshing = True
            link.ask(TopologyRequest(link.next_id()), _TopologyRefresh(self, view), TOPOLOGY_TIMEOUT_S)

    def close(self) -> None:
        """Close all links; later requests fail with `ClosedError`."""
        self.is_closed = True
        for link in list(self.links.values()):
            self.hang_up(link)

    def relearn(self, view: DatacenterView, reply: TopologyReply) -> None:
        """Replace the description of a data center, and connect to its new nodes."""
        view.learn(reply)
        self._connect_to_nodes(view)
        self._belong_to(view, view.contacts)
        self._first_choices.clear()

    def _connect_to_nodes(self, view: DatacenterView) -> None:
        for node in view.ring.topology.nodes:
            known = view.links.get(node.name)
            if known is not None and known.address == (node.host, node.port):
                continue
            link = view.links[node.name] = self.dial(node.name, node.host, node.port)
            if known is not None:
                link.continue_ids_of(known)
                self.hang_up(known)  # the node has moved
        self._belong_to(view, view.links.values())

    def _belong_to(self, view: DatacenterView, links: Iterable[NodeLink]) -> None:
        """Note the data center of links, and the epoch of its topology."""
        for link in links:
            link.epoch = view.ring.topology.epoch
            self._view_of[link.number] = view

    def _move_to(self, view: DatacenterView) -> None:
        """Make `view` the current data center; add a `Move` unless it is the first one."""
        before, self._current = self._current, view
        if before is not None:
            self.moves += 1
            self._step.effects.changes += (Move(before.name, view.name),)


class _TopologyRefresh:
    """A request for the topology. If it fails, the next frame of a newer epoch causes another one."""

    def __init__(self, routing: Routing, view: DatacenterView) -> None:
        self._routing = routing
        self._view = view

    def answered(self, reply: Any) -> None:
        self._view.is_refreshing = False
        if isinstance(reply, TopologyReply):
            self._routing.relearn(self._view, reply)

    def failed(self, _: CrdtkvError) -> None:
        self._view.is_refreshing = False
