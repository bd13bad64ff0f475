"""`Connection`: requests to one node, many at a time.

Natural batching: requests gather while the event loop runs other tasks, and leave as one frame when it comes round.
Nothing waits for a timer. A request ends with its answer, with its deadline, or with the link; in the last case
`LinkLost` says whether it may have reached the node.

A node from which nothing has come for `SUSPECT_S` while it owes answers, or for several times as long as its answers
take when it is busy, is *suspected* until it speaks again: other nodes are asked first, and what waits for it ends with
`NoAnswer`, to be asked elsewhere: reads at once, writes when the node would not begin them any more. What a node may
answer whenever it likes (`poll`) makes nobody suspect it.

How many requests are in flight is bounded (`window`).

A node that is about to stop says so (`GoAway`). It gets nothing new then, and the link is closed once it owes no
answer, also of requests nobody waits for any more: others may have to ask it what became of them.
"""

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from crdtkv.client.window import Window
from crdtkv.errors import CrdtkvError, Overloaded, ProtocolError, error_from_wire
from crdtkv.links.dialer import Dialer
from crdtkv.links.link import Link
from crdtkv.wire.codec import Frame, check_outgoing
from crdtkv.wire.messages import EntriesReply, ErrorReply, GetRequest, GoAway, Hello, Message
from crdtkv.wire.outgoing import Outgoing

SWEEP_S = 0.1
SUSPECT_S = 0.25
SUSPECT_ROUND_TRIPS = 4
SUSPECT_MAX_S = 2.0
#: How many reads go in one message: a frame has room for as many keys, however long they are.
READS_A_MESSAGE = 4096
# The node answers at the deadline; the client waits this much longer for that answer.
GRACE_S = 0.5


_Reads = list[tuple[bytes, "asyncio.Future[Any]"]]


class LinkLost(CrdtkvError):
    """The link broke before the answer; `was_sent` tells whether the request may have arrived. Internal."""

    def __init__(self, was_sent: bool) -> None:
        super().__init__("the link to the node broke")
        self.was_sent = was_sent


class NoAnswer(CrdtkvError):
    """The deadline passed without an answer. Internal."""


