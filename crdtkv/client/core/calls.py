"""`Call`: one call of a caller; `RoutedCall`: one request, with retries at other nodes.

A call ends once, with a result or an error: in the effects, or, if it is a part of another call, by a call of
`part_ended`. All attempts share one deadline, and each attempt carries the remaining time.
"""

from typing import Any, Protocol

from crdtkv.client.core.datacenter import DatacenterView
from crdtkv.client.core.failures import RETRIED, LinkLost, NoAnswer
from crdtkv.client.core.node_link import NodeLink
from crdtkv.client.core.parts import ClientParts
from crdtkv.client.core.retries import Retries
from crdtkv.errors import ClosedError, CrdtkvError
from crdtkv.quorum.level import ConsistencyLevel


class Owner(Protocol):
    """A call that has other calls as parts."""

    def part_ended(self, part: "Call", result: Any, error: CrdtkvError | None) -> None:
        """Handle the end of a part."""
        ...


class Call:
    """One call. `caller` belongs to the host, which finds the waiting caller by it."""

    __slots__ = ("caller", "error", "is_over", "owner", "parts", "result")

    #: Whether `ClientCore` calls `linked`.
    waits_for_links = False
    parts: ClientParts

    def __init__(self, owner: Owner | None = None) -> None:
        self.owner = owner
        self.caller: Any = None
        self.is_over = False
        self.result: Any = None
        self.error: CrdtkvError | None = None

    def begin(self, parts: ClientParts) -> None:
        """Begin the call; it may end in here."""
        raise NotImplementedError

    def cancel(self) -> None:
        """End the call without a result; the host is not notified."""
        self.is_over = True

    def linked(self, link: NodeLink) -> None:
        """Handle a link that was opened or refused."""

    def end(self, result: Any = None, error: CrdtkvError | None = None) -> None:
        """End the call with a result or an error; later calls of `end` are ignored."""
        if self.is_over:
            return
        self.is_over = True
        self.result, self.error = result, error
        if self.owner is None:
            self.parts.step.effects.ended.append(self)
        else:
            self.owner.part_ended(self, result, error)


class RoutedCall(Call):
    """One request that is routed by the partition of `identity`."""

    __slots__ = ("_retries", "deadline_s", "identity", "level", "timeout_s", "view")

    deadline_s: float

    def __init__(self, identity: bytes, level: ConsistencyLevel, timeout_s: float, owner: Owner | None = None) -> None:
        # Without `super().__init__`, to save a function call per request.
        self.owner = owner
        self.caller = self.result = self.error = None
        self.is_over = False
        self.identity = identity
        self.level = level
        self.timeout_s = timeout_s
        #: The data center of the last attempt.
        self.view: DatacenterView | None = None
        self._retries: Retries | None = None

    def begin(self, parts: ClientParts) -> None:
        """Set the deadline and begin the first attempt."""
        self.parts = parts
        self.deadline_s = parts.step.now + self.timeout_s
        parts.budget.requests += 1
        self.attempt()

    def attempt(self) -> None:
        """Choose a node and send the request there."""
        if self.is_over:
            return
        routing, retries = self.parts.routing, self._retries
        skip = retries.skip(routing.views[0].replication_factor) if retries is not None else 0
        try:
            self.view, link = routing.route(self.identity, self.level, skip)
            self.send(link)
        except CrdtkvError as error:
            self.failed(error)

    def send(self, link: NodeLink) -> None:
        """Send the request, or wait until the window of the link has room.

        Raises:
            CrdtkvError: the attempt has failed; `attempt` passes the error to `failed`.
        """
        raise NotImplementedError

    def failed(self, error: CrdtkvError) -> None:
        """Handle the failure of an attempt: retry, or end the call."""
        if self.is_over:
            return
        parts = self.parts
        if parts.routing.is_closed and isinstance(error, RETRIED):
            error = ClosedError("the client is closed")
        if not isinstance(error, RETRIED):
            self.end(error=self.verdict(error))
            return
        if self._retries is None:
            self._retries = Retries()
        now, replicas = parts.step.now, parts.routing.views[0].replication_factor
        wait_s = self._retries.wait_s(error, now, self.deadline_s, replicas, parts.budget, parts.random)
        if wait_s is None:
            is_internal = isinstance(error, (LinkLost, NoAnswer))
            self.end(error=self.verdict(self.no_answer() if is_internal else error))
        elif wait_s > 0:
            parts.timers.at(now + wait_s, self.attempt)
        else:
            self.attempt()

    def no_answer(self) -> CrdtkvError:
        """Return the error for a call that no node has answered in time."""
        raise NotImplementedError

    def verdict(self, error: CrdtkvError) -> CrdtkvError:
        """Return the error of the call, given the error of its last attempt."""
        return error
