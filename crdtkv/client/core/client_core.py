"""`ClientCore`: the decisions of one client; calls, frames and events in, effects out.

A host passes the calls that callers have begun (`begin`), the frames of nodes (`received`) and all other events
(`handle`). The core decides which messages go to which node and which calls have ended. The host must call `handle` at
`timers.next_at` at the latest.

The host constructs the calls: `Read`, `SessionRead`, `Write`, `PartitionScan`, `Subscription`, `AskEach`,
`Connect`.
"""

from collections.abc import Iterable
from random import Random

from crdtkv.client.core.calls import Call
from crdtkv.client.core.effects import Effects
from crdtkv.client.core.events import (
    Canceled,
    Closed,
    Event,
    LinkDown,
    LinkUp,
    PageDelivered,
    PageTaken,
    Returned,
    TopologySeen,
)
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.retry_budget import RetryBudget
from crdtkv.client.core.routing import Routing
from crdtkv.client.core.step import Step
from crdtkv.client.core.timers import Timers
from crdtkv.errors import ClosedError
from crdtkv.wire.messages import Message


class ClientCore:
    """One client. `random` is the source of operation ids, so real clients need a cryptographically secure one."""

    def __init__(self, random: Random) -> None:
        self._step = Step()
        self.timers = Timers()
        self.routing = Routing(self._step, self.timers)
        self._parts = ClientParts(self._step, self.timers, random, self.routing, RetryBudget())
        #: Calls that wait for links; those that have ended are removed when the next one begins.
        self._waiting_for_links: list[Call] = []

    def begin(self, calls: Iterable[Call], now: float) -> Effects:
        """Begin calls at `now` (monotonic seconds); reads that begin together are batched."""
        self._step.now = now
        self._step.effects = effects = Effects()
        for call in calls:
            if call.waits_for_links:
                self._waiting_for_links = [other for other in self._waiting_for_links if not other.is_over]
                self._waiting_for_links.append(call)
            call.begin(self._parts)
        self._end_step()
        return effects

    def received(self, number: int, epoch: int, messages: list[Message], clock_ahead_s: float, now: float) -> Effects:
        """Handle the messages of one frame from link `number`; `epoch` is that of the frame.

        `clock_ahead_s` is a lower bound of the difference between the monotonic clocks of the node and of this client,
        in seconds.
        """
        self._step.now = now
        self._step.effects = effects = Effects()
        link = self.routing.links.get(number)
        if link is not None:
            link.received(messages, clock_ahead_s)
            if epoch > link.epoch:
                self.routing.saw_epoch(link, epoch)
        if self._step.at_end or self.timers.next_at <= now:
            self._end_step()
        return effects

    def handle(self, events: Iterable[Event], now: float) -> Effects:
        """Handle events and run the timers that are due."""
        self._step.now = now
        self._step.effects = effects = Effects()
        for event in events:
            self._happened(event)
        self._end_step()
        return effects

    def _end_step(self) -> None:
        """Run the timers that are due, then all actions in `at_end`, including those that these actions add."""
        step = self._step
        if self.timers.next_at <= step.now:
            self.timers.fire(step.now)
        while step.at_end:
            due, step.at_end = step.at_end, []
            for act in due:
                act()

    def _happened(self, event: Event) -> None:
        match event:
            case Canceled(call):
                call.cancel()
            case PageTaken(page):
                page.group.subscription.taken(page)
            case PageDelivered(page):
                page.delivered()
            case LinkUp() | LinkDown() | Returned():
                self._link_changed(event)
            case TopologySeen(datacenter, rank, reply, contacts):
                self.routing.add(datacenter, rank, reply, contacts)
            case Closed():
                self.routing.close()
                for call in self._waiting_for_links:
                    call.end(error=ClosedError("the client is closed"))

    def _link_changed(self, event: LinkUp | LinkDown | Returned) -> None:
        link = self.routing.links.get(event.link)
        if link is None:
            return
        match event:
            case LinkUp(_, hello, clock_ahead_s):
                link.up(hello, clock_ahead_s)
            case LinkDown(_, refused):
                link.down(refused)
            case Returned(_, answers):
                link.returned(answers)
        if link.was_opened:
            for call in list(self._waiting_for_links):
                call.linked(link)
