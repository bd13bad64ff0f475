"""`NodeLink`: requests to one node, many at a time.

Natural batching: reads that begin in the same step leave as one message, and everything that leaves in a step as one
frame. Nothing waits for a timer. A request ends with its answer, with its deadline, or with the link; in the last case
`LinkLost` says whether it may have reached the node. What a node may answer whenever it likes (`poll`) has no deadline
here, and makes nobody suspect it (`silence`). How many requests are in flight is bounded (`window`).

A node that is about to stop says so (`GoAway`). It gets nothing new then, and the link is closed once it owes no
answer, also of requests nobody waits for any more: others may have to ask it what became of them.
"""

import math
from collections.abc import Callable
from heapq import heappush
from typing import Any, Protocol

from crdtkv.client.core.effects import Break
from crdtkv.client.core.failures import LinkLost, NoAnswer
from crdtkv.client.core.silence import Silence
from crdtkv.client.core.step import Step
from crdtkv.client.core.timers import Timer, Timers
from crdtkv.client.core.window import Window
from crdtkv.errors import CrdtkvError, Overloaded, error_from_wire
from crdtkv.wire.codec import check_outgoing
from crdtkv.wire.messages import EntriesReply, ErrorReply, GetRequest, GoAway, Hello, Message

#: How many reads go in one message: a frame has room for as many keys, however long they are.
READS_A_MESSAGE = 4096
#: The node answers at the deadline; the client waits this much longer for that answer.
GRACE_S = 0.5


class Asker(Protocol):
    """Who has asked, and is told the end."""

    def answered(self, reply: Any) -> None:
        """Take the answer: a message, or of a read the entry's bytes or None."""
        ...

    def failed(self, error: CrdtkvError) -> None:
        """Take what the node answered instead, or `NoAnswer`, or `LinkLost`."""
        ...


class Reader(Asker, Protocol):
    """Who reads one key."""

    identity: bytes


