"""`Watch`: an asynchronous iterator over the keys with some prefixes: the initial state, then changes.

It returns a `Change` for every stored key (tombstones included), then `CAUGHT_UP`, then a `Change` whenever a key
changes. No key is skipped, but intermediate entries of a key may be, and a key may be returned twice. `token` is the
position of the watch.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from crdtkv.client.change import CAUGHT_UP, Change, Mark
from crdtkv.client.codecs import Codec
from crdtkv.client.core.events import PageDelivered, PageTaken
from crdtkv.client.core.subscription import Subscription, WatchPage
from crdtkv.client.request_executor import RequestExecutor
from crdtkv.client.watch_token import parts_in, to_token
from crdtkv.crdt.entry import Entry
from crdtkv.errors import CrdtkvError

V = TypeVar("V")


class Watch(Generic[V]):
    """A watch of some keys, returned by `Bucket.watch`.

    It has no timeout: it also waits while no node is reachable. Leave `async with`, or call `aclose`, to end it. A
    canceled wait for the next change loses no change.
    """

    def __init__(
        self, executor: RequestExecutor, prefixes: Sequence[bytes], codecs: Mapping[str, Codec[Any]], token: str | None
    ) -> None:
        self._executor = executor
        self._prefixes = prefixes
        self._codecs = codecs
        view = executor.view
        parts = parts_in(token, prefixes, view.ring.partitions) if token is not None else []
        self._subscription = Subscription(view, prefixes, parts)
        self._pages: asyncio.Queue[WatchPage | CrdtkvError | None] = asyncio.Queue()
        self._end: asyncio.Future[Any] | None = None
        self._is_closed = False
        self._rows: deque[Any] = deque()
        self._page: WatchPage | None = None
        self._is_marked = False

    @property
    def token(self) -> str:
        """The position behind the last change that was returned, as text for `Bucket.watch(token=…)`.

        A watch with the token may return some of the earlier changes again. Store a token after its changes have been
        processed.
        """
        return to_token(self._prefixes, self._subscription.partitions, self._subscription.delivered_parts)

    def __aiter__(self) -> "Watch[V]":
        return self

    async def __anext__(self) -> Change[V] | Literal[Mark.CAUGHT_UP]:
        """Wait for the next change, or for `CAUGHT_UP`.

        Raises:
            ClosedError: the client was closed.
            UnknownBucket: the bucket is not declared.
            InvalidRequest: this is not the client's event loop, or the nodes refuse the watch.
        """
        self._executor.host.check_loop()
        self._start()
        while not self._rows:
            if self._subscription.is_current and not self._is_marked:
                self._is_marked = True
                return CAUGHT_UP
            page = await self._pages.get()
            if isinstance(page, CrdtkvError):
                await self.aclose()
                raise page
            if page is None:
                self._pages.put_nowait(None)
                raise StopAsyncIteration
            self._executor.host.step([PageTaken(page)])
            self._page = page
            self._rows.extend(page.reply.rows)
            self._after_row()
        identity, encoded = self._rows.popleft()
        self._after_row()
        return self._change(identity, encoded)

    async def __aenter__(self) -> "Watch[V]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the watch: a waiting iteration ends with `StopAsyncIteration`. `token` stays valid."""
        self._executor.host.check_loop()
        self._rows.clear()
        self._page = None
        if self._end is not None and not self._is_closed:
            self._executor.host.cancel(self._subscription)
        self._is_closed = True
        while not self._pages.empty():
            self._pages.get_nowait()
        self._pages.put_nowait(None)

    def _start(self) -> None:
        """Begin the subscription, unless it has begun or the watch is closed."""
        if self._end is None and not self._is_closed:
            self._end = self._executor.host.begin(self._subscription, self._pages.put_nowait)
            self._end.add_done_callback(self._ended)

    def _ended(self, end: "asyncio.Future[Any]") -> None:
        error = end.exception()
        assert isinstance(error, CrdtkvError), "a watch ends with an error only"
        self._pages.put_nowait(error)

    def _after_row(self) -> None:
        if not self._rows and self._page is not None:
            self._executor.host.step([PageDelivered(self._page)])
            self._page = None

    def _change(self, identity: bytes, encoded: bytes | None) -> Change[V]:
        entry = Entry.from_bytes(encoded) if encoded is not None else None
        if entry is not None:
            self._executor.observations.observe(entry.state.newest())
        return Change(identity, entry, self._codecs)
