"""`Read`: one key, tried until a node answers or the deadline has passed. The result is the entry's bytes, or None."""

from crdtkv.client.core.calls import RoutedCall
from crdtkv.client.core.node_link import NodeLink
from crdtkv.errors import CrdtkvError, ReadTimeout


class Read(RoutedCall):
    """A read of one key, whatever its caller has seen."""

    __slots__ = ("_link",)

    _link: NodeLink

    def send(self, link: NodeLink) -> None:
        """Read together with the other reads of this step, or wait for a place."""
        if link.window.is_full:
            self._link = link
            link.window.wait(self, self.deadline_s)
        elif self._retries is None:
            link.read(self, self.level.to_wire(), int(self.timeout_s * 1000) or 1)
        else:
            self._send_late(link)

    def placed(self) -> None:
        """Send: there is a place."""
        try:
            self._send_late(self._link)
        except CrdtkvError as error:
            self.failed(error)

    #: The entry is the result. (One call for each, instead of two.)
    answered = RoutedCall.end

    def no_answer(self) -> CrdtkvError:
        """Return the error of a read that no node has answered."""
        return ReadTimeout(0, self.level.read_quorum(self.parts.routing.views[0].replication_factor))

    def _send_late(self, link: NodeLink) -> None:
        # Rounded, so that reads which have waited for nearly the same time are still sent together.
        left_s = self.deadline_s - self.parts.step.now
        link.read(self, self.level.to_wire(), max(1, int(left_s * 10) * 100))
