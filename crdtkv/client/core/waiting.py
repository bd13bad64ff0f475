"""`Wait`: waits until an earlier write is in other data centers; retried until its deadline."""

from typing import Any

from crdtkv.client.core.calls import RoutedCall
from crdtkv.client.core.node_link import GRACE_S, NodeLink
from crdtkv.errors import CrdtkvError, WriteTimeout
from crdtkv.quorum.level import LOCAL_QUORUM
from crdtkv.wire.messages import WaitRequest


class Wait(RoutedCall):
    """One wait; the result is the `MutateReply` with the data centers."""

    __slots__ = ("_actor", "_counter", "_datacenters", "_link")

    _link: NodeLink

    def __init__(self, identity: bytes, dot: tuple[str, int], datacenters: list[str], timeout_s: float) -> None:
        super().__init__(identity, LOCAL_QUORUM, timeout_s)
        self._actor, self._counter = dot
        self._datacenters = datacenters

    def send(self, link: NodeLink) -> None:
        """Send the request, or wait until the window of the link has room."""
        if link.window.is_full:
            self._link = link
            link.window.wait(self, self.deadline_s)
        else:
            self._send_now(link)

    def placed(self) -> None:
        """Send the request: the window of the link has room."""
        try:
            self._send_now(self._link)
        except CrdtkvError as error:
            self.failed(error)

    def answered(self, reply: Any) -> None:
        """End with the confirmation."""
        self.end(reply)

    def no_answer(self) -> CrdtkvError:
        """Return `WriteTimeout`: no data center has confirmed."""
        return WriteTimeout(0, len(self._datacenters), self._datacenters)

    def _send_now(self, link: NodeLink) -> None:
        left_s = self.deadline_s - self.parts.step.now
        request = WaitRequest(
            link.next_id(),
            self.identity,
            self._actor,
            self._counter,
            [*self._datacenters],
            max(1, int(left_s * 1000)),
        )
        link.ask(request, self, left_s + GRACE_S)
