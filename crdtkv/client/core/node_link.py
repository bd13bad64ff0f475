"""`NodeLink`: the requests in flight to one node.

Natural batching: the reads that begin in one step are sent as one message per level and deadline, and all messages of a
step as one frame, without a delay. A request ends with its answer, at its deadline, or when the link breaks; then
`LinkLost` says whether the node may have received it. A `poll`, which the node may answer at any time, has no deadline
here, and its silence does not make the node suspected (`silence`). The number of requests in flight is bounded
(`window`).

A node that is stopping sends `GoAway`. Then it gets no new requests, and the link is closed when it has answered all
requests, including those that the client has given up, because other nodes may need their outcome.
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

#: The most reads in one message; a frame has room for that many keys of the greatest length.
READS_A_MESSAGE = 4096
#: The node answers at the deadline at the latest; the client waits this much longer for the answer.
GRACE_S = 0.5


class Asker(Protocol):
    """The sender of a request; it gets the answer or the error."""

    def answered(self, reply: Any) -> None:
        """Handle the answer: a message, or for a read the bytes of the entry or None."""
        ...

    def failed(self, error: CrdtkvError) -> None:
        """Handle the error reply of the node, `NoAnswer` or `LinkLost`."""
        ...


class Reader(Asker, Protocol):
    """The sender of a read of one key."""

    identity: bytes


class NodeLink:
    """The link to one address: its state, and the requests in flight on it."""

    def __init__(
        self, number: int, node: str, address: tuple[str, int], step: Step, timers: Timers, changed: Callable[[], None]
    ) -> None:
        self.number = number
        self.node = node
        self.address = address
        self._step = step
        self._timers = timers
        #: Called when the best node for a request may have changed.
        self._changed = changed
        self.server: Hello | None = None
        self.refused: CrdtkvError | None = None
        #: Whether the link was open at least once, or was refused.
        self.was_opened = False
        #: Whether requests can be sent now.
        self.is_open = False
        self._is_up = self._is_leaving = False
        #: The epoch of the client's topology of the node's data center; infinite while the link has no data center.
        self.epoch = math.inf
        self._clock_ahead_s = 0.0
        self._last_id = 0
        self._waiting: dict[int, Asker] = {}
        self._polls: dict[int, Asker] = {}
        #: The ids of requests that were given up, and that the node has not answered yet.
        self._owed: set[int] = set()
        #: The reads of this step by (level, timeout in ms): identities and readers.
        self._reads: dict[tuple[str, int], tuple[list[object], list[Reader]]] = {}
        self._silence = Silence()
        self.window = Window(timers)
        #: The id of the request whose round trip is measured (0: none), and the time at which it was sent.
        self._probe = 0
        self._probe_sent_at = 0.0
        self._sweeper: Timer | None = None

    @property
    def is_suspected(self) -> bool:
        """Whether the node is suspected (`silence`)."""
        return self._silence.is_suspected

    @property
    def is_responsive(self) -> bool:
        """Whether the link is open and the node is not suspected."""
        return self.is_open and not self._silence.is_suspected

    def clock_ms(self, at_s: float) -> int:
        """Return a lower bound of the node's monotonic clock, in ms, at `at_s` of this process's monotonic clock."""
        return int((at_s + self._clock_ahead_s) * 1000)

    def continue_ids_of(self, other: "NodeLink") -> None:
        """Continue the request ids of an earlier link to the same node, so that late answers match no new request."""
        self._last_id = other._last_id

    def next_id(self) -> int:
        """Return a new request id of this link."""
        self._last_id += 1
        return self._last_id

    def ask(self, request: Message, asker: Asker, timeout_s: float, patience_s: float = math.inf) -> None:
        """Send a request (its first field is an id from `next_id`); `asker` gets the answer or the error.

        The request ends with `NoAnswer` after `timeout_s`, or when the node is suspected and `patience_s` has passed.

        Raises:
            LinkLost: the link is not open; nothing was sent.
            InvalidRequest, ValueTooLarge: the request cannot be encoded, or not decoded. It was not added to the frame.
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
        """Read one key, in one message with the other reads of this step at the same level and timeout.

        Raises:
            LinkLost: the link is not open; nothing was sent.
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
        """Send a request that the node may answer at any time; `asker` is responsible for the deadline.

        Raises the errors of `ask`.
        """
        check_outgoing(request)
        if not self.is_open:
            raise LinkLost(was_sent=False)
        self._polls[request[0]] = asker  # type: ignore[index]
        self._step.effects.sends.setdefault(self.number, []).append(request)

    def forget_poll(self, number: int) -> None:
        """Give up a poll; its answer will be ignored."""
        self._polls.pop(number, None)

    # Events of the link:

    def up(self, hello: Hello, clock_ahead_s: float) -> None:
        """Handle an open link."""
        self.server = hello
        self._clock_ahead_s = clock_ahead_s
        self.is_open = self._is_up = self.was_opened = True
        self._is_leaving = False
        # The silence of the old link does not count.
        self._silence.quiet_since = self._step.now
        self._silence.is_suspected = False
        self._changed()

    def down(self, refused: CrdtkvError | None = None) -> None:
        """Handle a broken link: requests in flight, and those that wait for the window, fail with `LinkLost`."""
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
        """Handle the messages of a frame."""
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
        """Handle error replies of the host for requests that it could not send, as if the node had sent them."""
        for answer in answers:
            self._take_answer(answer)
        self._give_places()

    def _take_answer(self, message: Message) -> None:
        """Handle an answer to a request, other than a batch of reads; or an `ErrorReply` without id, for the link."""
        number: int = message[0]  # type: ignore[assignment]
        error = error_from_wire(message.code, message.fields) if type(message) is ErrorReply else None
        if error is not None and number == 0:
            self.refused = error  # the node refuses the link itself
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
        """Send the collected reads, one message per level and timeout."""
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
        """Update the number of requests in flight, and let waiting requests send."""
        unsent = sum(len(readers) for _, readers in self._reads.values()) if self._reads else 0
        self.window.used = len(self._waiting) + len(self._owed) + unsent
        if self.window.waiting:
            self.window.give()

    def _leave_when_done(self) -> None:
        """Close the link if the node has answered all requests; it does not wait for the answers of polls."""
        if self._is_up and not (self._waiting or self._owed or self._reads):
            self._step.effects.changes += (Break(self.number),)

    def _expect(self, first: int, last: int, timeout_s: float, patience_s: float) -> None:
        """Set the deadline of the requests `first` to `last`; start the sweep timer if it is not running."""
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
