"""`ClientCore`: one client, as a function from events to effects.

A host hands over everything that has happened since the last step: calls that callers have begun, frames, links that
stand or broke. The core decides what to send to which node, and which calls have ended. `next_timer` says when it wants
to be woken with no event.

Calls are objects that the host makes (`Read`, `SessionRead`, `Write`, `PartitionScan`, `Following`, `AskEach`,
`Connect`) and hands over with `Begun`.
"""

from collections.abc import Iterable
from random import Random

from crdtkv.client.core.calls import Call
from crdtkv.client.core.connecting import Connect
from crdtkv.client.core.effects import Effects
from crdtkv.client.core.events import (
    Begun,
    Canceled,
    Closed,
    Event,
    LinkDown,
    LinkUp,
    PageTaken,
    PageTold,
    Received,
    Returned,
    TopologySeen,
)
from crdtkv.client.core.following import Following
from crdtkv.client.core.node_link import NodeLink
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.retry_budget import RetryBudget
from crdtkv.client.core.routing import Routing
from crdtkv.client.core.step import Step
from crdtkv.client.core.timers import Timers
from crdtkv.errors import ClosedError


class ClientCore:
    """The decisions of one client. `random` makes operation ids, so a host of real clients passes a secure one."""

    def __init__(self, random: Random) -> None:
        self._step = Step()
        self._timers = Timers()
        self.routing = Routing(self._step, self._timers)
        self._parts = ClientParts(self._step, self._timers, random, self.routing, RetryBudget())
        #: Calls that also wait for links; those that are over are removed when the next one begins.
        self._waiting_for_links: list[Connect | Following] = []

    def handle(self, events: Iterable[Event], now: float) -> Effects:
        """Take what has happened up to `now` (monotonic seconds), and run what is due."""
        effects = self._step.begin(now)
        for event in events:
            self._happened(event)
        self._timers.fire(now)
        self._step.end()
        return effects

    def next_timer(self) -> float | None:
        """Return when to call `handle` at the latest, None if only events matter."""
        return self._timers.next_due()

    def _happened(self, event: Event) -> None:
        # The two that happen all the time come first.
        if type(event) is Received:
            link = self.routing.links.get(event.link)
            if link is not None:
                link.received(event.messages, event.clock_ahead_s)
                self.routing.saw_epoch(link, event.epoch)
        elif type(event) is Begun:
            for call in event.calls:
                self._begin(call)
        else:
            self._happened_seldom(event)

    def _happened_seldom(self, event: Event) -> None:
        match event:
            case Canceled(call):
                call.cancel()
            case PageTaken(page):
                page.group.following.taken(page)
            case PageTold(page):
                page.told()
            case LinkUp() | LinkDown() | Returned():
                self._link_changed(event)
            case TopologySeen(datacenter, rank, reply, contacts):
                self.routing.add(datacenter, rank, reply, contacts)
            case Closed():
                self.routing.close()
                for call in self._waiting_for_links:
                    call.end(error=ClosedError("the client is closed"))

    def _begin(self, call: Call) -> None:
        if isinstance(call, (Connect, Following)):
            self._waiting_for_links = [other for other in self._waiting_for_links if not other.is_over]
            self._waiting_for_links.append(call)
        call.begin(self._parts)

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
            self._tell_of_link(link)

    def _tell_of_link(self, link: NodeLink) -> None:
        for call in list(self._waiting_for_links):
            if isinstance(call, Connect):
                call.linked(link)
            else:
                call.linked()
