"""`ClientHost`: the asyncio host of `ClientCore`: its links, its timer, and the futures that callers await.

The host passes all calls that begin in one iteration of the event loop to the core together. It makes no decisions: the
core decides which node gets a request and how a call ends.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from random import SystemRandom
from typing import Any

from crdtkv.client.connection import Connection
from crdtkv.client.core.calls import Call
from crdtkv.client.core.client_core import ClientCore
from crdtkv.client.core.effects import Break, Dial, Effects, HangUp, Move
from crdtkv.client.core.events import Canceled, Closed, Event
from crdtkv.errors import ClosedError, InvalidRequest
from crdtkv.wire.messages import Hello

log = logging.getLogger("crdtkv.client")

OnPage = Callable[[Any], None]


class ClientHost:
    """Runs one client core in the event loop that is running now; nodes get `hello` as the client's handshake."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._loop = asyncio.get_running_loop()
        self.core = ClientCore(SystemRandom())
        self.on_move: Callable[[str, str], None] | None = None
        self._connections: dict[int, Connection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._begun: list[Call] = []
        self._on_page: dict[Call, OnPage] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = math.inf

    def check_loop(self) -> None:
        """Check that the running event loop is the one in which the client was connected.

        Raises:
            InvalidRequest: it is another event loop; nothing was sent.
            ClosedError: it is another event loop, and the loop of the client is closed; nothing was sent.
        """
        if asyncio.get_running_loop() is self._loop:
            return
        if self._loop.is_closed():
            raise ClosedError("the event loop of this client is closed: connect again in the current event loop")
        raise InvalidRequest("this client belongs to another event loop: connect in the loop that uses it")

    def begin(self, call: Call, on_page: OnPage | None = None) -> "asyncio.Future[Any]":
        """Begin a call; return a future of its result. `on_page` is called with each page of a scan or watch.

        A caller that stops waiting for the future must `cancel` the call.

        Raises:
            InvalidRequest, ClosedError: the errors of `check_loop`.
        """
        if asyncio.get_running_loop() is not self._loop:
            self.check_loop()
        future = call.caller = self._loop.create_future()
        if on_page is not None:
            self._on_page[call] = on_page
        if not self._begun:
            self._loop.call_soon(self._begin_all)
        self._begun.append(call)
        return future

    async def run(self, call: Call, on_page: OnPage | None = None) -> Any:
        """Begin a call and await it; return its result or raise its error. Canceling the task cancels the call."""
        try:
            return await self.begin(call, on_page)
        except asyncio.CancelledError:
            self.cancel(call)
            raise

    def cancel(self, call: Call) -> None:
        """Cancel a call: the core does not retry it, and its future gets no result."""
        self._on_page.pop(call, None)
        if self._begun:
            self._begin_all()
        self.step([Canceled(call)])

    async def close(self) -> None:
        """Close all links and end all calls. Raises the errors of `check_loop`."""
        self.check_loop()
        self.step([Closed()])
        await asyncio.gather(*self._closing)

    def step(self, events: Iterable[Event]) -> None:
        """Pass events to the core and carry out its effects."""
        self.carry_out(self.core.handle(events, time.monotonic()))

    def _begin_all(self) -> None:
        begun, self._begun = self._begun, []
        if begun:
            self.carry_out(self.core.begin(begun, time.monotonic()))

    def carry_out(self, effects: Effects) -> None:
        """Carry out effects: send messages, change links, deliver pages, and set the futures of ended calls."""
        for number, messages in effects.sends.items():
            self._connections[number].send(messages)
        for change in effects.changes:
            self._change(change)
        if self._on_page:
            self._deliver_pages(effects)
        for call in effects.ended:
            future = call.caller
            if not future.done():
                if call.error is None:
                    future.set_result(call.result)
                else:
                    future.set_exception(call.error)
        wake_at = self.core.timers.next_at
        if wake_at < self._wake_at:
            self._set_timer(wake_at)

    def _deliver_pages(self, effects: Effects) -> None:
        for call, page in effects.pages:
            on_page = self._on_page.get(call)
            if on_page is not None:
                on_page(page)
        for call in effects.ended:
            self._on_page.pop(call, None)

    def _change(self, change: Dial | Break | HangUp | Move) -> None:
        match change:
            case Dial(number):
                connection = self._connections[number] = Connection(self, change, self._hello)
                connection.start()
            case Break(number):
                self._connections[number].drop("the node is stopping")
            case HangUp(number):
                closing = self._loop.create_task(self._connections.pop(number).close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            case Move(before, after):
                log.warning("requests now go to data center %s instead of %s", after, before)
                if self.on_move is not None:
                    self.on_move(before, after)

    def _set_timer(self, wake_at: float) -> None:
        """Wake the core at `wake_at`. A timer that is set too early is not moved: it is set again when it has run."""
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = wake_at
        self._timer = self._loop.call_later(max(0.0, wake_at - time.monotonic()), self._wake)

    def _wake(self) -> None:
        self._timer, self._wake_at = None, math.inf
        self.step(())
