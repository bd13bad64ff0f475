"""`Following`: which replicas a watch follows for which partitions, and the polls there.

Every partition is followed at one replica of the client's data center: one that counts and is linked. What is followed
at one node from one cursor is a *group*, with one poll at a time. A group whose node is lost, or refuses because it
does not count any more, ends, and its partitions begin at other replicas, from an empty cursor there: keys come again,
none is skipped. When no replica can be reached, that is tried again for ever.

What was fetched and not taken yet is bounded: each group holds one page back until the one before it was taken.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crdtkv.client.connection import LinkLost
from crdtkv.client.router import Router
from crdtkv.client.watch_token import Part
from crdtkv.errors import ClosedError, Overloaded, Unavailable
from crdtkv.ring.partition_set import each_in, mask_of, to_bits
from crdtkv.wire.messages import WatchReply, WatchRequest

PAGE_ROWS = 500
#: How long a poll waits for a change, and how long an answer may take beyond that: links tell sooner of a dead node.
WAIT_S = 10.0
ANSWER_S = 10.0
#: How long a node that was lost or has refused is passed over, and when partitions without a replica are placed again.
AVOID_S = 1.0
RETRY_S = 0.25
#: How long a watch that goes on from a token waits for links to the nodes it names.
LINKS_S = 1.0
#: Groups at one node; with one more, all of them begin anew as one.
GROUPS_MAX = 4


@dataclass(eq=False, slots=True)
class Group:
    """Partitions (a mask) that are followed at one node. `told` is the cursor up to which everything was taken."""

    node: str
    mask: int
    told: bytes = b""
    is_current: bool = False
    task: "asyncio.Task[None] | None" = None


class Page(NamedTuple):
    """What one poll brought. `is_current` says that it brings its group up to where the node was when it began."""

    group: Group
    rows: list[object]
    cursor: bytes
    is_current: bool

    def taken(self) -> None:
        """Note that all rows have been told."""
        self.group.told = self.cursor
        self.group.is_current = self.is_current


class Following:
    """The groups of one watch."""

    def __init__(self, router: Router, prefixes: Sequence[bytes], parts: Sequence[Part]) -> None:
        """Prepare to follow all partitions, those in `parts` from their cursors."""
        self._router = router
        self._view = router.views[0]
        assert self._view.ring is not None
        self.partitions = self._view.ring.partitions
        self._prefixes: list[object] = list(prefixes)
        self._to_begin = list(parts)
        self._unplaced = (1 << self.partitions) - 1
        self._groups: list[Group] = []
        self._avoided: dict[str, float] = {}
        self._has_lost = asyncio.Event()
        self._pages: asyncio.Queue[Page | Exception | None] = asyncio.Queue(1)
        self._keeper: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_current(self) -> bool:
        """Whether every partition was told up to where its replica was when it began to be followed."""
        return not self._unplaced and all(group.is_current for group in self._groups)

    @property
    def parts(self) -> list[Part]:
        """Up to where everything was told and taken; what is not named begins with its initial state."""
        followed = [Part(group.node, group.mask, group.told) for group in self._groups if group.told]
        return followed + self._to_begin

    def start(self) -> None:
        """Begin to follow, unless this has begun already or is closed."""
        if self._keeper is None and not self._is_closed:
            self._keeper = asyncio.create_task(self._keep())

    async def next_page(self) -> Page | None:
        """Wait for a page, None once this is closed.

        Raises:
            CrdtkvError: it cannot go on: the request is wrong, or the client is closed.
        """
        page = await self._pages.get()
        if isinstance(page, Exception):
            raise page
        if page is None:
            self._pages.put_nowait(None)
        return page

    async def close(self) -> None:
        """Follow nothing any more."""
        self._is_closed = True
        tasks = [task for task in (self._keeper, *(group.task for group in self._groups)) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while not self._pages.empty():
            self._pages.get_nowait()
        self._pages.put_nowait(None)

    async def _keep(self) -> None:
        """See to it that every partition is followed somewhere."""
        try:
            await self._links()
            for part in self._to_begin:
                self._begin(part.node, part.mask, part.cursor)
            self._to_begin = []
            while not self._router.is_closed:
                self._has_lost.clear()
                self._place()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S if self._unplaced else None):
                        await self._has_lost.wait()
            raise ClosedError("the client is closed")
        except Exception as error:
            await self._pages.put(error)

    async def _links(self) -> None:
        """Wait for links to the nodes that the token names: elsewhere everything would be told again."""
        connections = [self._view.connections.get(part.node) for part in self._to_begin]
        opening = [asyncio.ensure_future(connection.opened()) for connection in connections if connection is not None]
        if opening:
            _, pending = await asyncio.wait(opening, timeout=LINKS_S)
            for task in pending:
                task.cancel()

    def _place(self) -> None:
        """Let what nobody is followed for begin at replicas that count and are linked."""
        ring = self._view.ring
        assert ring is not None
        now = asyncio.get_running_loop().time()
        linked = {
            name: connection.is_responsive
            for name, connection in self._view.linked.items()
            if name not in ring.learners and self._avoided.get(name, 0.0) <= now
        }
        chosen: dict[str, list[int]] = {}
        for partition in each_in(self._unplaced):
            replicas = [name for name in ring.replicas_of(partition) if name in linked]
            if replicas:
                # `max` takes the first of equals: the first replica, unless others are suspected less.
                chosen.setdefault(max(replicas, key=linked.__getitem__), []).append(partition)
        for node, partitions in chosen.items():
            mask = mask_of(partitions)
            others = [group for group in self._groups if group.node == node]
            if len(others) >= GROUPS_MAX:
                for group in others:
                    assert group.task is not None
                    group.task.cancel()
                    self._groups.remove(group)
                    mask |= group.mask
            self._begin(node, mask, b"")

    def _begin(self, node: str, mask: int, cursor: bytes) -> None:
        group = Group(node, mask, cursor)
        self._unplaced &= ~mask
        self._groups.append(group)
        group.task = asyncio.create_task(self._follow(group))

    async def _follow(self, group: Group) -> None:
        """Poll until the node is lost; the next page is fetched when the one before was taken."""
        try:
            await self._poll_on(group)
        except (LinkLost, TimeoutError, Unavailable):
            self._groups.remove(group)
            self._unplaced |= group.mask
            self._avoided[group.node] = asyncio.get_running_loop().time() + AVOID_S
            self._has_lost.set()
        except Exception as error:
            await self._pages.put(error)

    async def _poll_on(self, group: Group) -> None:
        connection = self._view.linked.get(group.node)
        if connection is None:
            raise LinkLost(was_sent=False)
        bits = to_bits(group.mask, self.partitions)
        cursor = group.told
        goal: int | None = None
        is_current = False
        while True:
            wait_s = WAIT_S if is_current else 0.0
            number = connection.next_id()
            request = WatchRequest(number, self._prefixes, bits, cursor, PAGE_ROWS, int(wait_s * 1000))
            try:
                async with asyncio.timeout(wait_s + ANSWER_S):
                    reply: WatchReply = await connection.poll(request)
            except Overloaded:
                await asyncio.sleep(RETRY_S)
                continue
            if goal is None:
                goal = reply.head
            is_current = is_current or (reply.position is not None and reply.position >= goal)
            cursor = reply.cursor
            await self._pages.put(Page(group, reply.rows, cursor, is_current))
