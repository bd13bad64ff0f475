"""`Subscription`: the polls of a watch; it assigns each partition to a replica.

Every partition is polled at one linked home replica of the client's data center that is not a learner. The partitions
that are polled at one node from one cursor are a *group*, with one poll in flight. If the node of a group is lost, or
refuses because it does not count in quorums any more, the group ends. Its partitions begin at other replicas from an
empty cursor: keys are returned again, and no key is skipped. While no replica of a partition is reachable, the
subscription retries without end, and requests the topology again.

Pages that were fetched but not read are bounded: a group polls again after its page was taken (`PageTaken`). The token
has the cursors behind the pages that were read completely (`PageDelivered`).
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
#: How long a poll waits for a change, and how long its answer may take beyond that. Links detect dead nodes earlier.
WAIT_S = 10.0
ANSWER_S = 10.0
#: How long a lost node or one that has refused is avoided, and the pause before partitions are assigned again.
AVOID_S = 1.0
RETRY_S = 0.25
#: The shortest pause between requests for the topology while a partition has no replica.
REFRESH_S = 1.0
#: How long a watch with a token waits for links to the nodes of the token.
LINKS_S = 1.0
#: The most groups at one node; before another one, all of them are replaced by one from an empty cursor.
GROUPS_MAX = 4


class Part(NamedTuple):
    """Partitions (a bit mask) at one replica, and the cursor behind everything of them that was delivered."""

    node: str
    mask: int
    cursor: bytes


class Paging(NamedTuple):
    """The most rows of a page, how long a poll waits for a change, and how long its answer may take beyond that."""

    rows: int
    wait_s: float
    answer_s: float


class Group:
    """Partitions (a bit mask) that are polled at one node, the poll in flight, and the cursor of the next poll.

    `delivered` is the cursor behind everything that was delivered. `is_current` is true once that includes all changes
    that the node had at the first poll.
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
        """Request the rows behind the cursor."""
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
        """Handle a page."""
        assert isinstance(reply, WatchReply)
        self._end_poll()
        # A restarted node numbers its changes from the beginning, so it might never reach an earlier goal.
        self._goal = reply.head if self._goal is None else min(self._goal, reply.head)
        is_at_goal = reply.position is not None and reply.position >= self._goal
        self._will_be_current = self._will_be_current or is_at_goal
        self._cursor = reply.cursor
        self.subscription.page(WatchPage(self, reply, self._will_be_current))

    def failed(self, error: CrdtkvError) -> None:
        """Handle an error: poll again if the node is overloaded, move the group if the node is lost, else end."""
        self._end_poll()
        if isinstance(error, Overloaded):
            parts = self.subscription.parts
            self._timer = parts.timers.at(parts.step.now + RETRY_S, self.poll)
        elif isinstance(error, (LinkLost, Unavailable)):
            self.subscription.lost(self)
        else:
            self.subscription.end(error=error)

    def stop(self) -> None:
        """Cancel the poll and the timer."""
        if self._link is not None:
            self._link.forget_poll(self._poll)
        self._end_poll()

    def _end_poll(self) -> None:
        self.subscription.parts.timers.cancel(self._timer)
        self._link = self._timer = None


class WatchPage(NamedTuple):
    """The answer to one poll. `is_current` is true if the group is current (`Group`) once the page was delivered."""

    group: Group
    reply: WatchReply
    is_current: bool

    def delivered(self) -> None:
        """Note that the caller has read all rows."""
        self.group.delivered = self.reply.cursor
        self.group.is_current = self.is_current


class Subscription(Call):
    """One watch of the keys with `prefixes` in all partitions. Partitions in `parts` continue from their cursors."""

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
        """The groups that are polled now."""
        return list(self._groups)

    @property
    def is_current(self) -> bool:
        """Whether every partition has a replica and every group is current (`Group`)."""
        return not self._unplaced and all(group.is_current for group in self._groups)

    @property
    def is_placed(self) -> bool:
        """Whether every partition is assigned to a replica."""
        return not self._unplaced

    @property
    def delivered_parts(self) -> list[Part]:
        """The delivered cursors, for a token. Partitions without a part begin with their initial state."""
        followed = [Part(group.node, group.mask, group.delivered) for group in self._groups if group.delivered]
        return followed + self._to_begin

    def begin(self, parts: ClientParts) -> None:
        """Begin to poll; first wait, up to `LINKS_S`, for links to the nodes of a token: others resend all keys."""
        self.parts = parts
        if self._has_all_links():
            self._begin_parts()
        else:
            parts.timers.at(parts.step.now + LINKS_S, self._begin_parts)

    def linked(self, link: NodeLink) -> None:
        """Handle a link that was opened or refused."""
        if self._to_begin and not self.is_over and self._has_all_links():
            self._begin_parts()

    def page(self, page: WatchPage) -> None:
        """Add a page to the effects."""
        self.parts.step.effects.pages += ((self, page),)

    def taken(self, page: WatchPage) -> None:
        """Request the next page of the group of `page`."""
        if page.group in self._groups and not self.is_over:
            page.group.poll()

    def lost(self, group: Group) -> None:
        """End a group, and assign its partitions to other replicas."""
        if group not in self._groups:
            return
        group.stop()
        self._groups.remove(group)
        self._unplaced |= group.mask
        self._avoided[group.node] = self.parts.step.now + AVOID_S
        self._place_at_end()

    def cancel(self) -> None:
        """End the call and all polls; `delivered_parts` stays valid."""
        super().cancel()
        self._stop()

    def end(self, result: Any = None, error: CrdtkvError | None = None) -> None:
        """End the call and all polls."""
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
        """Assign partitions at the end of the step, so that all that lose their replica in it are assigned together."""
        if not self._is_placing:
            self._is_placing = True
            self.parts.step.at_end.append(self._place)

    def _place(self) -> None:
        """Assign partitions without a replica; if some remain, request the topology and retry after `RETRY_S`."""
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
        """Request the topology, at most every `REFRESH_S`: a client that only polls sees no frame of a newer epoch."""
        now, linked = self.parts.step.now, [*self.view.linked.values()]
        if linked and now >= self._refresh_at:
            self._refresh_at = now + REFRESH_S
            self.parts.routing.refresh(self.view, self.parts.random.choice(linked))

    def _chosen(self) -> dict[str, int]:
        """Return the partitions (a bit mask) to assign to each node: linked, not avoided, not a learner."""
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
                # `max` returns the first of equals: the first replica that is not suspected, else the first one.
                chosen.setdefault(max(replicas, key=linked.__getitem__), []).append(partition)
        return {node: mask_of(partitions) for node, partitions in chosen.items()}

    def _begin_group(self, node: str, mask: int, cursor: bytes) -> None:
        group = Group(self, node, mask, cursor)
        self._unplaced &= ~mask
        self._groups.append(group)
        group.poll()