class Connection:
    """The client's side of the link to one node; reconnects for ever once started."""

    def __init__(self, host: str, port: int, hello: Hello, saw_epoch: Callable[[int], None]) -> None:
        self.address = f"{host}:{port}"
        self._hello = hello
        self.saw_epoch = saw_epoch
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._dialer = Dialer(self._make_link, host, port)
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._polls: dict[int, asyncio.Future[Any]] = {}
        #: Requests that nobody waits for any more, and that the node has not answered.
        self._owed: set[int] = set()
        #: Until when, the first and last id of requests, and from when on they do not wait for a suspected node.
        self._deadlines: list[tuple[float, int, int, float]] = []
        self._quiet_since = 0.0
        self.is_suspected = False
        self._is_leaving = False
        self._outgoing: list[Message] = []
        self._reads: dict[tuple[str, int], _Reads] = {}
        self._unsent_reads = 0
        self.window = Window(self._in_flight)
        #: The request whose time is measured, and when it was sent.
        self._probe = 0
        self._probe_sent_at = 0.0
        self._sweep_due_at = 0.0
        self._is_flush_due = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._opened = asyncio.Event()
        self.refused: CrdtkvError | None = None
        self.server: Hello | None = None

    @property
    def is_responsive(self) -> bool:
        """Whether requests can be sent now to a node that answers."""
        return not self.is_suspected and self.is_open

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent now."""
        return self._link is not None and self._link.is_open and not self._is_leaving

    def start(self) -> None:
        """Begin to connect."""
        self._dialer.start()

    async def opened(self) -> None:
        """Wait until the link stands, or the node has refused it."""
        await self._opened.wait()

    def next_id(self) -> int:
        """Return the id for the next request on this connection."""
        self._last_id += 1
        return self._last_id

    def clock_ms(self, at_s: float) -> int:
        """Return what the node's monotonic clock shows, at least, at a time by this one, in milliseconds."""
        ahead_s = self._link.clock_ahead_s if self._link is not None else 0.0
        return int((at_s + ahead_s) * 1000)

    def ask(self, request: Message, timeout_s: float, patience_s: float = math.inf) -> "asyncio.Future[Any]":
        """Send a request (its first field is an id from `next_id`); the future brings the answer.

        For `patience_s` at least it waits also for a node that is suspected. The future raises what the node answered,
        `NoAnswer` or `LinkLost`.

        Raises:
            InvalidRequest, ValueTooLarge: nobody could decode it. So it fails alone, and not with all in its frame.
        """
        check_outgoing(request)
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.is_open:
            future.set_exception(LinkLost(was_sent=False))
            return future
        self._waiting[request[0]] = future  # type: ignore[index]
        self._expect(request[0], request[0], timeout_s, patience_s)  # type: ignore[arg-type]
        self._outgoing.append(request)
        self._flush_soon()
        return future

    def ask_entry(self, identity: bytes, level: str, timeout_ms: int) -> "asyncio.Future[Any]":
        """Read one key, together with all others that are read now; the future brings the entry's bytes, or None.

        It raises as that of `ask` does.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.is_open:
            future.set_exception(LinkLost(was_sent=False))
            return future
        group = self._reads.get((level, timeout_ms))
        if group is None:
            self._reads[level, timeout_ms] = [(identity, future)]
        else:
            group.append((identity, future))
        self._unsent_reads += 1
        if not self._is_flush_due:
            self._flush_soon()
        return future

    def poll(self, request: Message) -> "asyncio.Future[Any]":
        """Send a request that the node may answer when it has something to tell; the caller sets the deadline.

        The future raises what the node answered, or `LinkLost`. Raises as `ask` does.
        """
        check_outgoing(request)
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.is_open:
            future.set_exception(LinkLost(was_sent=False))
            return future
        number: int = request[0]  # type: ignore[assignment]
        self._polls[number] = future
        future.add_done_callback(lambda _: self._polls.pop(number, None))
        self._outgoing.append(request)
        self._flush_soon()
        return future

    async def close(self) -> None:
        """End the link; requests in flight fail with `LinkLost`."""
        await self._dialer.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._link is not None:
            self._link.close("the client closes")
        self._fail_waiting()

    # What the link tells (`LinkUser`):

    def greeted(self, link: Link, hello: Hello) -> None:
        """See `LinkUser.greeted`."""
        if hello.role != "node":
            raise ProtocolError(f"{self.address} is no node")
        if self._hello.cluster and hello.cluster != self._hello.cluster:
            raise ProtocolError(f"{self.address} belongs to cluster {hello.cluster!r}, not {self._hello.cluster!r}")
        self._link = link
        self.server = hello
        self._opened.set()

    def frame(self, link: Link, frame: Frame) -> None:
        """See `LinkUser.frame`."""
        take = self._waiting.pop
        self._quiet_since = time.monotonic()
        self.is_suspected = False
        for message in frame.messages:
            if type(message) is GoAway:
                self._is_leaving = True
                continue
            if type(message) is EntriesReply:
                if self._owed:
                    self._owed.difference_update(range(message.id, message.id + len(message.entries)))
                if message.id <= self._probe < message.id + len(message.entries):
                    self._measure()
                for number, entry in enumerate(message.entries, message.id):
                    future = take(number, None)
                    if future is not None and not future.done():
                        future.set_result(entry)
                continue
            self._take_answer(message)
        self.saw_epoch(frame.epoch)
        self.window.give()
        if self._is_leaving:
            self._leave_when_done()

    def unsent(self, link: Link, outgoing: Outgoing) -> None:
        """See `LinkUser.unsent`: requests that could not be sent end as if the node had refused them."""
        for answer in outgoing.returned:
            self._take_answer(answer)

    def beat(self, link: Link) -> None:
        """See `LinkUser.beat`."""

    def lost(self, link: Link, reason: str) -> None:
        """See `LinkUser.lost`."""
        if reason.startswith("protocol error") and link.hello is None:
            self.refused = ProtocolError(f"{self.address}: {reason.removeprefix('protocol error: ')}")
            self._opened.set()
        if self._link in (None, link):
            self._link = None
            self.is_suspected = self._is_leaving = False
            self._quiet_since = time.monotonic()  # the next link has not been silent
            self._fail_waiting()
            self._dialer.lost()

    def _in_flight(self) -> int:
        return len(self._waiting) + len(self._owed) + self._unsent_reads

    def _measure(self) -> None:
        self._probe = 0
        self.window.measured(self._quiet_since - self._probe_sent_at)

    def _take_answer(self, message: Message) -> None:
        """Take an answer to a request that was sent alone."""
        number: int = message[0]  # type: ignore[assignment]
        error = error_from_wire(message.code, message.fields) if type(message) is ErrorReply else None
        if error is not None and number == 0:
            self.refused = error  # the link itself is not wanted
            return
        if number == self._probe:
            self._measure()
        self._owed.discard(number)
        future = self._waiting.pop(number, None) or self._polls.get(number)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(message)
            return
        if type(error) is Overloaded:
            self.window.refused(self._quiet_since)
        future.set_exception(error)

    def _make_link(self) -> Link:
        return Link(self, self._hello, lambda: 0)

    def _leave_when_done(self) -> None:
        """Close the link once the node owes no answer; polls, which it may owe for long, go elsewhere at once."""
        if self._link is not None and not (self._waiting or self._owed or self._outgoing or self._reads):
            self._link.close("the node is about to stop")

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send everything that has gathered, reads of one level and deadline as one message."""
        self._is_flush_due = False
        outgoing, self._outgoing = self._outgoing, []
        reads, self._reads = self._reads, {}
        self._unsent_reads = 0
        for (level, timeout_ms), group in _parts_of(reads):
            first = self._last_id + 1
            self._last_id += len(group)
            for number, (_, future) in enumerate(group, first):
                self._waiting[number] = future
            self._expect(first, self._last_id, timeout_ms / 1000 + GRACE_S, patience_s=0.0)
            outgoing.append(GetRequest(first, [identity for identity, _ in group], level, timeout_ms))
        if self._link is not None and outgoing:
            self._link.send(outgoing)
        if self._is_leaving:
            self._leave_when_done()

    def _fail_waiting(self) -> None:
        unsent = {message[0] for message in self._outgoing}
        self._outgoing.clear()
        self._owed.clear()
        self._probe = self._unsent_reads = 0
        self.window.fail(lambda: LinkLost(was_sent=False))
        waiting, self._waiting = self._waiting | self._polls, {}
        reads, self._reads = self._reads, {}
        for number, future in waiting.items():
            if not future.done():
                future.set_exception(LinkLost(was_sent=number not in unsent))
        for _, future in (read for group in reads.values() for read in group):
            if not future.done():
                future.set_exception(LinkLost(was_sent=False))

    def _expect(self, first: int, last: int, timeout_s: float, patience_s: float) -> None:
        """Let the requests of these ids fail when the time has passed."""
        now = time.monotonic()
        heapq.heappush(self._deadlines, (now + timeout_s, first, last, now + patience_s))
        if not self._probe:
            self._probe, self._probe_sent_at = first, now
        if self._sweeper is None:
            self._quiet_since = now
            self._sweep_soon(now)

    def _sweep_soon(self, now: float) -> None:
        self._sweep_due_at = now + SWEEP_S
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, first, last, _ = heapq.heappop(self._deadlines)
            self._give_up(first, last)
        if now - self._sweep_due_at > SWEEP_S:
            self._quiet_since = now  # it is this process that did not run: answers may wait to be read
        patience_s = min(max(SUSPECT_S, SUSPECT_ROUND_TRIPS * self.window.round_trip_s), SUSPECT_MAX_S)
        if self._waiting and now - self._quiet_since > patience_s:
            self.is_suspected = True
            for _, first, last, patient_until in self._deadlines:
                if now >= patient_until:
                    self._give_up(first, last)
        self.window.give()
        if self._waiting:
            self._sweep_soon(now)
        else:
            self._deadlines.clear()
            if self._is_leaving:
                self._leave_when_done()

    def _give_up(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            future = self._waiting.pop(number, None)
            if number == self._probe:
                self._probe = 0
            if future is not None:
                self._owed.add(number)
                if not future.done():
                    future.set_exception(NoAnswer())


def _parts_of(reads: dict[tuple[str, int], _Reads]) -> Iterator[tuple[tuple[str, int], _Reads]]:
    """Yield the reads of each level and deadline, as many at a time as one message may name."""
    for kind, group in reads.items():
        for start in range(0, len(group), READS_A_MESSAGE):
            yield kind, group[start : start + READS_A_MESSAGE]
