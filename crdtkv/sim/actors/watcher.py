"""A simulated watcher: a client that watches all keys of some types, in one data center.

The core of the real client (`client.core.subscription`) decides which replica it follows for which partitions. The
watcher receives pages, and reads them slowly. Sometimes it sleeps: it closes the watch, and later begins another one
with the cursors that a token would contain.

It keeps the last entry that it has received of every key. `monitors.watch` compares them with the stored entries.
"""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from crdtkv.client.core.calls import Call
from crdtkv.client.core.events import PageDelivered, PageTaken
from crdtkv.client.core.subscription import Group, Paging, Part, Subscription, WatchPage
from crdtkv.errors import CrdtkvError
from crdtkv.ids import identity_prefix
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.actors.client_host import ClientHost
from crdtkv.sim.world.expanded import rows_in
from crdtkv.sim.world.host import SimNode
from crdtkv.sim.world.sim_world import SimWorld
from crdtkv.sim.world.stored import violated

ANSWER_S = 1.5
#: The probability that it falls asleep when it loses a node, and after each page.
SLEEPINESS_AT_LOSS = 0.4
SLEEPINESS = 0.02


class SimWatcher:
    """One watch at a time, of these types."""

    def __init__(self, name: str, types: list[str], datacenter: str, world: SimWorld, random: Random) -> None:
        self.name = name
        self.types = types
        self._prefixes = [identity_prefix("default", type_tag) for type_tag in types]
        self._world = world
        self._random = random
        self.host = ClientHost(name, world, random, [datacenter])
        self.host.may_double = True
        #: The rows of a page, the longest wait of a poll, and the longest time for an answer.
        self._paging = Paging(random.choice((1, 2, 5, 500)), random.choice((0.2, 1.0, 3.0)), ANSWER_S)
        self._slowness_s = random.choice((0.05, 0.2, 1.0))
        self._watch: Subscription | None = None
        self._pages: deque[WatchPage] = deque()
        self._is_reading = False
        self._followed: list[Group] = []
        #: By identity: the last entry that it has received.
        self.received: dict[bytes, bytes | None] = {}
        #: Since `settle`: the number of pages of each group, and whether the last one reached the head of the log.
        self._quiet_pages: dict[Group, tuple[int, bool]] | None = None

    @property
    def groups(self) -> list[Group]:
        """The nodes that it follows, each with its partitions."""
        return self._watch.groups if self._watch is not None else []

    @property
    def is_settled(self) -> bool:
        """Whether every partition is followed at a node that has sent all its changes since `settle`."""
        if self._watch is None or not self._watch.is_placed or self._pages or self._is_reading:
            return False
        quiet = self._quiet_pages or {}
        # The poll for a second page was sent after `settle`.
        return all(group in quiet and quiet[group][0] > 1 and quiet[group][1] for group in self._watch.groups)

    def start(self, within_s: float) -> None:
        """Begin the watch, at a random time."""
        self._world.scheduler.after(self._random.uniform(0, within_s), lambda: self._begin([]))

    def settle(self) -> None:
        """Read without delay, and note which nodes have sent all their changes; called when the cluster is quiet."""
        self._quiet_pages = {}

    # What the world reports (`Endpoint`):

    def connect(self) -> None:
        """See `Endpoint.connect`."""
        self.host.connect()

    def receive(self, sender: str, payload: bytes) -> None:
        """See `Endpoint.receive`."""
        self.host.receive(sender, payload)

    def node_started(self, node: SimNode) -> None:
        """See `Endpoint.node_started`."""
        self.host.node_started(node)

    def node_stopped(self, node: SimNode) -> None:
        """See `Endpoint.node_stopped`; the loss of a node that it follows may send the watcher to sleep."""
        self.host.node_stopped(node)
        is_followed = any(group.node == node.place.node for group in self.groups)
        if is_followed and self._quiet_pages is None and self._random.random() < SLEEPINESS_AT_LOSS:
            self._sleep()

    # What the host reports (`CallUser`):

    def page(self, call: Call, page: WatchPage) -> None:
        """Take a page."""
        if call is not self._watch:
            return
        self._count_moves()
        self._pages.append(page)
        if self._quiet_pages is not None:
            count = self._quiet_pages.get(page.group, (0, False))[0] + 1
            reply = page.reply
            self._quiet_pages[page.group] = count, reply.position is not None and reply.position >= reply.head
        if not self._is_reading:
            self._read_next()

    def ended(self, call: Call, result: Any, error: CrdtkvError | None) -> None:
        """Report a watch that has failed: a watch ends only when it is canceled."""
        violated("watch", f"{self.name} is refused: {error!r}")

    def _begin(self, parts: Sequence[Part]) -> None:
        view = self.host.core.routing.views[0]
        self._watch = Subscription(view, self._prefixes, parts, self._paging)
        self.host.begin(self, self._watch)

    def _count_moves(self) -> None:
        """Count the groups that have ended since the last page."""
        groups = self.groups
        self._world.count("watches_moved", sum(group not in groups for group in self._followed))
        self._followed = groups

    def _read_next(self) -> None:
        """Read the next page, if there is one."""
        self._is_reading = bool(self._pages)
        if not self._pages:
            return
        watch, page = self._watch, self._pages.popleft()
        self.host.step(PageTaken(page))

        def read() -> None:
            if watch is not self._watch:
                return
            self._take(page)
            self.host.step(PageDelivered(page))
            self._read_next()
            if self._quiet_pages is None and self._random.random() < SLEEPINESS:
                self._sleep()

        # When all is quiet, the pages of any number of groups must be read faster than they come.
        reading_s = self._random.uniform(0.01, 0.01 + self._slowness_s) if self._quiet_pages is None else 0.001
        self._world.scheduler.after(reading_s, read)

    def _take(self, page: WatchPage) -> None:
        group = page.group
        for identity, entry in rows_in(page.reply):
            if not identity.startswith(tuple(self._prefixes)):
                violated("watch", f"{group.node} sends {self.name} {identity!r}, which it does not watch")
            if not group.mask >> partition_in(storage_key_of(identity), self._world.plan.shape.partitions) & 1:
                violated("watch", f"{group.node} sends {self.name} {identity!r}, which is of no requested partition")
            self.received[identity] = entry

    def _sleep(self) -> None:
        """Close the watch, and continue with its cursors after a while."""
        if self._watch is None:
            return
        watch, self._watch = self._watch, None
        self._followed = []
        self.host.cancel(watch)
        self._pages.clear()
        self._is_reading = False
        parts = watch.delivered_parts
        self._world.count("watch_cursors_kept", bool(parts))
        self.host.hang_up()
        self._world.scheduler.after(self._random.uniform(0.2, 3.0), lambda: self._begin(parts))
