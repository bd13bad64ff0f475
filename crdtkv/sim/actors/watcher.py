"""A simulated watcher: a client that wants to know every key's newest entry, at one data center.

Which replica it follows for which partitions is decided by the core of the real client (`client.core.following`).
Here it is told pages, which it may read slowly; and it sleeps sometimes: it closes the watch, and begins another one
with what a token would say.

It keeps what it was told last of every key. At the end that must be what is stored (`watched`).
"""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, cast

from crdtkv.client.core.calls import Call
from crdtkv.client.core.events import PageTaken, PageTold
from crdtkv.client.core.following import Following, Group, Paging, Part, WatchPage
from crdtkv.errors import CrdtkvError
from crdtkv.ids import identity_prefix
from crdtkv.ring.token import partition_in, storage_key_of
from crdtkv.sim.actors.client_host import ClientHost
from crdtkv.sim.world.stored import violated
from crdtkv.wire.messages import WatchReply

if TYPE_CHECKING:
    from crdtkv.sim.cluster import SimCluster

ANSWER_S = 1.5
#: How often it falls asleep when a node is lost, and after a page.
SLEEPINESS_AT_LOSS = 0.4
SLEEPINESS = 0.02


class SimWatcher:
    """One watch at a time, of these types."""

    def __init__(self, name: str, types: list[str], datacenter: str, cluster: "SimCluster", random: Random) -> None:
        self.name = name
        self.types = types
        self._prefixes = [identity_prefix("default", type_tag) for type_tag in types]
        self._cluster = cluster
        self._random = random
        self.host = ClientHost(name, cluster, random, [datacenter])
        self.host.may_double = True
        #: The rows of a page, how long a poll waits, and the longest time it takes to read a page.
        self._paging = Paging(random.choice((1, 2, 5, 500)), random.choice((0.2, 1.0, 3.0)), ANSWER_S)
        self._slowness_s = random.choice((0.05, 0.2, 1.0))
        self._watch: Following | None = None
        self._pages: deque[WatchPage] = deque()
        self._is_reading = False
        self._followed: list[Group] = []
        #: By identity: what was told last.
        self.told: dict[bytes, bytes | None] = {}
        #: Since all is quiet: how many pages each group has brought, and whether the last one came to the end.
        self._quiet_pages: dict[Group, tuple[int, bool]] | None = None

    @property
    def groups(self) -> list[Group]:
        """What is followed now."""
        return self._watch.groups if self._watch is not None else []

    @property
    def is_settled(self) -> bool:
        """Whether every partition is followed at a node that has told everything since `settle`."""
        if self._watch is None or not self._watch.is_placed or self._pages or self._is_reading:
            return False
        quiet = self._quiet_pages or {}
        # The poll for a second page was sent when all was quiet.
        return all(group in quiet and quiet[group][0] > 1 and quiet[group][1] for group in self._watch.groups)

    def start(self, within_s: float) -> None:
        """Begin to follow everything, sooner or later."""
        self._cluster.scheduler.after(self._random.uniform(0, within_s), lambda: self._begin([]))

    def settle(self) -> None:
        """Hurry now, and note when a node has told all it had: nothing changes any more."""
        self._quiet_pages = {}

    def node_stopped(self, node: str) -> None:
        """Fall asleep sometimes, when a node that is followed has gone."""
        is_followed = any(group.node == node for group in self.groups)
        if is_followed and self._quiet_pages is None and self._random.random() < SLEEPINESS_AT_LOSS:
            self._sleep()

    # What the host tells (`CallUser`):

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
        """Learn that the watch cannot go on, which nobody has asked for."""
        violated("watch", f"{self.name} is refused: {error!r}")

    def _begin(self, parts: Sequence[Part]) -> None:
        view = self.host.core.routing.views[0]
        self._watch = Following(view, self._prefixes, parts, self._paging)
        self.host.begin(self, self._watch)

    def _count_moves(self) -> None:
        """Count the groups that have ended since the last page."""
        groups = self.groups
        self._cluster.coverage.count("watches_moved", sum(group not in groups for group in self._followed))
        self._followed = groups

    def _read_next(self) -> None:
        """Read a page, and note that all of it was told."""
        self._is_reading = bool(self._pages)
        if not self._pages:
            return
        watch, page = self._watch, self._pages.popleft()
        self.host.step(PageTaken(page))

        def told() -> None:
            if watch is not self._watch:
                return
            self._take(page)
            self.host.step(PageTold(page))
            self._read_next()
            if self._quiet_pages is None and self._random.random() < SLEEPINESS:
                self._sleep()

        slowness_s = self._slowness_s if self._quiet_pages is None else 0.0
        self._cluster.scheduler.after(self._random.uniform(0.01, 0.01 + slowness_s), told)

    def _take(self, page: WatchPage) -> None:
        group = page.group
        for identity, entry in rows_in(page.reply):
            if not identity.startswith(tuple(self._prefixes)):
                violated("watch", f"{group.node} tells {self.name} of {identity!r}, which it does not watch")
            if not group.mask >> partition_in(storage_key_of(identity), self._cluster.plan.shape.partitions) & 1:
                violated("watch", f"{group.node} tells {self.name} of {identity!r}, which is of no partition asked for")
            self.told[identity] = entry

    def _sleep(self) -> None:
        """End the watch, and go on with its token after a while."""
        if self._watch is None:
            return
        watch, self._watch = self._watch, None
        self._followed = []
        self.host.cancel(watch)
        self._pages.clear()
        self._is_reading = False
        parts = watch.told_parts
        self._cluster.coverage.count("watch_cursors_kept", bool(parts))
        self.host.hang_up()
        self._cluster.scheduler.after(self._random.uniform(0.2, 3.0), lambda: self._begin(parts))


def rows_in(reply: WatchReply) -> list[tuple[bytes, bytes | None]]:
    """Return the identities and entries that an answer tells."""
    return cast("list[tuple[bytes, bytes | None]]", reply.rows)
