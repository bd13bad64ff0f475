"""`Subscription`: which replicas a watch follows for which partitions, and the polls there.

Every partition is followed at one replica of the client's data center: one that counts and is linked. What is followed
at one node from one cursor is a *group*, with one poll at a time. A group whose node is lost, or refuses because it
does not count any more, ends, and its partitions begin at other replicas, from an empty cursor there: keys come again,
none is skipped. When no replica can be reached, that is tried again for ever, and the ring is asked for again.

What was fetched and not taken yet is bounded: a group polls on when its page was taken (`PageTaken`). The token names
the cursors up to which everything was told (`PageDelivered`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from crdtkv.client.core.calls import Call
from crdtkv.client.core.datacenter import DatacenterView
from crdtkv.client.core.failures import LinkLost
from crdtkv.client.core.node_link import NodeLink
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.timers import Timer
from crdtkv.errors import CrdtkvError, Overloaded, Unavailable
from crdtkv.ring.partition_set import each_in, mask_of, to_bits
from crdtkv.wire.messages import WatchReply, WatchRequest

PAGE_ROWS = 500
#: How long a poll waits for a change, and how long an answer may take beyond that: links tell sooner of a dead node.
WAIT_S = 10.0
ANSWER_S = 10.0
#: How long a node that was lost or has refused is passed over, and when partitions without a replica are placed again.
AVOID_S = 1.0
RETRY_S = 0.25
#: How often the ring is asked for meanwhile.
REFRESH_S = 1.0
#: How long a watch that goes on from a token waits for links to the nodes it names.
LINKS_S = 1.0
#: Groups at one node; with one more, all of them begin anew as one.
GROUPS_MAX = 4


class Part(NamedTuple):
    """What is followed at one replica: partitions as a mask, and how far everything of them was told."""

    node: str
    mask: int
    cursor: bytes


class Paging(NamedTuple):
    """The rows of a page, how long a poll waits for a change, and how long its answer may take beyond that."""

    rows: int
    wait_s: float
    answer_s: float


class Group:
    """Partitions (a mask) that are followed at one node: the poll there, and the cursor for the next one.

    `told` is the cursor up to which everything was told, `is_current` whether that is where the node was at the start.
    """

    def __init__(self, subscription: "Subscription", node: str, mask: int, cursor: bytes) -> None:
        self.subscription = subscription
        self.node = node
        self.mask = mask
        self.delivered = self._cursor = cursor
        self.is_current = self._will_be_current = False
        self._goal: int | None = None
        self._link: NodeLink | None = None
        self._poll = 0
        self._timer: Timer | None = None

    def poll(self) -> None:
        """Ask for what comes behind the cursor."""
        subscription = self.subscription
        link = subscription.view.linked.get(self.node)
        if link is None:
            subscription.lost(self)
            return
        paging, parts = subscription.paging, subscription.parts
        wait_s = paging.wait_s if self._will_be_current else 0.0
        self._link, self._poll = link, link.next_id()
        bits = to_bits(self.mask, subscription.partitions)
        request = WatchRequest(
            self._poll, [*subscription.prefixes], bits, self._cursor, paging.rows, int(wait_s * 1000)
        )
        try:
            link.poll(request, self)
        except CrdtkvError as error:
            self.failed(error)
            return
        self._timer = parts.timers.at(parts.step.now + wait_s + paging.answer_s, lambda: subscription.lost(self))

    def answered(self, reply: Any) -> None:
        """Take a page."""
        assert isinstance(reply, WatchReply)
        self._end_poll()
        # A node that has restarted numbers its changes anew: a goal from before might never be reached.
        self._goal = reply.head if self._goal is None else min(self._goal, reply.head)
        is_at_goal = reply.position is not None and reply.position >= self._goal
        self._will_be_current = self._will_be_current or is_at_goal
        self._cursor = reply.cursor
        self.subscription.page(WatchPage(self, reply, self._will_be_current))

    def failed(self, error: CrdtkvError) -> None:
        """Poll again, or give the group up, or end the watch."""
        self._end_poll()
        if isinstance(error, Overloaded):
            parts = self.subscription.parts
            self._timer = parts.timers.at(parts.step.now + RETRY_S, self.poll)
        elif isinstance(error, (LinkLost, Unavailable)):
            self.subscription.lost(self)
        else:
            self.subscription.end(error=error)

    def stop(self) -> None:
        """Follow nothing any more."""
        if self._link is not None:
            self._link.forget_poll(self._poll)
        self._end_poll()

    def _end_poll(self) -> None:
        self.subscription.parts.timers.cancel(self._timer)
        self._link = self._timer = None


class WatchPage(NamedTuple):
    """What one poll brought. `is_current` says that it brings its group up to where the node was when it began."""

    group: Group
    reply: WatchReply
    is_current: bool

    def delivered(self) -> None:
        """Note that all rows have been told."""
        self.group.delivered = self.reply.cursor
        self.group.is_current = self.is_current


class Subscription(Call):
    """One watch of the keys with these prefixes, in all partitions; those in `parts` go on from their cursors."""

    waits_for_links = True

    def __init__(
        self, view: DatacenterView, prefixes: Sequence[bytes], parts: Sequence[Part], paging: Paging | None = None
    ) -> None:
        super().__init__()
        self.view = view
        self.partitions = view.ring.partitions
        self.prefixes = prefixes
        self.paging = paging or Paging(PAGE_ROWS, WAIT_S, ANSWER_S)
        self._to_begin = list(parts)
        self._unplaced = (1 << self.partitions) - 1
        self._groups: list[Group] = []
        self._avoided: dict[str, float] = {}
        self._is_placing = False
        self._retry: Timer | None = None
        self._refresh_at = 0.0

    @property
    def groups(self) -> list[Group]:
        """What is followed now."""
        return list(self._groups)

    @property
    def is_current(self) -> bool:
        """Whether every partition was told up to where its replica was when it began to be followed."""
        return not self._unplaced and all(group.is_current for group in self._groups)

    @property
    def is_placed(self) -> bool:
        """Whether every partition is followed somewhere."""
        return not self._unplaced

    @property
    def delivered_parts(self) -> list[Part]:
        """Up to where everything was told; what is not named begins with its initial state."""
        followed = [Part(group.node, group.mask, group.delivered) for group in self._groups if group.delivered]
        return followed + self._to_begin

    def begin(self, parts: ClientParts) -> None:
        """Wait for links to the nodes of a token, because elsewhere everything would be told again; then follow."""
        self.parts = parts
        if self._has_all_links():
            self._begin_parts()
        else:
            parts.timers.at(parts.step.now + LINKS_S, self._begin_parts)

    def linked(self, link: NodeLink) -> None:
        """Learn that a link was opened, or refused."""
        if self._to_begin and not self.is_over and self._has_all_links():
            self._begin_parts()

    def page(self, page: WatchPage) -> None:
        """Hand a page on."""
        self.parts.step.effects.pages += ((self, page),)

    def taken(self, page: WatchPage) -> None:
        """Fetch the page behind one that was taken."""
        if page.group in self._groups and not self.is_over:
            page.group.poll()

    def lost(self, group: Group) -> None:
        """Follow the partitions of a group elsewhere."""
        if group not in self._groups:
            return
        group.stop()
        self._groups.remove(group)
        self._unplaced |= group.mask
        self._avoided[group.node] = self.parts.step.now + AVOID_S
        self._place_at_end()

    def cancel(self) -> None:
        """Follow nothing any more; `delivered_parts` stays."""
        super().cancel()
        self._stop()

    def end(self, result: Any = None, error: CrdtkvError | None = None) -> None:
        """End, and follow nothing any more."""
        super().end(result, error)
        self._stop()

    def _stop(self) -> None:
        self.parts.timers.cancel(self._retry)
        for group in self._groups:
            group.stop()

    def _has_all_links(self) -> bool:
        links = [self.view.links.get(part.node) for part in self._to_begin]
        return all(link.was_opened for link in links if link is not None)

    def _begin_parts(self) -> None:
        if self.is_over:
            return
        to_begin, self._to_begin = self._to_begin, []
        for part in to_begin:
            self._begin_group(part.node, part.mask, part.cursor)
        self._place_at_end()

    def _place_at_end(self) -> None:
        """ValueRef what lost its replica in this step together."""
        if not self._is_placing:
            self._is_placing = True
            self.parts.step.at_end.append(self._place)

    def _place(self) -> None:
        """Let what nobody is followed for begin at replicas that count and are linked."""
        self._is_placing = False
        self.parts.timers.cancel(self._retry)
        if self.is_over or self._to_begin:
            return
        for node, mask in self._chosen().items():
            others = [group for group in self._groups if group.node == node]
            if len(others) >= GROUPS_MAX:
                for group in others:
                    group.stop()
                    self._groups.remove(group)
                    mask |= group.mask  # noqa: PLW2901
            self._begin_group(node, mask, b"")
        if self._unplaced:
            self._refresh_ring()
            self._retry = self.parts.timers.at(self.parts.step.now + RETRY_S, self._place)

    def _refresh_ring(self) -> None:
        """Ask for the ring, now and then: a client that only watches gets no frame that tells of a newer one."""
        now, linked = self.parts.step.now, [*self.view.linked.values()]
        if linked and now >= self._refresh_at:
            self._refresh_at = now + REFRESH_S
            self.parts.routing.refresh(self.view, self.parts.random.choice(linked))

    def _chosen(self) -> dict[str, int]:
        """Return the replicas at which partitions without one begin."""
        ring, now = self.view.ring, self.parts.step.now
        linked = {
            name: link.is_responsive
            for name, link in self.view.linked.items()
            if name not in ring.learners and self._avoided.get(name, 0.0) <= now
        }
        chosen: dict[str, list[int]] = {}
        for partition in each_in(self._unplaced):
            replicas = [name for name in ring.replicas_of(partition) if name in linked]
            if replicas:
                # `max` takes the first of equals: the first replica, unless others are suspected less.
                chosen.setdefault(max(replicas, key=linked.__getitem__), []).append(partition)
        return {node: mask_of(partitions) for node, partitions in chosen.items()}

    def _begin_group(self, node: str, mask: int, cursor: bytes) -> None:
        group = Group(self, node, mask, cursor)
        self._unplaced &= ~mask
        self._groups.append(group)
        group.poll()
