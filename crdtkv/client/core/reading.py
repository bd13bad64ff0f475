"""`Read`: a read of one key, retried until its deadline. The result is the bytes of the entry, or None."""

from crdtkv.client.core.calls import RoutedCall
from crdtkv.client.core.node_link import NodeLink
from crdtkv.errors import CrdtkvError, ReadTimeout


class Read(RoutedCall):
    """A read of one key without the guarantees of a session."""

    __slots__ = ("_link",)

    _link: NodeLink

    def send(self, link: NodeLink) -> None:
        """Add the read to the batch of this step, or wait until the window of the link has room."""
        if link.window.is_full:
            self._link = link
            link.window.wait(self, self.deadline_s)
        elif self._retries is None:
            link.read(self, self.level.to_wire(), int(self.timeout_s * 1000) or 1)
        else:
            self._send_late(link)

    def placed(self) -> None:
        """Send the read: the window of the link has room."""
        try:
            self._send_late(self._link)
        except CrdtkvError as error:
            self.failed(error)

    #: The entry is the result. (An alias, to save a function call per read.)
    answered = RoutedCall.end

    def no_answer(self) -> CrdtkvError:
        """Return `ReadTimeout` with no answers."""
        return ReadTimeout(0, self.level.read_quorum(self.parts.routing.views[0].replication_factor))

    def _send_late(self, link: NodeLink) -> None:
        # Rounded, so that reads with nearly equal deadlines are sent in one message.
        left_s = self.deadline_s - self.parts.step.now
        link.read(self, self.level.to_wire(), max(1, int(left_s * 10) * 100))