class NodeLink:
    """The link to one address: whether it stands, and what is in flight on it."""

    def __init__(
        self, number: int, node: str, address: tuple[str, int], step: Step, timers: Timers, changed: Callable[[], None]
    ) -> None:
        self.number = number
        self.node = node
        self.address = address
        self._step = step
        self._timers = timers
        #: Called whenever another node may be the better one for a request.
        self._changed = changed
        self.server: Hello | None = None
        self.refused: CrdtkvError | None = None
        #: Whether it has stood once, or was refused.
        self.was_opened = False
        #: Whether requests can be sent now.
        self.is_open = False
        self._is_up = self._is_leaving = False
        #: The newest epoch that this client knows of the node's data center; infinite if it need not know.
        self.epoch = math.inf
        self._clock_ahead_s = 0.0
        self._last_id = 0
        self._waiting: dict[int, Asker] = {}
        self._polls: dict[int, Asker] = {}
        #: Requests that nobody waits for any more, and that the node has not answered.
        self._owed: set[int] = set()
        #: The reads of this step by level and deadline: what is read, and for whom.
        self._reads: dict[tuple[str, int], tuple[list[object], list[Reader]]] = {}
        self._silence = Silence()
        self.window = Window(timers)
        #: The request whose time is measured, and when it was sent.
        self._probe = 0
        self._probe_sent_at = 0.0
        self._sweeper: Timer | None = None

    @property
    def is_suspected(self) -> bool:
        """Whether the node does not answer."""
        return self._silence.is_suspected

    @property
    def is_responsive(self) -> bool:
        """Whether requests can be sent now to a node that answers."""
        return self.is_open and not self._silence.is_suspected

    def clock_ms(self, at_s: float) -> int:
        """Return what the node's monotonic clock shows, at least, at a time by this one, in milliseconds."""
        return int((at_s + self._clock_ahead_s) * 1000)

    def continue_ids_of(self, other: "NodeLink") -> None:
        """Use no id again that another link to the same node has used: no late answer is taken for another one."""
        self._last_id = other._last_id

    def next_id(self) -> int:
        """Return the id for the next request on this link."""
        self._last_id += 1
        return self._last_id

    def ask(self, request: Message, asker: Asker, timeout_s: float, patience_s: float = math.inf) -> None:
        """Send a request (its first field is an id from `next_id`); `asker` is told how it ends.

        For `patience_s` at least it waits also for a node that is suspected.

        Raises:
            LinkLost: the link does not stand; nothing was sent.
            InvalidRequest, ValueTooLarge: nobody could decode it. So it fails alone, and not with all in its frame.
        """
        check_outgoing(request)
        if not self.is_open:
            raise LinkLost(was_sent=False)
        number: int = request[0]  # type: ignore[assignment]
        self._waiting[number] = asker
        self.window.used += 1
        self._expect(number, number, timeout_s, patience_s)
        self._step.effects.sends.setdefault(self.number, []).append(request)

    def read(self, reader: Reader, level: str, timeout_ms: int) -> None:
        """Read one key, together with all others that are read in this step.

        Raises:
            LinkLost: the link does not stand; nothing was sent.
        """
        if not self.is_open:
            raise LinkLost(was_sent=False)
        if not self._reads:
            self._step.at_end.append(self._send_reads)
        group = self._reads.get((level, timeout_ms))
        if group is None:
            self._reads[level, timeout_ms] = [reader.identity], [reader]
        else:
            identities, readers = group
            identities.append(reader.identity)
            readers.append(reader)
            if len(readers) == READS_A_MESSAGE:
                self._send_reads()
        self.window.used += 1

    def poll(self, request: Message, asker: Asker) -> None:
        """Send a request that the node may answer when it has something to tell; `asker` sets the deadline.

        Raises as `ask` does.
        """
        check_outgoing(request)
        if not self.is_open:
            raise LinkLost(was_sent=False)
        self._polls[request[0]] = asker  # type: ignore[index]
        self._step.effects.sends.setdefault(self.number, []).append(request)

    def forget_poll(self, number: int) -> None:
        """Give a poll up; its answer is ignored."""
        self._polls.pop(number, None)

    # What happens to it.

    def up(self, hello: Hello, clock_ahead_s: float) -> None:
        """Learn that the link stands."""
        self.server = hello
        self._clock_ahead_s = clock_ahead_s
        self.is_open = self._is_up = self.was_opened = True
        self._is_leaving = False
        # What the old link was silent about is over.
        self._silence.quiet_since = self._step.now
        self._silence.is_suspected = False
        self._changed()

    def down(self, refused: CrdtkvError | None = None) -> None:
        """Learn that the link broke: everything in flight ends, and what waits for a place goes elsewhere."""
        if refused is not None:
            self.refused = refused
            self.was_opened = True
        self.is_open = self._is_up = self._is_leaving = False
        self._silence.is_suspected = False
        self._silence.clear()
        self._changed()
        unsent = {message[0] for message in self._step.effects.sends.pop(self.number, ())}
        self._owed.clear()
        self._probe = self.window.used = 0
        waiting, self._waiting = self._waiting | self._polls, {}
        self._polls = {}
        reads, self._reads = self._reads, {}
        self.window.fail(lambda: LinkLost(was_sent=False))
        for number, asker in waiting.items():
            asker.failed(LinkLost(was_sent=number not in unsent))
        for reader in (reader for _, readers in reads.values() for reader in readers):
            reader.failed(LinkLost(was_sent=False))

    def received(self, messages: list[Message], clock_ahead_s: float) -> None:
        """Take a frame of answers."""
        self._clock_ahead_s = clock_ahead_s
        silence, take = self._silence, self._waiting.pop
        silence.quiet_since = self._step.now
        if silence.is_suspected:
            silence.is_suspected = False
            self._changed()
        for message in messages:
            if type(message) is EntriesReply:
                if self._owed:
                    self._owed.difference_update(range(message.id, message.id + len(message.entries)))
                if message.id <= self._probe < message.id + len(message.entries):
                    self._probe = 0
                    self.window.measured(silence.quiet_since - self._probe_sent_at)
                for number, entry in enumerate(message.entries, message.id):
                    reader = take(number, None)
                    if reader is not None:
                        reader.answered(entry)
            elif type(message) is GoAway:
                self.is_open, self._is_leaving = False, True
                self._changed()
            else:
                self._take_answer(message)
        if self.window.waiting or self._reads:
            self._give_places()
        else:
            self.window.used = len(self._waiting) + len(self._owed)
        if self._is_leaving:
            self._leave_when_done()

    def returned(self, answers: list[Message]) -> None:
        """Take what the host answers for requests it could not send: they end as if the node had refused them."""
        for answer in answers:
            self._take_answer(answer)
        self._give_places()

    def _take_answer(self, message: Message) -> None:
        """Take an answer to a request that was sent alone."""
        number: int = message[0]  # type: ignore[assignment]
        error = error_from_wire(message.code, message.fields) if type(message) is ErrorReply else None
        if error is not None and number == 0:
            self.refused = error  # the link itself is not wanted
            return
        if number == self._probe:
            self._probe = 0
            self.window.measured(self._silence.quiet_since - self._probe_sent_at)
        self._owed.discard(number)
        asker = self._waiting.pop(number, None) or self._polls.pop(number, None)
        if asker is None:
            return
        if error is None:
            asker.answered(message)
            return
        if type(error) is Overloaded:
            self.window.refused(self._silence.quiet_since)
        asker.failed(error)

    def _send_reads(self) -> None:
        """Send the reads that have gathered, those of one level and deadline as one message."""
        reads, self._reads = self._reads, {}
        sends = self._step.effects.sends.setdefault(self.number, [])
        for (level, timeout_ms), (identities, readers) in reads.items():
            first = self._last_id + 1
            self._last_id += len(readers)
            for number, reader in enumerate(readers, first):
                self._waiting[number] = reader
            self._expect(first, self._last_id, timeout_ms / 1000 + GRACE_S, 0.0)
            sends.append(GetRequest(first, identities, level, timeout_ms))

    def _give_places(self) -> None:
        """Count what is in flight now, and let those who wait send."""
        unsent = sum(len(readers) for _, readers in self._reads.values()) if self._reads else 0
        self.window.used = len(self._waiting) + len(self._owed) + unsent
        if self.window.waiting:
            self.window.give()

    def _leave_when_done(self) -> None:
        """Close the link once the node owes no answer; polls, which it may owe for long, go elsewhere at once."""
        if self._is_up and not (self._waiting or self._owed or self._reads):
            self._step.effects.changes += (Break(self.number),)

    def _expect(self, first: int, last: int, timeout_s: float, patience_s: float) -> None:
        """Let the requests of these ids fail when the time has passed."""
        now = self._step.now
        heappush(self._silence.deadlines, (now + timeout_s, first, last, now + patience_s))
        if not self._probe:
            self._probe, self._probe_sent_at = first, now
        if self._sweeper is None:
            self._silence.quiet_since = now
            self._sweep_soon()

    def _sweep_soon(self) -> None:
        self._sweeper = self._timers.at(self._silence.sweep_due(self._step.now), self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._step.now
        for first, last in self._silence.overdue(now):
            self._give_up(first, last)
        if self._waiting:
            was_suspected = self._silence.is_suspected
            given_up = self._silence.given_up(now, self.window.round_trip_s)
            if self._silence.is_suspected and not was_suspected:
                self._changed()
            for first, last in given_up:
                self._give_up(first, last)
        self._give_places()
        if self._waiting:
            self._sweep_soon()
            return
        self._silence.clear()
        if self._is_leaving:
            self._leave_when_done()

    def _give_up(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            asker = self._waiting.pop(number, None)
            if number == self._probe:
                self._probe = 0
            if asker is not None:
                self._owed.add(number)
                asker.failed(NoAnswer())
