"""`Routing`: which node gets a request.

A request goes to the first home replica of its key that is linked, else to any linked node there (which forwards it),
else to the next data center of the list. A request at `LINEARIZABLE` stays in the first data center. When a node speaks
under a newer epoch than its data center's ring, the topology is asked for again.

The first choice for each partition of the first data center is remembered until a link or a ring changes. While one is
remembered, requests go to that data center.
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
    """All data centers the client may use, the preferred first, and all links."""

    def __init__(self, step: Step, timers: Timers) -> None:
        self._step = step
        self._timers = timers
        self.views: list[DatacenterView] = []
        self.links: dict[int, NodeLink] = {}
        self._view_of: dict[int, DatacenterView] = {}
        #: By partition.
        self._first_choices: dict[int, tuple[DatacenterView, NodeLink]] = {}
        self._partitions = 1
        self._last_link = 0
        self._current: DatacenterView | None = None
        #: How often requests began to go to another data center.
        self.moves = 0
        self.is_closed = False

    @property
    def current(self) -> DatacenterView:
        """The data center that requests go to now."""
        return self._current or self.views[0]

    def route(self, identity: bytes, level: ConsistencyLevel, skip: int = 0) -> tuple[DatacenterView, NodeLink]:
        """Return where a request for a key goes now; `skip` passes over as many nodes, if there are more.

        At `LINEARIZABLE` that is always the first data center: another one may not have what was written there.

        Raises:
            NoNodeReachable: no link is open at all.
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
        """Have a link kept to an address."""
        self._last_link += 1
        link = NodeLink(
            self._last_link, node, (host, port), self._step, self._timers, changed=self._first_choices.clear
        )
        self.links[link.number] = link
        self._step.effects.changes += (Dial(link.number, node, host, port),)
        return link

    def hang_up(self, link: NodeLink) -> None:
        """Close a link for good; what is in flight on it ends."""
        if self.links.pop(link.number, None) is not None:
            self._view_of.pop(link.number, None)
            self._step.effects.changes += (HangUp(link.number),)
            link.down()

    def add(
        self, name: str, rank: int, reply: TopologyReply, contacts: Sequence[tuple[str, int]] = ()
    ) -> DatacenterView:
        """Take a data center as one of its nodes describes it, and connect to the nodes that it names."""
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
        """Keep to the addresses that were given where no other node is linked; hang up on the rest."""
        for view in self.views:
            view.keep(contacts)
            self._belong_to(view, view.contacts)
        self._first_choices.clear()
        for contact in contacts:
            if contact.number not in self._view_of:
                self.hang_up(contact)

    def saw_epoch(self, link: NodeLink, epoch: int) -> None:
        """Learn the ring again when a node speaks under a newer one (than `link.epoch`)."""
        view = self._view_of.get(link.number)
        if view is not None and epoch > view.ring.topology.epoch and link.is_open:
            self.refresh(view, link)

    def refresh(self, view: DatacenterView, link: NodeLink) -> None:
        """Ask a node for the newest topology, unless one is being asked."""
        if not view.is_refreshing:
            view.is_refreshing = True
            link.ask(TopologyRequest(link.next_id()), _Refreshing(self, view), TOPOLOGY_TIMEOUT_S)

    def close(self) -> None:
        """End all links."""
        self.is_closed = True
        for link in list(self.links.values()):
            self.hang_up(link)

    def relearn(self, view: DatacenterView, reply: TopologyReply) -> None:
        """Take a newer description of a data center."""
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
        """Note which data center is behind links, and up to which epoch its ring is known."""
        for link in links:
            link.epoch = view.ring.topology.epoch
            self._view_of[link.number] = view

    def _move_to(self, view: DatacenterView) -> None:
        """Say that requests go to another data center from now on."""
        before, self._current = self._current, view
        if before is not None:
            self.moves += 1
            self._step.effects.changes += (Move(before.name, view.name),)


class _Refreshing:
    """A question for the newest topology; when it fails, the next frame of a newer epoch asks again."""

    def __init__(self, routing: Routing, view: DatacenterView) -> None:
        self._routing = routing
        self._view = view

    def answered(self, reply: Any) -> None:
        self._view.is_refreshing = False
        if isinstance(reply, TopologyReply):
            self._routing.relearn(self._view, reply)

    def failed(self, _: CrdtkvError) -> None:
        self._view.is_refreshing = False
