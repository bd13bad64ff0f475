"""`Requester`: where to send the answer to a client's request, and the labels under which the request is counted."""

from typing import NamedTuple

from crdtkv.errors import CrdtkvError, StorageError
from crdtkv.node.kernel.events import Peer
from crdtkv.node.kernel.step import Step
from crdtkv.wire.messages import ErrorReply, Message


class Requester(NamedTuple):
    """The origin of one client request at the node that answers it; `started_s` is its monotonic arrival time."""

    peer: Peer
    id: int
    kind: str
    level: str
    started_s: float

    def reply(self, step: Step, message: Message, is_durable: bool) -> None:
        """Answer; `is_durable` says that no data in the answer can be lost any more."""
        step.answer(self.peer, message, is_durable)
        step.stats.request(self.kind, self.level, "ok", step.now.monotonic_s - self.started_s)

    def refuse(self, step: Step, error: CrdtkvError) -> None:
        """Answer with an error.

        Raises:
            StorageError: `error` is one. The process must stop, because its disk is not reliable any more.
        """
        if isinstance(error, StorageError):
            raise error
        step.effects.send(self.peer, ErrorReply(self.id, error.code, list(error.fields)))
        step.stats.request(self.kind, self.level, error.code, step.now.monotonic_s - self.started_s)
