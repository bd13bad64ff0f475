"""`Stepper`: the loop around a `NodeCore`, and the fsyncs for which its held effects wait.

Events collect in an inbox; one step is scheduled after all callbacks that are ready in the event loop now, so events
that arrived together are handled together. `GroupCommit` decides which effects may leave and when to sync; the stepper
runs each fsync, in a worker thread. If the disk fails, no more effects leave, and the node stops.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from crdtkv.errors import StorageError
from crdtkv.node.core import NodeCore
from crdtkv.node.kernel.events import Durable, Event, Now
from crdtkv.node.kernel.group_commit import GroupCommit
from crdtkv.node.kernel.world import World, carry_out, release
from crdtkv.storage.store import Store

#: How long the loop itself waits for an fsync before it continues with other work.
PATIENCE_S = 0.002

log = logging.getLogger("crdtkv.node")


def clock(last_step_s: float = 0.0) -> Now:
    """Read the clocks."""
    return Now(time.monotonic(), time.time_ns() // 1_000_000, last_step_s)


class Stepper:
    """Feeds one core."""

    def __init__(self, core: NodeCore, store: Store, world: World, failed: Callable[[StorageError], None]) -> None:
        self._core = core
        self._store = store
        self._world = world
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._inbox: list[Event] = []
        self._is_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._group = GroupCommit()
        self._is_stopped = False
        self._last_step_s = 0.0
        self._disk = ThreadPoolExecutor(1, "fsync")
        self._synced = asyncio.Event()

    def put(self, event: Event) -> None:
        """Add an event for the core; from the loop's thread only."""
        self._inbox.append(event)
        if not self._is_scheduled and not self._is_stopped:
            self._is_scheduled = True
            self._loop.call_soon(self._step)

    async def stop(self) -> None:
        """Make no more steps, and wait until commits in progress are durable."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        while self._group.is_syncing:
            self._synced.clear()
            await self._synced.wait()
        self._disk.shutdown()

    def _step(self) -> None:
        self._is_scheduled = False
        if self._is_stopped:
            return
        events, self._inbox = self._inbox, []
        now = clock(self._last_step_s)
        try:
            effects = self._core.handle(events, now)
            self._last_step_s = time.monotonic() - now.monotonic_s
            carry_out(effects, self._world)
        except StorageError as error:
            self._fail(error)
            return
        for ready in self._group.stepped(effects):
            release(ready, self._world)
        self._sync()
        self._arm()

    def _sync(self) -> None:
        if not self._group.begin_sync():
            return
        began = time.perf_counter()
        syncing = self._disk.submit(self._store.sync)
        try:
            # Usually the fsync ends before the loop would run again, and the answer leaves at once.
            syncing.exception(timeout=PATIENCE_S)
        except TimeoutError:
            syncing.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._after_sync, done, began))
        else:
            self._after_sync(syncing, began)

    def _after_sync(self, done: "Future[None]", began: float) -> None:
        self._synced.set()
        error = done.exception()
        for ready in self._group.sync_ended(is_durable=error is None):
            release(ready, self._world)
        if error is not None:
            self._fail(error if isinstance(error, StorageError) else StorageError(str(error)))
            return
        self._core.stats.commits.observe(time.perf_counter() - began)
        # The core need not act on this event, only handle it before any other: it causes no step of its own.
        self._inbox.append(Durable(self._group.durable))
        self._sync()

    def _arm(self) -> None:
        at_s = self._core.next_timer()
        if at_s is None:
            return
        if self._timer is not None:
            if self._timer_at <= at_s:
                return
            self._timer.cancel()
        self._timer_at = at_s
        self._timer = self._loop.call_later(max(0.0, at_s - time.monotonic()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        if not self._is_scheduled:
            self._is_scheduled = True
            self._step()

    def _fail(self, error: StorageError) -> None:
        self._is_stopped = True
        self._group.fail()
        log.critical("the disk failed, the node stops: %s", error)
        self._failed(error)
